package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/rabbit"
)

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

// Real data with real restatements: each step gives exactly what is known of it.
func TestCovid(t *testing.T) {
	s, folder := covid(t)
	s.start(1)

	state, counts := s.await(s.submit(covidJob(folder, "2020-09-07")), patience)
	s.want("state", state, "done")
	s.want("objects", s.query(`SELECT type, count(*) FROM objects GROUP BY 1 ORDER BY 1`), `["country" 188 "province" 266]`)
	s.want("provinces without a name", s.query(`SELECT count(*) FROM objects WHERE type = 'province' AND key LIKE '%/'`), "[185]")
	s.want("stats", s.query(`SELECT count(*) FROM stats`), "[50602]")
	s.want("sums", s.sums(), `"1727018195 953598635 75057412"`)
	s.want("documents", len(s.documents("covid")), 908)
	s.want("objects.new", counts["objects"]["new"], 454)
	s.want("stats.new", counts["stats"]["new"], 50602)
	s.want("documents.written", counts["documents"]["written"], 908)
	s.countriesAreSums()
	s.want("differences", s.checked(), []string{})

	before, docs := s.rows(), s.documentLines("covid")
	state, counts = s.await(s.submit(covidJob(folder, "2020-09-07")), patience)
	s.want("state", state, "done")
	for _, what := range []string{"objects", "stats", "tags"} {
		s.want(what+" new or changed", counts[what]["new"]+counts[what]["changed"], 0)
	}
	s.want("documents.written", counts["documents"]["written"], 0)
	s.sameLines("rows after the same again", s.rows(), before)
	s.sameLines("documents after the same again", s.documentLines("covid"), docs)

	state, counts = s.await(s.submit(covidJob(folder, "2020-09-13")), patience)
	s.want("state", state, "done")
	s.want("stats.new", counts["stats"]["new"], 1596)
	s.want("stats.changed", counts["stats"]["changed"], 3)
	s.want("documents.written", counts["documents"]["written"], 454)
	s.want("sums", s.sums(), `"1895219115 1066190750 80497133"`)
	s.countriesAreSums()
	s.want("differences", s.checked(), []string{})

	// What somebody changes by hand is named.
	if _, err := s.db.Exec(t.Context(), `
		UPDATE stats SET metrics = jsonb_set(metrics, '{Deaths}', '1413')
		WHERE day = '2020-09-07' AND object_id = (SELECT id FROM objects WHERE key = 'Afghanistan/')`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.docs.Collection("covid").UpdateOne(t.Context(), bson.M{"_id": "country/Italy/2020H1"}, bson.M{"$set": bson.M{"name": "Italia"}}); err != nil {
		t.Fatal(err)
	}
	found := strings.Join(s.checked(), "\n")
	for _, place := range []string{"province/Afghanistan//2020H2 days.2020-09-07.m.Deaths", "country/Afghanistan/2020H2 days.2020-09-07.m.Deaths", "country/Italy/2020H1 name"} {
		if !strings.Contains(found, place) {
			t.Errorf("leat check does not name %s, but says:\n%s", place, found)
		}
	}
}

// countriesAreSums compares each country's days with the sums of its provinces'.
func (s *system) countriesAreSums() {
	s.t.Helper()
	sums := map[string]int64{}
	add := func(country string, d bson.M, sign int64) {
		for _, v := range d["days"].(bson.D) {
			for _, m := range v.Value.(bson.D)[0].Value.(bson.D) {
				sums[country+" "+v.Key+" "+m.Key] += sign * m.Value.(int64)
			}
		}
	}
	for _, d := range s.documents("covid") {
		switch d["type"] {
		case "country":
			add(d["key"].(string), d, 1)
		case "province":
			add(d["path"].(bson.A)[0].(string)[len("country/"):], d, -1)
		}
	}
	for what, rest := range sums {
		if rest != 0 {
			s.t.Errorf("%s: the country has %d more than its provinces", what, rest)
		}
	}
}

// Real mistakes: each impossible date costs one record, with its line and reason.
func TestCovidImpossibleDates(t *testing.T) {
	s, folder := covid(t)
	s.start(1)
	job := s.submit(covidJob(folder, "2020-09-03"))
	state, counts := s.await(job, patience)
	s.want("state", state, "done")
	s.want("stats.rejected", counts["stats"]["rejected"], 36974)
	s.want("rejects", s.query(`SELECT count(*), count(DISTINCT position) FROM rejects WHERE job_id = $1`, job), "[36974 36974]")
	s.want("stats", counts["stats"]["new"]+counts["stats"]["unchanged"], 59850-36974)
	s.want("provinces", s.query(`SELECT count(*) FROM objects WHERE type = 'province'`), "[266]")
	first := s.query(`SELECT position, reason, record FROM rejects WHERE position = 'line 2'`)
	if len(first) != 1 {
		t.Fatalf("line 2 is not among the rejects")
	}
	s.want("the first reject", first[0], `"line 2" "Date is \"2020-22-01\"; a day (2006-01-02) or a moment (RFC 3339) is allowed" "2020-22-01,Afghanistan,,33.93911,67.709953,0,0,0"`)
}

// However many workers there are, and however their messages come, the end is
// the same.
func TestCovidInAnyOrder(t *testing.T) {
	reference, folder := covid(t)
	reference.start(1)
	for _, day := range []string{"2020-09-07", "2020-09-13"} {
		reference.await(reference.submit(covidJob(folder, day)), patience)
	}
	rows, documents := reference.rows(), reference.documentLines("covid")

	for _, workers := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d workers a stage, parts twice and in reverse", workers), func(t *testing.T) {
			s, folder := covid(t)
			stop := s.start(1, "fetch")
			first, second := s.submit(covidJob(folder, "2020-09-07")), ""
			s.until(patience, "the first file to be cut", func() bool { return s.cut(first) })
			second = s.submit(covidJob(folder, "2020-09-13"))
			s.until(patience, "the second file to be cut", func() bool { return s.cut(second) })
			stop()

			parts := s.take(rabbit.Delta, s.parts(first)+s.parts(second))
			slices.Reverse(parts)
			for _, p := range parts {
				s.publish(p, p)
			}
			s.start(workers)
			for _, job := range []string{first, second} {
				state, _ := s.await(job, patience)
				s.want("state", state, "done")
			}
			s.sameLines("rows", s.rows(), rows)
			s.sameLines("documents", s.documentLines("covid"), documents)
		})
	}
}

// cut reports whether all of a job's slices are cut.
func (s *system) cut(job string) bool {
	return s.query(`
		SELECT count(*) = 2 FROM ledger WHERE job_id = $1 AND stage = 'fetch' AND state = 'done'`, job)[0] == "true"
}

func (s *system) parts(job string) (n int) {
	_, err := fmt.Sscan(s.query(`SELECT coalesce(sum((counts->>'parts.fetched')::int), 0)::int FROM ledger WHERE job_id = $1`, job)[0], &n)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
