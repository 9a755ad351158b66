package e2e

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/services/demosource"
)

// today is a platform whose clock goes as ours does.
func today(t *testing.T, size int64) *httptest.Server {
	t.Helper()
	cfg := demosource.DefaultConfig()
	cfg.Size, cfg.Changed = size, 0
	now := time.Now() // not to pass midnight, nor an hour
	cfg.Now = func() time.Time { return now }
	platform := httptest.NewServer(demosource.New(cfg))
	t.Cleanup(platform.Close)
	return platform
}

// A tally is what a platform says of one address.
type tally struct {
	Count    int
	Bytes    int
	Most     int `json:"most_in_a_second"`
	Statuses map[string]int
	Faults   map[string]int
	Sound    map[string]int // statuses without a fault
}

// asked is what a platform's log says of its requests, by address, since the last call.
func asked(t *testing.T, platform *httptest.Server) map[string]tally {
	t.Helper()
	r, err := platform.Client().Get(platform.URL + "/admin/requests")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var log struct {
		Endpoints map[string]tally
	}
	if err := json.NewDecoder(r.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	return log.Endpoints
}

// A cost is what a job took: of the platform, by its own log, and of Leat.
type cost struct{ requests, bytes, messages int }

// do does a job of ads, and says what it cost.
func (s *system) do(platform *httptest.Server, job string, limit time.Duration) (c cost, counts map[string]map[string]int) {
	s.t.Helper()
	before := asked(s.t, platform)
	id := s.submit(job)
	state, counts := s.await(id, limit)
	s.want("state of "+job, state, "done")
	for path, now := range asked(s.t, platform) {
		if strings.HasPrefix(path, "/ads") {
			c.requests, c.bytes = c.requests+now.Count-before[path].Count, c.bytes+now.Bytes-before[path].Bytes
		}
	}
	c.messages = s.one(`SELECT count(*) FROM ledger WHERE job_id = $1`, id)
	return c, counts
}

// The shipped source asks what changed: the first refresh brings all, one of
// nothing makes a request for each account and writes nothing, and one of some
// changes leaves nothing for a backfill to find.
func TestARefreshBringsWhatChangedAndNoMore(t *testing.T) {
	s, platform := newSystem(t), today(t, 100<<10)
	s.adsFrom(platform.URL)
	s.start(1)
	first, counts := s.do(platform, `{"source":"ads"}`, patience)
	if first.requests != 4 || counts["stats"]["new"] == 0 || counts["documents"]["written"] == 0 {
		t.Errorf("the first refresh: %+v, %v", first, counts)
	}
	before := s.written()
	nothing, counts := s.do(platform, `{"source":"ads"}`, patience)
	if nothing.requests != 2 || counts["parts"]["fetched"]+counts["documents"]["written"] > 0 {
		t.Errorf("a refresh of nothing: %+v, %v", nothing, counts)
	}
	s.want("what a refresh of nothing wrote", s.written(), before)
	revise(t, platform, "0.02")
	_, counts = s.do(platform, `{"source":"ads"}`, patience)
	if counts["stats"]["changed"] == 0 || counts["stats"]["unchanged"] > 40*counts["stats"]["changed"] {
		t.Errorf("a refresh of some: %v", counts)
	}
	_, counts = s.do(platform, `{"source":"ads","mode":"backfill"}`, patience)
	if counts["stats"]["changed"]+counts["stats"]["new"]+counts["objects"]["changed"]+counts["documents"]["written"] > 0 {
		t.Errorf("a backfill found what refreshes had left: %v", counts)
	}
	s.want("differences", s.checked(), []string{})
}

// The shipped schedule brings a refresh and a backfill by itself, and the shipped
// annotators their ten tags.
func TestTheShippedSchedule(t *testing.T) {
	s, platform := newSystem(t), today(t, 100<<10)
	s.adsFrom(platform.URL)
	s.start(1)
	s.start(1, "scheduler")
	s.until(patience, "the jobs that are due to end", func() bool { return s.one(`SELECT count(DISTINCT mode) FROM jobs WHERE state = 'done'`) == 2 })
	s.want("jobs", s.query(`SELECT DISTINCT mode FROM jobs ORDER BY mode`), []string{`"backfill"`, `"refresh"`})
	s.want("tags", s.query(`SELECT DISTINCT jsonb_object_keys(tags) FROM tags ORDER BY 1`), []string{
		`"audience"`, `"brand"`, `"form"`, `"landing"`, `"market"`, `"medium"`, `"paused"`, `"price"`, `"size"`, `"theme"`,
	})
	s.want("tags that failed", s.query(`SELECT failed FROM tags WHERE failed IS NOT NULL`), []string{})
	s.want("differences", s.checked(), []string{})
}

// Several workers share a budget, and what is to wait does so in the broker.
func TestWorkersShareABudget(t *testing.T) {
	s, platform := newSystem(t), today(t, 20<<10)
	s.source("slow.yaml", fmt.Sprintf(`
source: slow
accounts: [acme]
http: {base_url: %q, rate: {requests: 5}}
fetch: {report: {path: "/ads/pages?account={account}&from={from}&to={to}", slice: 1d, lookback: 20d}}
records: [{each: ads, object: {type: ad, key: id}, children: [{each: stats, stat: {day: date, dimensions: [os], metrics: "*"}}]}]
`, platform.URL))
	s.start(3)
	state, _ := s.await(s.submit(`{"source":"slow","mode":"backfill"}`), patience)
	s.want("state", state, "done")
	log := asked(t, platform)["/ads/pages"]
	if log.Most > 5 || log.Count != 20 {
		t.Errorf("%d requests, %d of them in a second", log.Count, log.Most)
	}
	s.want("differences", s.checked(), []string{})
}
