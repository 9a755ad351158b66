package e2e

import (
	"testing"

	"github.com/leatflow/leat/services/client"
)

// checked runs `leat check` and returns its differences.
func (s *system) checked() []string {
	s.t.Helper()
	c := s.client()
	var found []string
	if _, err := c.Check(s.t.Context(), client.Checking{}, func(d client.Difference) { found = append(found, d.Text) }); err != nil {
		s.t.Fatal(err)
	}
	return found
}

func (s *system) client() *client.Client {
	s.t.Helper()
	c, err := client.Open(s.t.Context(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// A PostgreSQL that was restored from a backup does not overwrite what is newer
// than it, and a rebuild makes MongoDB follow it.
func TestRestoredPostgres(t *testing.T) {
	t.Parallel()
	s, platform := ads(t, 200<<10)
	s.start(1)
	s.await(s.submit(adsJob), patience)
	s.want("differences", s.checked(), []string{})

	for _, sql := range []string{
		`UPDATE stats SET metrics = metrics || '{"clicks": 7}' WHERE object_id = (SELECT min(object_id) FROM stats)`, // as it was then
		`ALTER SEQUENCE rev RESTART WITH 1`,
	} {
		if _, err := s.db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	revise(t, platform, "0.5")
	before := s.documentLines("ads")
	job := s.submit(adsJob)
	s.until(patience, "the changes to be marked", func() bool {
		return s.query(`SELECT count(*) > 0 FROM ledger WHERE stage = 'rollup' AND job_id = $1`, job)[0] == "true"
	})
	s.sameLines("documents before the rebuild", s.documentLines("ads"), before)

	if _, err := s.client().Rebuild(t.Context(), func(client.Difference) {}); err != nil {
		t.Fatal(err)
	}
	state, _ := s.await(job, patience)
	s.want("state", state, "done")
	s.until(patience, "the repair to end", func() bool {
		return len(s.query(`SELECT 1 FROM jobs WHERE state IN ('queued', 'running')`)) == 0
	})
	s.want("differences after the rebuild", s.checked(), []string{})
}
