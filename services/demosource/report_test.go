package demosource

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

type reportJSON struct {
	Account   string
	Campaigns []struct {
		ID, Name, Status string
		Budget           json.Number
		Adgroups         []struct {
			ID, Name string
			Ads      []adJSON
		}
	}
}

type adJSON struct {
	ID, Name, Headline, URL string
	CampaignID              string `json:"campaign_id"`
	Stats                   []map[string]any
}

// row is what a report says of one ad, day and operating system.
type row map[string]string

// rows flattens a nested report, by "ad day os".
func (p *platform) rows(query string) map[string]row {
	p.t.Helper()
	rows := map[string]row{}
	for _, campaign := range decode[reportJSON](p, "/ads/report?"+query).Campaigns {
		for _, group := range campaign.Adgroups {
			for _, ad := range group.Ads {
				for _, stat := range ad.Stats {
					one := row{}
					for name, value := range stat {
						one[name] = fmt.Sprint(value)
					}
					one["ad_id"], one["campaign_name"] = ad.ID, campaign.Name
					rows[ad.ID+" "+one["date"]+" "+one["os"]] = one
				}
			}
		}
	}
	return rows
}

func TestAReportHasTwentyMetricsOfWhichFiftyFivePercentAreZero(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Size = 2_000_000 })
	var zeros, all float64
	for key, one := range p.rows("account=acme&from=2026-11-06&to=2026-11-19") {
		for _, m := range metrics {
			value, ok := one[m.name]
			if !ok {
				t.Fatalf("%s lacks %s", key, m.name)
			}
			all++
			if value == "0" {
				zeros++
			}
		}
	}
	if len(metrics) != 20 || math.Abs(zeros/all-0.55) > 0.02 {
		t.Errorf("%d metrics, %.3f of the values are zero; want 20 and 0.55", len(metrics), zeros/all)
	}
}

func TestAllFormatsSayTheSame(t *testing.T) {
	p := newPlatform(t)
	nested := p.rows("account=acme")
	if len(nested) == 0 {
		t.Fatal("an empty report")
	}
	for format, rows := range map[string][]row{
		"csv":    p.rowsCSV("/ads/report?format=csv&account=acme"),
		"ndjson": p.rowsJSON("/ads/report?format=ndjson&account=acme"),
	} {
		if len(rows) != len(nested) {
			t.Errorf("%s has %d rows, json has %d", format, len(rows), len(nested))
		}
		for _, flat := range rows {
			for name, want := range nested[flat["ad_id"]+" "+flat["date"]+" "+flat["os"]] {
				if !same(flat[name], want) {
					t.Fatalf("%s: %s of %s is %s, want %s", format, name, flat["ad_id"], flat[name], want)
				}
			}
		}
	}
}

// same compares 12.30 and 12.3 as numbers.
func same(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return a == b || errX == nil && errY == nil && x == y
}

func (p *platform) rowsCSV(url string) []row {
	lines, err := csv.NewReader(strings.NewReader(p.get(url))).ReadAll()
	if err != nil {
		p.t.Fatal(err)
	}
	var rows []row
	for _, line := range lines[1:] {
		one := row{}
		for i, name := range lines[0] {
			one[name] = line[i]
		}
		rows = append(rows, one)
	}
	return rows
}

func (p *platform) rowsJSON(url string) []row {
	var rows []row
	for line := range strings.Lines(p.get(url)) {
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			p.t.Fatal(err)
		}
		one := row{}
		for name, value := range values {
			one[name] = fmt.Sprint(value)
		}
		rows = append(rows, one)
	}
	return rows
}

func TestIdsAreUniqueOverAccountsAndTypes(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Size = 2_000_000 })
	seen := map[string]bool{}
	once := func(id string) {
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
	}
	for _, account := range []string{"acme", "globex"} {
		for _, campaign := range decode[reportJSON](p, "/ads/report?account="+account).Campaigns {
			once(campaign.ID)
			for _, group := range campaign.Adgroups {
				once(group.ID)
				for _, ad := range group.Ads {
					once(ad.ID)
				}
			}
		}
	}
	if len(seen) < 400 {
		t.Errorf("only %d objects", len(seen))
	}
}

func TestTodayGrowsByTheHourAndNeverShrinks(t *testing.T) {
	p := newPlatform(t)
	const today = "account=acme&from=2026-11-20&to=2026-11-20"
	p.now = time.Date(2026, 11, 19, 23, 0, 0, 0, time.UTC) // midnight in Berlin
	before, last := map[string]row{}, 0.0
	for range 24 {
		now := p.rows(today)
		sum := 0.0
		for key, one := range now {
			for _, m := range metrics {
				if number(one[m.name]) < number(before[key][m.name]) {
					t.Fatalf("at %s %s of %s shrank from %s to %s", p.now, m.name, key, before[key][m.name], one[m.name])
				}
			}
			sum += number(one["impressions"])
		}
		if sum <= last {
			t.Fatalf("at %s there are %v impressions, as many as an hour before", p.now, sum)
		}
		before, last = now, sum
		p.now = p.now.Add(time.Hour)
	}
	for key, one := range p.rows(today) {
		if one["clicks"] != before[key]["clicks"] {
			t.Errorf("midnight alone changed %s from %v to %v", key, before[key], one)
		}
	}
}

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64) // absent is zero
	return n
}

