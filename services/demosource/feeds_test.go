package demosource

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

type changesJSON struct {
	Next     string
	Count    int
	From, To string
	Ads      []struct {
		ID   string
		Days []string
	}
}

func TestChangesWithoutACursorAreAllAds(t *testing.T) {
	p := newPlatform(t)
	got := decode[changesJSON](p, "/ads/changes?account=acme")
	ads := decode[pageJSON](p, "/ads/pages?account=acme&limit=1000").Ads
	if got.Count != len(ads) || len(got.Ads) != len(ads) {
		t.Errorf("%d changes of %d ads", got.Count, len(ads))
	}
}

func TestNothingHasChangedSinceTheCursorJustGiven(t *testing.T) {
	p := newPlatform(t)
	next := decode[changesJSON](p, "/ads/changes?account=acme").Next
	got := decode[changesJSON](p, "/ads/changes?account=acme&since="+next)
	if got.Count != 0 || got.Next != next {
		t.Errorf("changes %+v since %s", got, next)
	}
}

// TestChangesNameAllThatDiffers compares the list with the reports themselves.
func TestChangesNameAllThatDiffers(t *testing.T) {
	for name, pass := range map[string]func(p *platform){
		"an hour":    func(p *platform) { p.now = p.now.Add(time.Hour) },
		"a day":      func(p *platform) { p.now = p.now.Add(24 * time.Hour) },
		"a revision": func(p *platform) { p.post("/admin/revise?share=0.05") },
		"all":        func(p *platform) { p.now = p.now.Add(30 * time.Hour); p.post("/admin/revise?share=0.05") },
	} {
		p := newPlatform(t)
		next := decode[changesJSON](p, "/ads/changes?account=acme").Next
		const window = "account=acme&from=2026-10-20&to=2026-11-22"
		before := p.rows(window)
		pass(p)
		listed := map[string]bool{}
		for _, ad := range decode[changesJSON](p, "/ads/changes?account=acme&since="+next).Ads {
			for _, day := range ad.Days {
				listed[ad.ID+" "+day] = true
			}
		}
		for key, one := range p.rows(window) {
			if !maps.Equal(one, before[key]) && !listed[one["ad_id"]+" "+one["date"]] {
				t.Errorf("after %s the changes lack %s", name, key)
			}
		}
		if len(listed) == 0 {
			t.Errorf("after %s nothing has changed", name)
		}
	}
}

func TestChangesNameAdsOfWhichOnlyTheHeadlineIsNew(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Size, c.Changed = 4_000_000, 0 })
	p.now = time.Date(2026, 11, 20, 22, 0, 0, 0, time.UTC) // 11 p.m. in Berlin
	next := decode[changesJSON](p, "/ads/changes?account=acme").Next
	before := map[string]string{}
	for _, ad := range decode[pageJSON](p, "/ads/pages?account=acme&limit=1000").Ads {
		before[ad.ID] = ad.Headline
	}
	p.now = p.now.Add(time.Hour)
	listed := map[string]bool{}
	for _, ad := range decode[changesJSON](p, "/ads/changes?account=acme&since="+next).Ads {
		listed[ad.ID] = true
	}
	changed := 0
	for _, ad := range decode[pageJSON](p, "/ads/pages?account=acme&limit=1000").Ads {
		if ad.Headline != before[ad.ID] {
			changed++
			if !listed[ad.ID] {
				t.Errorf("the changes lack %s", ad.ID)
			}
		}
	}
	if changed == 0 {
		t.Error("no headline has changed at midnight")
	}
}

func TestACursorAheadOfThePresentCountsAsNone(t *testing.T) {
	p := newPlatform(t)
	all := decode[changesJSON](p, "/ads/changes?account=acme").Count
	if got := decode[changesJSON](p, "/ads/changes?account=acme&since=999999.7").Count; got != all {
		t.Errorf("%d changes, want all %d", got, all)
	}
}

type pageJSON struct {
	Ads    []adJSON
	Paging struct{ Next string }
}

func TestPagesTogetherAreTheReport(t *testing.T) {
	p := newPlatform(t)
	var paged []string
	cursor := ""
	for {
		page := decode[pageJSON](p, "/ads/pages?account=acme&limit=3&cursor="+cursor)
		for _, ad := range page.Ads {
			paged = append(paged, ad.CampaignID+" "+ad.ID+" "+ad.Headline)
		}
		if cursor = page.Paging.Next; cursor == "" {
			break
		}
	}
	var reported []string
	for _, campaign := range decode[reportJSON](p, "/ads/report?account=acme").Campaigns {
		for _, group := range campaign.Adgroups {
			for _, ad := range group.Ads {
				reported = append(reported, campaign.ID+" "+ad.ID+" "+ad.Headline)
			}
		}
	}
	if !slices.Equal(paged, reported) {
		t.Errorf("paged %q\nreported %q", paged, reported)
	}
}

func TestAPageLinksToTheNextAndTheLastDoesNot(t *testing.T) {
	p := newPlatform(t)
	link := p.do("GET", "/ads/pages?account=acme&limit=3").Header().Get("Link")
	if link != `</ads/pages?account=acme&cursor=3&limit=3>; rel="next"` {
		t.Errorf("Link: %s", link)
	}
	if link := p.do("GET", "/ads/pages?account=acme&limit=1000").Header().Get("Link"); link != "" {
		t.Errorf("the last page's Link: %s", link)
	}
}

