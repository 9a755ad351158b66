package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

func TestADeadMessageStaysDeadUntilAPersonBringsItBack(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	l := postgres.Ledger{DB: c.db, Stage: stage}
	d := message(job, "a")
	if err := l.Dead(t.Context(), d.Envelope, pipeline.Death{Class: "failed", Reason: "why\x00 it\xff died", Attempts: 3}); err != nil {
		t.Fatal(err)
	}
	if got, want := row(t, c.db, "a"), "dead starts=0 replay=0 failed why it� died"; got != want {
		t.Errorf("row %q, want %q", got, want)
	}
	_, err := postgres.Once(t.Context(), c.db, stage, pipeline.Batch{d}, c.work(t.Context()))
	if !pipeline.IsPermanent(err) || err.Error() != "why it� died" {
		t.Errorf("got %v, want Permanent with the reason of its death", err)
	}

	d.Replay = 1
	wantIDs(t, "outputs of the replay", idsOf(c.once(t, d)), "a/1 a/2")
	if got, want := row(t, c.db, "a"), "done starts=0 replay=1 failed -"; got != want {
		t.Errorf("row %q, want %q", got, want)
	}
	if err := l.Dead(t.Context(), d.Envelope, pipeline.Death{Class: "crashed", Reason: "late"}); err != nil {
		t.Fatal(err)
	}
	d.Replay = 0 // the first one, which the broker delivers again
	wantIDs(t, "outputs again", idsOf(c.once(t, d)), "a/1 a/2")
	wantIDs(t, "effects", c.effects(t), "a")
}

func TestAReplayThatDiesCannotBeRevivedByAnOlderCopy(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	l := postgres.Ledger{DB: c.db, Stage: stage}
	d := message(job, "a")
	for _, replay := range []int{0, 2, 1} {
		d.Replay = replay
		if err := l.Dead(t.Context(), d.Envelope, pipeline.Death{Class: "permanent", Reason: "bad"}); err != nil {
			t.Fatal(err)
		}
	}
	d.Replay = 2
	if _, err := postgres.Once(t.Context(), c.db, stage, pipeline.Batch{d}, c.work(t.Context())); !pipeline.IsPermanent(err) {
		t.Errorf("replay 2, which died: %v, want Permanent", err)
	}
	d.Replay = 3
	c.once(t, d)
}

func TestASuccessorTakesThePlaceOfADeadMessage(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	l := postgres.Ledger{DB: c.db, Stage: stage}
	c.once(t, message(job, "done"))
	if err := l.Dead(t.Context(), message(job, "a").Envelope, pipeline.Death{Class: "permanent", Reason: "bad"}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time after a crash
		if err := postgres.Succeed(t.Context(), c.db, []postgres.Successor{
			{stage, "a", output("b", 1)}, {stage, "done", output("c", 1)}, {"another", "a", output("d", 1)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	var names string
	scan(t, c.db, []any{&names}, `SELECT string_agg(message_id || ' ' || state || ' ' || names::text, ', ' ORDER BY message_id) FROM ledger`)
	if want := "a done {b/1}, done done {done/1,done/2}"; names != want {
		t.Errorf("ledger %s, want %s", names, want)
	}
	sameOutputs(t, c.once(t, message(job, "a")), []pipeline.Envelope{output("b", 1)}) // the old one comes again
}

func TestStartsAreCountedUntilTheyReturn(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	l := postgres.Ledger{DB: c.db, Stage: stage}
	d := message(job, "a")
	start := func(want int) {
		t.Helper()
		if n, err := l.Start(t.Context(), d.Envelope); n != want || err != nil {
			t.Errorf("Start returned %d, %v, want %d", n, err, want)
		}
	}
	start(1)
	start(2)
	if err := l.Returned(t.Context(), d.Envelope); err != nil {
		t.Fatal(err)
	}
	start(1)
	start(2)
	if err := l.Dead(t.Context(), d.Envelope, pipeline.Death{Class: "crashed", Reason: "it kills"}); err != nil {
		t.Fatal(err)
	}
	d.Replay = 1
	start(1) // a person has brought it back
	wantIDs(t, "outputs", idsOf(c.once(t, d)), "a/1 a/2")
	start(0) // it is done, so it kills nobody
	start(0)
	wantIDs(t, "outputs again", idsOf(c.once(t, d)), "a/1 a/2")
	wantIDs(t, "effects", c.effects(t), "a")
}

func TestAMessageOfNoJobHasNoRow(t *testing.T) {
	t.Parallel()
	db := open(t)
	l := postgres.Ledger{DB: db, Stage: stage}
	for _, job := range []string{"", "job", uuid.NewString()} {
		e := message(job, "a").Envelope
		if n, err := l.Start(t.Context(), e); n != 0 || err != nil {
			t.Errorf("job %q: Start returned %d, %v", job, n, err)
		}
		if err := errors.Join(l.Returned(t.Context(), e), l.Dead(t.Context(), e, pipeline.Death{})); err != nil {
			t.Errorf("job %q: %v", job, err)
		}
	}
	var rows int
	scan(t, db, []any{&rows}, `SELECT count(*) FROM ledger`)
	if rows != 0 {
		t.Errorf("%d rows", rows)
	}
}

func TestTheLedgerRefusesAnIDThatIsNoText(t *testing.T) {
	t.Parallel()
	db := open(t)
	l := postgres.Ledger{DB: db, Stage: stage}
	if _, err := l.Start(t.Context(), message(job(t, db), "a\x00b").Envelope); !pipeline.IsPermanent(err) {
		t.Errorf("got %v, want Permanent: no retry cures it", err)
	}
}

func TestALedgerWithoutAServerIsAnOutage(t *testing.T) {
	t.Parallel()
	l := postgres.Ledger{DB: connect(t, "postgres://leat@127.0.0.1:1/leat"), Stage: stage}
	e := message(uuid.NewString(), "a").Envelope
	_, err := l.Start(t.Context(), e)
	for _, err := range []error{err, l.Returned(t.Context(), e), l.Dead(t.Context(), e, pipeline.Death{})} {
		if !pipeline.IsUnavailable(err) {
			t.Errorf("got %v, want Unavailable", err)
		}
	}
}
