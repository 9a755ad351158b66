package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func sortLines(lines []string) { slices.Sort(lines) }

const patience = 3 * time.Minute

// covid returns a system with the shipped source covid, and the folder of its
// real files.
func covid(t *testing.T) (*system, string) {
	t.Helper()
	folder, err := filepath.Abs("../../../shared/data/covid")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the real data is not beside the project:", err)
	}
	text, err := os.ReadFile("../../config/sources/covid.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(t)
	s.cfg.Fetch.Files = []string{folder}
	s.source("covid.yaml", string(text))
	return s, folder
}

func covidJob(folder, day string) string {
	return fmt.Sprintf(`{"source":"covid","url":"file://%s/combined-%s.csv.gz"}`, folder, day)
}

// sums are the three metrics over all stats.
func (s *system) sums() string {
	return s.query(`
		SELECT sum((metrics->>'Confirmed')::numeric)::text || ' ' || sum((metrics->>'Recovered')::numeric)::text || ' ' || sum((metrics->>'Deaths')::numeric)::text
		FROM stats`)[0]
}

func (s *system) want(what string, got, want any) {
	s.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestCovid(t *testing.T) {
	s, folder := covid(t)
	s.start(1)

	start := time.Now()
	state, counts := s.await(s.submit(covidJob(folder, "2020-09-07")), patience)
	t.Logf("first load: %s %v", time.Since(start), counts)
	s.want("state", state, "done")
	s.want("objects", s.query(`SELECT type, count(*) FROM objects GROUP BY 1 ORDER BY 1`), `["country" 188 "province" 266]`)
	s.want("provinces without a name", s.query(`SELECT count(*) FROM objects WHERE type = 'province' AND key LIKE '%/'`), "[185]")
	s.want("stats", s.query(`SELECT count(*) FROM stats`), "[50602]")
	s.want("sums", s.sums(), `"1727018195 953598635 75057412"`)
	s.want("documents", len(s.documents("covid")), 908)
	s.want("objects.new", counts["objects"]["new"], 454)
	s.want("stats.new", counts["stats"]["new"], 50602)
	s.want("documents.written", counts["documents"]["written"], 908)

	before, docs := s.rows(), s.documentLines("covid")
	state, counts = s.await(s.submit(covidJob(folder, "2020-09-07")), patience)
	t.Logf("again: %v", counts)
	s.want("state", state, "done")
	for _, what := range []string{"objects", "stats", "tags"} {
		s.want(what+" changed", counts[what]["new"]+counts[what]["changed"], 0)
	}
	s.want("documents.written", counts["documents"]["written"], 0)
	s.want("rows", slices.Equal(s.rows(), before), true)
	s.want("documents", slices.Equal(s.documentLines("covid"), docs), true)

	state, counts = s.await(s.submit(covidJob(folder, "2020-09-13")), patience)
	t.Logf("restated: %v", counts)
	s.want("state", state, "done")
	s.want("stats.new", counts["stats"]["new"], 1596)
	s.want("stats.changed", counts["stats"]["changed"], 3)
	s.want("documents.written", counts["documents"]["written"], 454)
	s.want("sums", s.sums(), `"1895219115 1066190750 80497133"`)
}
