package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, row := range []struct {
		values []float64
		share  float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{4}, 0.99, 4},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{1, 2, 3, 4, 5}, 1, 5},
	} {
		if got := quantile(row.values, row.share); got != row.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", row.values, row.share, got, row.want)
		}
	}
}

var someRuns = []run{
	{Contestant: "floor", Scenario: "load", Round: 1, Seconds: 4, Rows: 800, CPU: usage{"floor": 2}, Peak: map[string]float64{"floor": 10}},
	{Contestant: "leat-1", Scenario: "load", Round: 1, Seconds: 9, CPU: usage{"delta": 3}, Peak: map[string]float64{"delta-1": 20}, Documents: 7},
	{Contestant: "floor", Scenario: "load", Round: 2, Seconds: 6, Rows: 800, CPU: usage{"floor": 4}, Peak: map[string]float64{"floor": 8}},
	{Contestant: "leat-1", Scenario: "load", Round: 2, Seconds: 11, CPU: usage{"delta": 5}, Peak: map[string]float64{"delta-1": 30}, Documents: 7},
	{Contestant: "leat-1", Scenario: "changed 0.01", Round: 1, Seconds: 2},
}

func TestSummarize(t *testing.T) {
	all := summarize(someRuns)
	if len(all) != 3 {
		t.Fatalf("got %d summaries, want 3: %+v", len(all), all)
	}
	floor, leat, changed := all[0], all[1], all[2]
	if floor.Seconds != 5 || floor.Least != 4 || floor.Most != 6 || floor.Speed != 0 || floor.PerSecond != 160 || floor.CPU["floor"] != 3 || floor.Peak["floor"] != 10 {
		t.Errorf("floor: got %+v", floor)
	}
	if leat.Seconds != 10 || leat.Speed != 0.5 || leat.Documents != 7 || leat.Peak["delta-1"] != 30 {
		t.Errorf("leat: got %+v", leat)
	}
	if changed.Speed != 0 {
		t.Errorf("compared with a floor that did not run: %+v", changed)
	}
}

func TestPlotIsXMLWithABarForEachSummary(t *testing.T) {
	r := results{Size: "1MB", Rounds: 2, Machine: machine{Processor: "A & B <C>"}, Medians: append(summarize(someRuns), summary{Contestant: "rows", Scenario: "load"})}
	d := xml.NewDecoder(strings.NewReader(r.plot()))
	bars := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 3 {
		t.Errorf("%d bars, want 3", bars)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	r := results{Size: "1MB", Rounds: 2, Medians: summarize(someRuns)}
	r.table(&b)
	for _, want := range []string{"leat-1, load", "9.00–11.00", "0.50", "delta 4.00"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"--only", "leat", "--processes", "1,2"})
	if err != nil || len(o.processes) != 2 || o.out != "" || o.size != "100MB" {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err = parse(nil); err != nil || o.out != published {
		t.Errorf("everything goes to %q, %v", o.out, err)
	}
	for _, wrong := range [][]string{{"--only", "celery"}, {"--rounds", "0"}, {"--nothing"}} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("%v is accepted", wrong)
		}
	}
}
