package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/client"
)

// repaired runs `leat check --repair`, waits for its jobs, and returns what it
// found. Nothing differs then.
func (s *system) repaired() (found []string) {
	s.t.Helper()
	checked, err := s.client().Check(s.t.Context(), client.Checking{Repair: true}, func(d client.Difference) { found = append(found, d.Text) })
	if err != nil || len(checked.Unchecked) > 0 {
		s.t.Fatal(err, checked.Unchecked)
	}
	s.until(patience, "the repair to end", func() bool {
		return len(s.query(`SELECT 1 FROM jobs WHERE state IN ('queued', 'running')`)) == 0
	})
	s.want("differences after the repair", s.checked(), []string{})
	if len(found) == 0 {
		s.t.Fatal("nothing was found")
	}
	return found
}

// lines is a file of a campaign with an ad.
func lines(name string, clicks int) string {
	return fmt.Sprintf(`{"c":%q,"g":[{"id":"g-%s","a":[{"id":"x-%s","s":[{"d":"2026-03-01","m":%d}]}]}]}`+"\n", name, name, name, clicks)
}

// Somebody purges a queue: check names the job that can never end, and a repair
// publishes what was lost again, from the ledger or by cutting the answer again.
func TestPurgedQueues(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.cfg.Fetch.Files = []string{t.TempDir()}
	s.source("x.yaml", nested)
	before := []string{"fetch"}
	for _, next := range []string{"delta", "annotate", "rollup"} {
		t.Run(next, func(t *testing.T) {
			queue := rabbit.Exchange + "." + next
			stop := s.start(1, before...)
			job := s.file("x", lines(next, 5))
			ch, done := s.channel()
			defer done()
			s.until(patience, "messages in "+queue, func() bool {
				q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
				return err == nil && q.Messages > 0 && len(s.query(`SELECT 1 FROM ledger WHERE job_id = $1 AND stage = $2`, job, before[len(before)-1])) > 0
			})
			stop()
			if n, err := ch.QueuePurge(queue, false); n == 0 || err != nil {
				t.Fatalf("purged %d messages, %v", n, err)
			}
			stop = s.start(1)
			defer stop()
			found := s.repaired()
			last := found[len(found)-1] // before it, perhaps, the documents that the job has not led to
			if !strings.Contains(last, "job "+job) || !strings.Contains(last, "1 messages from "+before[len(before)-1]+" to "+queue) {
				t.Errorf("found %q, want the job and %s", found, queue)
			}
			state, _ := s.await(job, patience)
			s.want("state", state, "done")
			s.want("clicks", s.query(`SELECT metrics FROM stats s JOIN objects o ON o.id = s.object_id WHERE o.key = $1`, "x-"+next), `[{"m":5}]`)
			if _, there := s.documents("x")["campaign/"+next+"/2026H1"]; !there {
				t.Error("the campaign has no document")
			}
			before = append(before, next)
		})
	}
}

// Tags that somebody edited, forgot or did not follow up are given again by
// annotate, and rollup writes them.
func TestEditedTags(t *testing.T) {
	t.Parallel()
	s := corner(t, 1)
	s.source("x.yaml", nested)
	s.load("x", lines("c1", 5))
	for name, sql := range map[string]string{
		"edited":    `UPDATE tags SET tags = '{"up": "c2"}'`,
		"deleted":   `DELETE FROM tags`,
		"not meant": `INSERT INTO tags (object_id, tags) SELECT id, '{"up": "c1"}' FROM objects WHERE type = 'campaign' ON CONFLICT (object_id) DO UPDATE SET tags = excluded.tags`,
		"not done":  `UPDATE objects SET key = 'c-renamed' WHERE key = 'c1'`,
	} {
		t.Run(name, func(t *testing.T) {
			want := s.query(`SELECT key, tags FROM tags t JOIN objects o ON o.id = t.object_id WHERE tags <> '{}' ORDER BY key`)
			if _, err := s.db.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			if name == "not done" {
				want = nil
			}
			found := s.repaired()
			if len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), "the annotators give the tags") {
				t.Errorf("found %q, want what the annotators give", found)
			}
			if want != nil {
				s.sameLines("tags", s.query(`SELECT key, tags FROM tags t JOIN objects o ON o.id = t.object_id WHERE tags <> '{}' ORDER BY key`), want)
			}
		})
	}
}
