package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// design is the example of the design page, cut down to what this version knows.
const design = `source: ads
timezone: Europe/Berlin
accounts: {acme: {timezone: America/New_York}, globex: }
http:
  base_url: http://127.0.0.1:8090/ads
  timeout: 20s
fetch:
  report:  {path: "/report?account={account}&from={from}&to={to}", format: json, lookback: 14d, slice: 7d, since: 2026-01-01}
records:
  - each: campaigns
    object: {type: campaign, key: id, name: name, attributes: [status, budget]}
    children:
      - each: adgroups
        object: {type: adgroup, key: id, name: name}
        children:
          - each: ads
            object: {type: ad, key: id, name: name, attributes: [headline, url]}
            children:
              - each: stats
                stat: {day: date, dimensions: [os], metrics: "*"}
stats: {kind: total, absent: zero}
annotate:
  brand:   'name matches "(?i)acme"'
  market:  'lookup("markets", parent("campaign").name)'
rollup: {hours: true, dimensions: [os], not_summed: [reach]}
`

var markets = map[string][]byte{"markets": []byte("campaign,market\nAutumn,DACH\nSpring,Nordics\n"), "unused": []byte("a,b\n")}

func parsed(t *testing.T, text string) *Source {
	t.Helper()
	s, err := Parse([]byte(text), markets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseReadsTheDesignsExample(t *testing.T) {
	s := parsed(t, design)
	r := s.Fetch.Report
	if s.Name != "ads" || s.HTTP.Timeout != 20*time.Second || r.Lookback != 14 || r.Slice != 7 || r.Since != "2026-01-01" {
		t.Errorf("settings: %+v %+v", s.HTTP, r)
	}
	if got := strings.Join(s.AccountNames(), " "); got != "acme globex" {
		t.Errorf("accounts: %s", got)
	}
	for account, want := range map[string]string{"acme": "America/New_York", "globex": "Europe/Berlin", "": "Europe/Berlin"} {
		if got := s.Location(account).String(); got != want {
			t.Errorf("account %q is in %s, want %s", account, got, want)
		}
	}
	if len(s.Hash) != 32 || len(s.Tables) != 1 || string(s.Text) != design {
		t.Errorf("hash %q, tables %d: the table that is used must be kept, and no other", s.Hash, len(s.Tables))
	}
	stat, ok := s.StatRule("ad", "")
	if !ok || !stat.Metrics.All || stat.Day != "date" {
		t.Errorf("stat rule: %+v", stat)
	}
	for _, none := range [][2]string{{"ad", "other"}, {"campaign", ""}, {"nothing", ""}} {
		if _, ok := s.StatRule(none[0], none[1]); ok {
			t.Errorf("found a stat rule %q of %q", none[1], none[0])
		}
	}
}

func TestParseSetsDefaults(t *testing.T) {
	s := parsed(t, "source: x\naccounts: [a, 17]\nrecords: [{object: {type: song, key: id}}]\n")
	r := s.Fetch.Report
	if s.Timezone != "UTC" || s.HTTP.Timeout != 30*time.Second || r.Format != "json" || r.Lookback != 30 || r.Slice != 0 {
		t.Errorf("defaults: %s %v %+v", s.Timezone, s.HTTP.Timeout, r)
	}
	if s.Stats != (Stats{Kind: KindTotal, Absent: AbsentKeep}) || s.Accounts[1] != (Account{"17", "UTC"}) {
		t.Errorf("defaults: %+v %+v", s.Stats, s.Accounts)
	}
}

func TestTypesStandBelowTheirParents(t *testing.T) {
	flat := `source: covid
fetch: {report: {format: csv}}
records:
  - object: {type: province, key: "{Country}/{Province}", attributes: [Long, Lat], parent: {type: country, key: Country}}
    stat: {day: Date, metrics: [Deaths, Confirmed]}
  - object: {type: station, key: Station, parent: {type: country, key: Country}}
`
	rows := []struct {
		text, name string
		want       Type
	}{
		{design, "campaign", Type{Name: "campaign", RollsUp: true, Described: true, Attributes: []string{"budget", "status"}}},
		{design, "adgroup", Type{Name: "adgroup", Parent: "campaign", Depth: 1, RollsUp: true, Described: true}},
		{design, "ad", Type{Name: "ad", Parent: "adgroup", Depth: 2, HasStats: true, RollsUp: true, Described: true, Attributes: []string{"headline", "url"}}},
		{flat, "country", Type{Name: "country", RollsUp: true}},
		{flat, "province", Type{Name: "province", Parent: "country", Depth: 1, HasStats: true, RollsUp: true, Described: true, Attributes: []string{"Lat", "Long"}}},
		{flat, "station", Type{Name: "station", Parent: "country", Depth: 1, Described: true}},
	}
	for _, row := range rows {
		got, ok := parsed(t, row.text).Type(row.name)
		if !ok || got.Name != row.want.Name || got.Parent != row.want.Parent || got.Depth != row.want.Depth || got.HasStats != row.want.HasStats ||
			got.RollsUp != row.want.RollsUp || got.Described != row.want.Described || strings.Join(got.Attributes, " ") != strings.Join(row.want.Attributes, " ") {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
	if got := strings.Join(parsed(t, flat).typeNames(), " "); got != "country province station" {
		t.Errorf("types are in the order %s", got)
	}
	stat, _ := parsed(t, flat).StatRule("province", "")
	if got := strings.Join(stat.Metrics.Names, " "); got != "Confirmed Deaths" {
		t.Errorf("metrics are in the order %s", got)
	}
}

func TestTheHashCoversTheTextAndTheTablesInUse(t *testing.T) {
	hash := func(text, table, unused string) string {
		s, err := Parse([]byte(text), map[string][]byte{"markets": []byte(table), "unused": []byte(unused)})
		if err != nil {
			t.Fatal(err)
		}
		return s.Hash
	}
	first := hash(design, "a,b\n", "c,d\n")
	if first != hash(design, "a,b\n", "e,f\n") {
		t.Error("a table that no annotator looks up changed the hash")
	}
	if first == hash(design, "a,b\nc,d\n", "c,d\n") || first == hash(design+"# a remark\n", "a,b\n", "c,d\n") {
		t.Error("another text, or another table, has the same hash")
	}
}

func TestTheShippedSourcesAreRight(t *testing.T) {
	sources, err := Load("../../config/sources")
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"ads", "covid", "hours", "plays"} {
		s := sources[name]
		if s == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		if again, err := Parse(s.Text, s.Tables); err != nil || again.Hash != s.Hash {
			t.Errorf("%s is not the same after it was kept: %v", name, err)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadReturnsTheRightFilesAndNamesTheWrong(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "ads.yaml", design)
	write(t, dir, "markets.csv", string(markets["markets"]))
	write(t, dir, "broken.yaml", "source: broken\nrecords: []\n")
	write(t, dir, "other.yaml", strings.Replace(design, "source: ads", "source: ads2", 1))
	write(t, dir, "late.yml", design)
	write(t, dir, ".hidden.yaml", "?")
	write(t, dir, "notes.txt", "?")
	sources, err := Load(dir)
	if len(sources) != 1 || sources["ads"] == nil {
		t.Errorf("loaded %v", sources)
	}
	want := `broken.yaml:2:10: records: found an empty list; it must be a list of rules, each with object, stat or both
late.yml: the name of a source file ends in .yaml
other.yaml: source: found "ads2"; a source is named as its file: other`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if p, ok := errors.AsType[*Problem](err); !ok || p.File != "broken.yaml" || p.Line != 2 {
		t.Errorf("the first problem is %+v", p)
	}
}

func TestLoadSaysWhichTableIsMissing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "ads.yaml", design)
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "ads.yaml:24:12: annotate.market: at 1:8 of the expression: there is no markets.csv beside the source file") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(design))
	f.Add([]byte(wrong))
	f.Add([]byte("a: &b [*b]\n"))
	f.Add([]byte("<<: {a: b}\n? [1]\n: 2\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text, markets)
		if (s == nil) == (err == nil) {
			t.Fatalf("source %v, error %v", s, err)
		}
		if s == nil {
			for _, p := range flatten(err) {
				if p.Message == "" {
					t.Errorf("refused without a reason: %+v", p)
				}
			}
			if len(flatten(err)) == 0 {
				t.Errorf("refused without a problem: %v", err)
			}
			return
		}
		for _, typ := range s.Types() {
			s.Annotate(Object{Type: typ.Name, Key: "k"}, nil)
			s.Inputs(Object{Type: typ.Name, Key: "k"})
		}
		if err := s.Explain(&strings.Builder{}); err != nil {
			t.Fatal(err)
		}
	})
}
