package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADraftReadsTheShippedAnswers(t *testing.T) {
	for answer, want := range map[string]Draft{
		"ads.test/report.json":       {Objects: 4, Stats: 2, Rejects: 2, First: `campaigns[0].adgroups[0].ads[0].stats[2]: date is "2026-22-19"`},
		"covid.test/time-series.csv": {Objects: 3, Stats: 2, Rejects: 1},
		"hours.test/day.json":        {Objects: 1, Stats: 3},
		"plays.test/events.ndjson":   {Objects: 2, Stats: 2, Rejects: 1},
	} {
		d, err := DraftSource(t.Context(), "things", filepath.Join(shippedSources, answer))
		if err != nil {
			t.Errorf("%s: %v", answer, err)
			continue
		}
		if d.Objects != want.Objects || d.Stats != want.Stats || d.Rejects != want.Rejects || !strings.HasPrefix(d.First, want.First) {
			t.Errorf("%s: %d objects, %d stats, %d rejects (%s), of\n%s", answer, d.Objects, d.Stats, d.Rejects, d.First, d.Text)
		}
	}
}

const sales = "day,country,city,device,orders,revenue\n20.11.2026,Germany,Berlin,phone,17,402.50\n21.11.2026,France,Paris,phone,1,2\n"

func TestADraftOfATable(t *testing.T) {
	sample := filepath.Join(t.TempDir(), "sales.csv")
	if err := os.WriteFile(sample, []byte(sales), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := DraftSource(t.Context(), "cities", sample)
	if err != nil {
		t.Fatal(err)
	}
	want := `source: cities
timezone: UTC
http:
  base_url: https://api.example.com
fetch:
  report:
    path: /report?from={from}&to={to}
    format: csv
dates: [DD.MM.YYYY]
records:
  - object:
      type: city
      key: city
    stat:
      day: day
      dimensions: [country, device]
      metrics: '*'
rollup:
  dimensions: [country, device]
`
	if _, text, _ := strings.Cut(d.Text, "wrong.\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if d.Objects != 2 || d.Stats != 2 || d.Rejects != 0 {
		t.Errorf("%+v", d)
	}
}

func TestADraftOfNothing(t *testing.T) {
	for name, text := range map[string]string{"a.json": `{"ok": true}`, "a.csv": "", "a.xml": "<a/>", "b.json": `{"a": [`} {
		sample := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(sample, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := DraftSource(t.Context(), "things", sample); err == nil {
			t.Errorf("%s: %s", name, d.Text)
		}
	}
}