type eventJSON struct {
	ID, Page string
	At       time.Time
	Plays    int
	Seconds  int
}

// eventsOf returns the different events and how many lines there were.
func (p *platform) eventsOf(url string) (map[string]eventJSON, int) {
	events, lines := map[string]eventJSON{}, 0
	for line := range strings.Lines(p.get(url)) {
		var e eventJSON
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			p.t.Fatal(err)
		}
		if same, ok := events[e.ID]; ok && same != e {
			p.t.Errorf("%s is two different events", e.ID)
		}
		events[e.ID] = e
		lines++
	}
	return events, lines
}

func TestEventsFallOnTheirDayAndSomeComeTwice(t *testing.T) {
	p := newPlatform(t)
	events, lines := p.eventsOf("/events?day=2026-11-14&count=5000")
	if len(events) != 5000 || lines < 5030 || lines > 5150 {
		t.Errorf("%d events on %d lines, want 5000 and some twice", len(events), lines)
	}
	start := time.Date(2026, 11, 13, 23, 0, 0, 0, time.UTC) // midnight in Berlin
	for id, e := range events {
		if e.At.Before(start) || !e.At.Before(start.Add(24*time.Hour)) {
			t.Fatalf("%s is at %s", id, e.At)
		}
	}
}

func TestEventsOnlyGetMore(t *testing.T) {
	p := newPlatform(t)
	now, _ := p.eventsOf("/events?day=2026-11-20&count=1000")
	p.now = noon.Add(5 * time.Hour)
	later, _ := p.eventsOf("/events?day=2026-11-20&count=2000")
	if len(now) < 300 || len(now) > 700 || len(later) <= len(now) {
		t.Errorf("%d events at noon, %d later", len(now), len(later))
	}
	for id, e := range now {
		if later[id] != e {
			t.Fatalf("%s was %+v and is %+v", id, e, later[id])
		}
	}
}

type hourJSON struct {
	Page, Date            string
	Hour, Views, Visitors int
}

func TestHoursEndAtThePresentOneWhichIsRestatedOnce(t *testing.T) {
	p := newPlatform(t)
	now := decode[[]hourJSON](p, "/hours")
	if last := now[len(now)-1]; last.Hour != 12 || last.Date != "2026-11-20" {
		t.Errorf("the last row at noon is %+v", last)
	}
	p.now = noon.Add(time.Hour)
	later := decode[[]hourJSON](p, "/hours")
	before := map[hourJSON]bool{}
	for _, row := range now {
		before[row] = true
	}
	for _, row := range later {
		if row.Visitors > row.Views+1 || row.Hour < 12 && !before[row] {
			t.Errorf("row %+v", row)
		}
		if row.Hour == 12 && before[row] && row.Views > 1 {
			t.Errorf("%+v is as it was in the middle of the hour", row)
		}
	}
}

func TestAnHourThatComesTwiceIsHour24(t *testing.T) {
	p := newPlatform(t)
	seen := map[int]bool{}
	for _, row := range decode[[]hourJSON](p, "/hours?day=2026-10-25") {
		seen[row.Hour] = true
	}
	if len(seen) != 25 || !seen[24] {
		t.Errorf("the day the clocks went back has hours %v", seen)
	}
}

func TestGzipIsSentToThoseWhoAcceptItIfItIsOn(t *testing.T) {
	const url = "/ads/report?account=acme"
	off, on := newPlatform(t), newPlatform(t, func(c *Config) { c.Gzip = true })
	if got := off.do("GET", url, "Accept-Encoding", "gzip").Header().Get("Content-Encoding"); got != "" {
		t.Errorf("off: Content-Encoding %s", got)
	}
	if got := on.do("GET", url, "Accept-Encoding", "gzip;q=0").Header().Get("Content-Encoding"); got != "" {
		t.Errorf("not accepted: Content-Encoding %s", got)
	}
	z, err := gzip.NewReader(on.do("GET", url, "Accept-Encoding", "br, gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	if err != nil || string(body) != off.get(url) {
		t.Errorf("the body differs: %v", err)
	}
}

func TestIDsLeaveOutTheOthers(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Size = 200_000 })
	page := decode[pageJSON](p, "/ads/pages?account=acme&limit=3&ids=acme-a2,acme-a9,nobody")
	if len(page.Ads) != 2 || page.Ads[0].ID != "acme-a2" || page.Ads[1].ID != "acme-a9" || page.Paging.Next != "" {
		t.Errorf("the page is %+v", page)
	}
	all, some := p.do("GET", "/ads/report?account=acme"), p.do("GET", "/ads/report?account=acme&ids=acme-a2")
	if body := some.Body.String(); strings.Count(body, `"headline"`) != 1 || !strings.Contains(body, `"acme-a2"`) || len(body)*5 > all.Body.Len() {
		t.Errorf("the report is %s", body)
	}
	p.want(http.StatusBadRequest, "GET", "/ads/report?account=acme&ids="+strings.Repeat("a,", 1001))
	p.want(http.StatusGone, "GET", "/ads/changes?account=acme&since=1.0")
}
