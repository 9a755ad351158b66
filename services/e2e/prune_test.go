package e2e

import (
	"strings"
	"testing"
)

// What ended 30 days ago is forgotten, and a part that is older than the ledger
// reaches then is refused rather than put in the wrong order.
func TestPrune(t *testing.T) {
	t.Parallel()
	s, _ := ads(t, 20<<10)
	stop := s.start(1)
	s.await(s.submit(adsJob), patience)
	again := s.submit(adsJob) // sees everything and writes nothing
	s.await(again, patience)
	stop()
	rows := s.rows()
	if _, err := s.db.Exec(t.Context(), `UPDATE jobs SET finished_at = finished_at - interval '31 days'`); err != nil {
		t.Fatal(err)
	}
	s.start(1)
	s.until(patience, "the jobs to be forgotten", func() bool {
		return s.query(`SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM ledger) + (SELECT count(*) FROM answers)`)[0] == "0"
	})
	s.sameLines("rows", s.rows(), rows)

	state, _ := s.await(s.submit(`{"source":"ads","mode":"full","as_of":"2026-01-01T00:00:00Z"}`), patience)
	s.want("state of an older job", state, "failed")
	letters := s.letters(1)
	s.want("its reason", strings.Contains(letters[0].Headers["error"].(string), "fetch these days again"), true)
	state, _ = s.await(s.submit(adsJob), patience)
	s.want("state of a new job", state, "done")
	s.sameLines("rows after a new job", s.rows(), rows)
}
