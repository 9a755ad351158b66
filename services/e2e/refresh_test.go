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
	Most     int `json:"most_in_a_second"`
	Statuses map[string]int
	Faults   map[string]int
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

// The shipped source asks what changed: the first refresh brings all, one of
// nothing makes a request for each account and writes nothing, and one of some
// changes leaves nothing for a backfill to find.
func TestARefreshBringsWhatChangedAndNoMore(t *testing.T) {
	s, platform := newSystem(t), today(t, 100<<10)
	s.adsFrom(platform.URL)
	s.start(1)
	do := func(job string) (requests int, counts map[string]map[string]int) {
		t.Helper()
		before := asked(t, platform)
		state, counts := s.await(s.submit(job), patience)
		s.want("state of "+job, state, "done")
		for path, now := range asked(t, platform) {
			if strings.HasPrefix(path, "/ads") {
				requests += now.Count - before[path].Count
			}
		}
		return requests, counts
	}
	requests, counts := do(`{"source":"ads"}`)
	if requests != 4 || counts["stats"]["new"] == 0 || counts["documents"]["written"] == 0 {
		t.Errorf("the first refresh: %d requests, %v", requests, counts)
	}
	requests, counts = do(`{"source":"ads"}`)
	if requests != 2 || counts["parts"]["fetched"]+counts["documents"]["written"] > 0 {
		t.Errorf("a refresh of nothing: %d requests, %v", requests, counts)
	}
	revise(t, platform, "0.02")
	_, counts = do(`{"source":"ads"}`)
	if counts["stats"]["changed"] == 0 || counts["stats"]["unchanged"] > 40*counts["stats"]["changed"] {
		t.Errorf("a refresh of some: %v", counts)
	}
	_, counts = do(`{"source":"ads","mode":"backfill"}`)
	if counts["stats"]["changed"]+counts["stats"]["new"]+counts["objects"]["changed"]+counts["documents"]["written"] > 0 {
		t.Errorf("a backfill found what refreshes had left: %v", counts)
	}
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
