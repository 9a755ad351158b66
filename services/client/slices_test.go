package client

import (
	"fmt"
	"testing"
)

// A slice is done with all that follows from it: pages, and the objects that a
// list of changes named.
func TestASliceIsDoneWithWhatFollowsFromIt(t *testing.T) {
	i := installed(t)
	const job = "0198f1c2-0000-7000-8000-000000000001"
	i.exec(`INSERT INTO leat.jobs (id, source, mode, params, via, state) VALUES ($1, 'shop', 'backfill', '{}', 'queue', 'running')`, job)
	out := func(id, body string) string {
		return fmt.Sprintf(`{"id":%q,"kind":"leat.slice.v1","body":%s}`, id, body)
	}
	row := func(id, state, fault, counts, outputs string, names ...string) {
		i.exec(`INSERT INTO leat.ledger (stage, message_id, job_id, state, error, counts, outputs, names) VALUES ('fetch', $1, $2, $3, nullif($4, ''), $5, $6, coalesce($7, '{}'::text[]))`,
			id, job, state, fault, counts, "["+outputs+"]", names)
	}
	days := func(n int) string {
		return fmt.Sprintf(`{"account":"acme","from":"2026-11-%02d","to":"2026-11-%02d"}`, n, n+1)
	}
	row(job, "done", "", `{}`, out("a", days(10))+","+out("b", days(12))+","+out("c", days(14))+","+out("d", days(16))+","+out("e", days(18))+","+out("f", days(20)))
	row("a", "done", "", `{}`, out("a2", `{}`)) // its second page waits
	row("a2", "started", "the source answered 429", `{}`, "")
	row("b", "done", "", `{"objects.named": 2}`, "", "b1", "b2") // what it named is not all done
	row("b1", "done", "", `{}`, "")
	row("c", "done", "", `{"parts.fetched": 2}`, `{"id":"next","kind":"leat.job.v1","body":{}}`, "p1", "p2") // parts are delta's, and a job another's
	row("next", "started", "another job's", `{}`, "")
	row("d", "done", "", `{"slices.cancelled": 1}`, "")
	row("e", "dead", "400 Bad Request", `{}`, "")
	s, err := i.slices(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	want := "{6 1 1 1 1 [" +
		"{a waiting acme 2026-11-10 2026-11-11 the source answered 429} {b open acme 2026-11-12 2026-11-13 } {d cancelled acme 2026-11-16 2026-11-17 } " +
		"{e dead acme 2026-11-18 2026-11-19 400 Bad Request} {f open acme 2026-11-20 2026-11-21 }]}"
	if got := fmt.Sprint(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
