package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/services/demosource"
)

// asks are the requests of an endpoint, as the platform's log has them.
type asks struct {
	Count  int
	Faults map[string]int
}

// struck is how many of them met a fault.
func (a asks) struck() (n int) {
	for _, count := range a.Faults {
		n += count
	}
	return n
}

func asksOf(t *testing.T, platform *httptest.Server) map[string]asks {
	t.Helper()
	r, err := platform.Client().Get(platform.URL + "/admin/requests")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var log struct{ Endpoints map[string]asks }
	if err := json.NewDecoder(r.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	return log.Endpoints
}

// A season is what two sources went through: many requests at once, with a circle
// of pages, and then a refresh with cursors.
type season struct {
	first, then     map[string]asks
	rows, documents []string
}

func live(t *testing.T, now time.Time, faults, later string) (y season) {
	cfg := demosource.DefaultConfig()
	cfg.Size, cfg.Changed = 60<<10, 0
	cfg.Now = func() time.Time { return now }
	platform := httptest.NewServer(demosource.New(cfg))
	t.Cleanup(platform.Close)
	s := newSystem(t)
	s.adsFrom(platform.URL)
	file := filepath.Join(s.cfg.Sources, "ads.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.source("ads.yaml", strings.NewReplacer("timeout: 30s", "timeout: 5s", "\nfetch:\n", "\nfetch:\n  errors: [{path: error.code, equals: [17]}]\n").Replace(string(text)))
	s.source("book.yaml", fmt.Sprintf(`
source: book
http: {base_url: %q}
fetch: {report: {path: "/ads/pages?account=acme&from=2026-01-01&to=2026-01-05&limit=4"}, pages: {next: paging.next}, errors: [{path: error.code}]}
records: [{each: ads, object: {type: ad, key: id}}]
`, platform.URL))
	stop := s.start(1)
	defer stop()
	ask(t, platform, "faults?latency=20ms"+faults)
	days := func(n int) string { return now.AddDate(0, 0, -n).Format(time.DateOnly) }
	jobs := []string{s.submit(`{"source":"ads"}`)}
	for n := 2; n <= 8; n += 2 {
		jobs = append(jobs, s.submit(fmt.Sprintf(`{"source":"ads","mode":"backfill","from":%q,"to":%q}`, days(n+1), days(n))))
	}
	torn := s.submit(`{"source":"book"}`)
	for _, job := range jobs {
		state, _ := s.await(job, patience)
		s.want("state of "+job, state, "done")
	}
	state, _ := s.await(torn, patience)
	if faults != "" {
		s.want("state of the job with a circle", state, "incomplete")
		if why := s.query(`SELECT error FROM jobs WHERE id = $1`, torn); !strings.Contains(why[0], "go round in a circle") {
			t.Errorf("it failed since %s", why)
		}
	}
	again := s.submit(`{"source":"book"}`)
	state, _ = s.await(again, patience)
	s.want("state of the job after it", state, "done")
	y.first = asksOf(t, platform)
	revise(t, platform, "0.02")
	if later != "" {
		ask(t, platform, "faults?"+later)
	}
	state, _ = s.await(s.submit(`{"source":"ads"}`), patience)
	s.want("state of the second refresh", state, "done")
	y.then = asksOf(t, platform)
	s.want("differences", s.checked(), []string{})
	y.rows, y.documents = s.rows(), append(s.documentLines("ads"), s.documentLines("book")...)
	return y
}

// The platform does all that it can, to one request each: the end is the same as
// without, and it is asked once more for each fault, and no more.
func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	calm := live(t, now, "", "")
	wild := live(t, now, "&next=hang,429,503,cut,cut,garbage,garbage,html,error,loop", "next=expired,expired")
	if time.Now().Hour() != now.Hour() {
		t.Skip("the hour is over, and what came of today before it counts to another one")
	}
	met := map[string]int{}
	for _, path := range []string{"/ads/report", "/ads/changes", "/ads/pages"} {
		c, w := calm.first[path], wild.first[path]
		want := c.Count + w.struck()
		if path == "/ads/pages" { // a circle begins at page 2, and is not gone round: the first job has two pages, and the second all
			want = c.Count/2 + 2 + w.struck() - w.Faults["loop"]
		}
		if w.Count != want {
			t.Errorf("%s: %d requests, %d without faults; want %d: %v", path, w.Count, c.Count, want, w.Faults)
		}
		for fault, n := range w.Faults {
			met[fault] += n
		}
	}
	if want := map[string]int{"hang": 1, "429": 1, "503": 1, "cut": 2, "garbage": 2, "html": 1, "error": 1, "loop": 1}; !maps.Equal(met, want) {
		t.Errorf("faults that struck: %v, want %v", met, want)
	}
	// Without its cursor each account is asked what changed once more, and then for all.
	if n := wild.then["/ads/changes"].Count - wild.first["/ads/changes"].Count; n != 4 || wild.then["/ads/changes"].Faults["expired"] != 2 {
		t.Errorf("expired cursors: %d requests, %v", n, wild.then["/ads/changes"].Faults)
	}
	if n := wild.then["/ads/report"].Count - wild.first["/ads/report"].Count; n != 2 {
		t.Errorf("after expired cursors: %d reports, want one for each account", n)
	}
	s := &system{t: t}
	s.sameLines("rows", wild.rows, calm.rows)
	s.sameLines("documents", wild.documents, calm.documents)
}
