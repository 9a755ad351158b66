package demosource

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// gigsOf reads the concerts of a feed, each as artist, hall and day, with how many
// lines the file has.
func gigsOf(t *testing.T, url, feed string) (all map[string]bool, lines int) {
	t.Helper()
	r, err := http.Get(url + "/gigs/" + feed + "?looks=4000")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	all = map[string]bool{}
	add := func(artist, hall, day string) {
		all[strings.ToLower(artist)+"/"+hall+"/"+day] = true
		lines++
	}
	d := json.NewDecoder(r.Body)
	switch feed {
	case "tickets":
		for {
			var g struct {
				Artist, Venue string
				At            time.Time `json:"starts_at"`
			}
			if err := d.Decode(&g); err == io.EOF {
				return all, lines
			} else if err != nil {
				t.Fatal(err)
			}
			add(g.Artist, g.Venue, g.At.Format(time.DateOnly))
		}
	case "listings":
		var list struct {
			Gigs []struct{ Who, Where, On string }
		}
		if err := d.Decode(&list); err != nil {
			t.Fatal(err)
		}
		for _, g := range list.Gigs {
			add(g.Who, g.Where, g.On)
		}
		return all, lines
	}
	in := csv.NewReader(r.Body)
	in.Comma = ';'
	rows, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		day, err := time.Parse("02.01.2006", row[3])
		if err != nil {
			t.Fatal(err)
		}
		add(row[0], row[1], day.Format(time.DateOnly))
	}
	return all, lines
}

func TestThreeFeedsTellOfTheSameConcerts(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Now = func() time.Time { return time.Date(2026, 11, 14, 13, 0, 0, 0, time.UTC) }
	server := httptest.NewServer(New(cfg))
	defer server.Close()
	in := map[string]int{}
	for _, feed := range []string{"tickets", "venues", "listings"} {
		all, lines := gigsOf(t, server.URL, feed)
		if lines < 3000 || lines > 4000 || len(all) > 100 || len(all) < 50 {
			t.Errorf("%s: %d lines of %d concerts", feed, lines, len(all))
		}
		for gig := range all {
			in[gig]++
		}
	}
	var feeds [4]int
	for _, n := range in {
		feeds[n]++
	}
	if slices.Min(feeds[2:]) < 10 {
		t.Errorf("concerts in so many feeds: %s", fmt.Sprint(feeds))
	}
}