func TestTomorrowHasNoStats(t *testing.T) {
	p := newPlatform(t)
	if rows := p.rows("account=acme&from=2026-11-21&to=2026-11-30"); len(rows) > 0 {
		t.Errorf("%d rows of the future", len(rows))
	}
}

// changedPairs is the share of (ad, day) pairs of which the rows differ.
func changedPairs(before, after map[string]row) float64 {
	all, changed := map[string]bool{}, map[string]bool{}
	for key, one := range before {
		pair := one["ad_id"] + one["date"]
		all[pair] = true
		if !maps.Equal(one, after[key]) {
			changed[pair] = true
		}
	}
	return float64(len(changed)) / float64(len(all))
}

func TestThePastIsRestatedByTheHourForThirtyDays(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Size, c.Changed = 1_500_000, 0.02 })
	const past, long = "account=acme&from=2026-11-01&to=2026-11-18", "account=acme&from=2026-09-10&to=2026-09-20"
	before, old := p.rows(past), p.rows(long)
	p.now = p.now.Add(time.Hour)
	if share := changedPairs(before, p.rows(past)); math.Abs(share-0.02) > 0.006 {
		t.Errorf("%.4f of the past changed in an hour, want 0.02", share)
	}
	if share := changedPairs(old, p.rows(long)); share != 0 {
		t.Errorf("%.4f of what is over for more than 30 days changed", share)
	}
}

func TestSomeRestatementsTakeEverythingBack(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Size = 2_000_000 })
	void := 0
	for _, one := range p.rows("account=acme&from=2026-10-25&to=2026-11-10") {
		if one["impressions"] == "0" && one["spend"] == "0" {
			void++
		}
	}
	if void == 0 {
		t.Error("no row has been taken back")
	}
}

func TestARevisionChangesItsShareAtOnce(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Size = 2_000_000 })
	const window = "account=acme&from=2026-11-07&to=2026-11-20"
	before := p.rows(window)
	p.post("/admin/revise?share=0.01")
	after := p.rows(window)
	if share := changedPairs(before, after); math.Abs(share-0.01) > 0.004 {
		t.Errorf("%.4f changed, want 0.01", share)
	}
	if len(before) != len(after) {
		t.Errorf("%d rows became %d", len(before), len(after))
	}
	p.want(http.StatusBadRequest, "POST", "/admin/revise?share=2")
}

// gauge takes a body, keeps nothing of it, and notes its size and the heap's.
type gauge struct {
	size, rows int64
	heap       uint64
	writes     int
}

func (g *gauge) Header() http.Header { return http.Header{} }
func (g *gauge) WriteHeader(int)     {}
func (g *gauge) Write(p []byte) (int, error) {
	g.size += int64(len(p))
	g.rows += int64(strings.Count(string(p), `"date"`))
	if g.writes++; g.writes%256 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		g.heap = max(g.heap, m.HeapAlloc)
	}
	return len(p), nil
}

func measure(size int64) *gauge {
	cfg := DefaultConfig()
	cfg.Size = size
	cfg.Now = func() time.Time { return noon }
	handler, g := New(cfg), &gauge{}
	for _, account := range cfg.Accounts {
		handler.ServeHTTP(g, httptest.NewRequest("GET", "/ads/report?from=2026-11-06&to=2026-11-19&account="+account, nil))
	}
	return g
}

func TestAHundredMegabytesAreThatBigAndNeedNoMemory(t *testing.T) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	g := measure(100_000_000)
	if math.Abs(float64(g.size)/100_000_000-1) > 0.1 || math.Abs(float64(g.rows)/278_000-1) > 0.1 {
		t.Errorf("%d bytes and %d rows, want about 100 MB and 278,000", g.size, g.rows)
	}
	if grown := int64(g.heap) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestSmallerSizesAreMetToo(t *testing.T) {
	for _, size := range []int64{200_000, 1_000_000, 10_000_000} {
		if g := measure(size); math.Abs(float64(g.size)/float64(size)-1) > 0.1 {
			t.Errorf("size %d gives %d bytes", size, g.size)
		}
	}
}

func BenchmarkReport(b *testing.B) {
	for b.Loop() {
		b.SetBytes(measure(10_000_000).size)
	}
}
