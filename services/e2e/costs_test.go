package e2e

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// many is n, or what LEAT_TEST_OBJECTS says.
func many(t *testing.T, n int) int {
	t.Helper()
	text := os.Getenv("LEAT_TEST_OBJECTS")
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// pagesFrom writes a source that reads the platform's ads in pages, at least 300
// of them, and refreshes those that changed.
func (s *system) pagesFrom(platform *httptest.Server, ads int) {
	s.t.Helper()
	s.source("ads.yaml", fmt.Sprintf(`
source: ads
timezone: Europe/Berlin
accounts: [acme, globex]
http: {base_url: %q}
fetch:
  changes: {path: "/ads/changes?account={account}&since={cursor}", cursor: next, ids: ads.id, batch: 100,
    report: "/ads/pages?account={account}&from={from}&to={to}&ids={ids}"}
  report: {path: "/ads/pages?account={account}&from={from}&to={to}&limit=%d", lookback: 7d}
  pages: {next: paging.next}
records:
  - each: ads
    object: {type: ad, key: id, name: name, attributes: [headline, url], parent: {type: adgroup, key: adgroup_id}}
    children: [{each: stats, stat: {day: date, dimensions: [os], metrics: "*"}}]
annotate: {landing: 'urlParts(url)?.host'}
`, platform.URL, min(100, ads/300)))
}

// A refresh of many objects of which 1 % changed makes at most 1/50 of the
// requests, bytes and messages of a full fetch, through all stages; one of none
// makes a request an account, and writes nothing.
func TestARefreshOfOneInAHundred(t *testing.T) {
	n := many(t, 3000)
	s, platform := newSystem(t), today(t, int64(n)*5020) // of bytes an ad
	s.pagesFrom(platform, n)
	s.start(1)
	limit := patience * time.Duration(1+n/1000)
	full, counts := s.do(platform, `{"source":"ads"}`, limit)
	t.Logf("full: %+v, %v", full, counts)
	s.want("ads", s.one(`SELECT count(*) FROM objects WHERE type = 'ad'`), n)

	before := s.written()
	nothing, counts := s.do(platform, `{"source":"ads"}`, limit)
	t.Logf("nothing: %+v, %v", nothing, counts)
	s.want("requests of a refresh of nothing", nothing.requests, 2)
	s.want("its parts and documents", counts["parts"]["fetched"]+counts["documents"]["written"], 0)
	s.want("what it wrote", s.written(), before)

	revise(t, platform, "0.00049") // of (ad, day) pairs: 1 % of ads, in the month that is looked at
	some, counts := s.do(platform, `{"source":"ads"}`, limit)
	t.Logf("1 %%: %+v, %v", some, counts)
	if share := float64(counts["objects"]["named"]) / float64(n); share < 0.005 || share > 0.02 {
		t.Errorf("%.2f %% of the ads changed", 100*share)
	}
	if some.requests*50 > full.requests || some.bytes*50 > full.bytes || some.messages*50 > full.messages {
		t.Errorf("full: %+v; 1 %%: %+v", full, some)
	}
	if counts["stats"]["changed"] == 0 {
		t.Error("nothing changed")
	}
	s.want("differences", s.checked(), []string{})
}

// counts has PostgreSQL count the statements of this system's workers, if it can:
// what scripts/stack starts can.
func (s *system) counts() bool {
	s.t.Helper()
	if !strings.Contains(s.query(`SHOW shared_preload_libraries`)[0], "pg_stat_statements") {
		s.t.Log("PostgreSQL runs without pg_stat_statements: its rows are counted, its statements are not")
		return false
	}
	for _, sql := range []string{
		`CREATE EXTENSION pg_stat_statements`,
		fmt.Sprintf(`ALTER DATABASE %q SET pg_stat_statements.track = 'top'`, s.db.Config().ConnConfig.Database),
	} {
		if _, err := s.db.Exec(s.t.Context(), sql); err != nil {
			s.t.Fatal(err)
		}
	}
	return true
}

// stated are the statements about stats since they were last asked for, and the
// rows that these read and wrote.
func (s *system) stated() (statements, read, wrote int) {
	s.t.Helper()
	err := s.db.QueryRow(s.t.Context(), `
		SELECT coalesce(sum(calls), 0), coalesce(sum(rows) FILTER (WHERE query ~ '^\s*SELECT'), 0), coalesce(sum(rows) FILTER (WHERE query !~ '^\s*SELECT'), 0)
		FROM pg_stat_statements(true), pg_database d
		WHERE dbid = d.oid AND d.datname = current_database() AND query ~ '\mstats\M'`).Scan(&statements, &read, &wrote)
	if err != nil {
		s.t.Fatal(err)
	}
	s.query(`SELECT pg_stat_statements_reset(0, oid) FROM pg_database WHERE datname = current_database()`)
	return statements, read, wrote
}

// tuples are the rows of stats that were inserted, updated and deleted, all told.
// What a connection wrote is known when it has ended.
func (s *system) tuples() []string {
	s.t.Helper()
	s.until(patience, "the workers' connections to end", func() bool {
		backends := s.one(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'`)
		return backends <= int(s.db.Stat().TotalConns())
	})
	return s.query(`SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables WHERE relid IN (SELECT relid FROM pg_partition_tree('stats'))`)
}

// A backfill of 30 days reads and writes each object, day and dimensions once,
// in statements of a batch, and none of what it finds as it was.
func TestABackfillReadsAndWritesEachDayOnce(t *testing.T) {
	s, platform := newSystem(t), today(t, 2*int64(many(t, 100))*5020) // of two accounts
	s.adsFrom(platform.URL)
	counts := s.counts()
	round := func(what string, read, written func(rows int) int, total string) {
		t.Helper()
		parts := s.backfilledRows()
		rows := s.one(`SELECT count(*) FROM stats`)
		s.want(what+": rows inserted, updated and deleted so far", s.tuples(), strings.ReplaceAll(total, "all", strconv.Itoa(rows)))
		if !counts {
			return
		}
		statements, gotRead, gotWritten := s.stated()
		t.Logf("%s: of %d rows %d read and %d written, by %d statements of %d parts", what, rows, gotRead, gotWritten, statements, parts)
		s.want(what+": rows read and written", []int{gotRead, gotWritten}, []int{read(rows), written(rows)})
		if statements > 2*parts {
			t.Errorf("%s: %d statements of %d parts", what, statements, parts)
		}
	}
	each, none := func(rows int) int { return rows }, func(int) int { return 0 }
	round("new", none, each, "[all 0 0]")
	revise(t, platform, "1")
	round("restated", each, each, "[all all 0]")
	round("the same", none, none, "[all all 0]")
	s.start(1)
	s.until(patience, "the jobs to end", func() bool { return s.one(`SELECT count(*) FROM jobs WHERE state <> 'done'`) == 0 })
	s.want("differences", s.checked(), []string{})
}

// backfilledRows backfills the month of one account, up to the rows, and returns
// how many parts that took.
func (s *system) backfilledRows() (parts int) {
	s.t.Helper()
	stop := s.start(1, "fetch", "delta")
	defer stop()
	job := s.submit(`{"source":"ads","account":"acme","mode":"backfill"}`)
	s.until(3*patience, "delta to have done all parts", func() bool {
		parts = s.one(`SELECT coalesce(sum((counts->>'parts.fetched')::int), 0) FROM ledger WHERE job_id = $1`, job)
		return parts > 0 && s.one(`SELECT count(*) FROM ledger WHERE job_id = $1 AND stage = 'delta' AND state = 'done'`, job) == parts
	})
	return parts
}
