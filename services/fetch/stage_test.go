package fetch

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

// Whoever could not put it back names it anew: of the first name nothing may stay
// behind, which would never end.
func TestAJobWithoutAnIDGetsOneAndThenARow(t *testing.T) {
	b := newBench(t)
	b.must(job(`{"source":"ads"}`)) // the broker is away, so that this is not put back
	out := b.must(job(`{"source":"ads"}`))
	if len(out) != 1 || out[0].ID != out[0].Job || out[0].Queue != "leat.fetch" || string(out[0].Body) != `{"source":"ads"}` {
		t.Fatalf("it was put back as %+v", out)
	}
	if got := b.text(`SELECT count(*)::text FROM jobs`); got != "0" {
		t.Errorf("%s jobs before one has its name", got)
	}
	if b.asked() > 0 {
		t.Error("the source was asked already")
	}
	slices := b.must(out[0])
	if got := b.text(`SELECT concat_ws(' ', id, source, mode, state, via) FROM jobs`); got != out[0].Job+" ads refresh running queue" || len(slices) != 1 || slices[0].Job != out[0].Job {
		t.Errorf("jobs %s, slices %+v", got, slices)
	}
	if again := b.must(out[0]); len(again) != 1 || again[0].ID != slices[0].ID {
		t.Errorf("delivered again it became %+v", again)
	}
}

func TestASendersIDNamesOneJob(t *testing.T) {
	b := newBench(t)
	first := b.must(job(`{"source":"ads","id":"nightly"}`))
	again := b.must(job(`{"id": "nightly", "source": "ads"}`))
	if len(first) != 1 || len(again) != 1 || first[0].ID != again[0].ID || b.text(`SELECT count(*)::text FROM jobs`) != "1" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	_, err := b.do(job(`{"source":"ads","id":"nightly","mode":"full"}`))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `id: "nightly" was the id of another job of source ads`) {
		t.Errorf("another body: %v", err)
	}
	named := job(`{"source":"ads"}`)
	named.ID = "nightly" // AMQP's message_id is the sender's id too
	if _, err := b.do(named); !pipeline.IsPermanent(err) {
		t.Errorf("another body under the message's id: %v", err)
	}
}

func TestAWrongJobIsPermanent(t *testing.T) {
	b := newBench(t)
	for body, says := range map[string]string{
		`{"source":"adds"}`:                         `source: found "adds"; there are ads`,
		`{"source":"ads","account":"acme"}`:         "source ads has no accounts",
		`{"source":"ads","days":3}`:                 `unknown field "days"`,
		`{"source":"ads","mode":"full","from":"x"}`: "from, to",
	} {
		e := job(body)
		e.ID = pipeline.Hash(body)
		if _, err := b.do(e); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", body, err)
		}
	}
	newer := job(`{}`)
	newer.Kind = "leat.job.v2"
	if _, err := b.do(newer); verdict(err) != "later" {
		t.Errorf("a newer version: %v", err)
	}
}

func TestASliceIsAskedForOnceWhateverTheSourceSaysLater(t *testing.T) {
	b := newBench(t)
	slice := b.slice(`{"source":"ads"}`)
	b.sink.fails = 1
	if _, err := b.do(slice); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	first := b.sink.take()
	b.says(`{"ads":[{"id":"a1","date":"2026-11-13","clicks":99}]}`)
	b.must(slice)
	if again := b.sink.take(); again != first || b.asked() != 1 || strings.Contains(again, `,99]`) {
		t.Errorf("asked %d times; the first time\n%s\nthe second\n%s", b.asked(), first, again)
	}
	b.must(slice)
	if again := b.sink.take(); again != "" || b.asked() != 1 {
		t.Errorf("what was done is done again: asked %d times, %s", b.asked(), again)
	}
	if got := b.text(`SELECT concat_ws(' ', counts->>'answers.fetched', counts->>'parts.fetched', cardinality(names)) FROM ledger WHERE message_id = $1`, slice.ID); got != "1 1 1" {
		t.Errorf("ledger: %s", got)
	}
}

func TestAnAnswerWhoseBytesAreGoneIsAskedForAnew(t *testing.T) {
	b := newBench(t)
	slice := b.slice(`{"source":"ads"}`)
	b.sink.fails = 1
	if _, err := b.do(slice); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	first := b.sink.take()
	if err := os.RemoveAll(b.folder); err != nil {
		t.Fatal(err)
	}
	b.must(slice)
	if again := b.sink.take(); again == first || b.asked() != 2 || again == "" {
		t.Errorf("asked %d times; the first time\n%s\nthe second\n%s", b.asked(), first, again)
	}
	if got := b.text(`SELECT string_agg(n::text, ' ' ORDER BY n) FROM answers`); got != "0 1" {
		t.Errorf("answers: %s", got)
	}
}

func TestABrokenAnswerIsAskedForAgain(t *testing.T) {
	for name, garbage := range map[string]string{"garbage": "<html>Service Unavailable</html>", "cut": `{"ads":[{"id":"a1","date":"2026-11-13","cli`, "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			slice := b.slice(`{"source":"ads"}`)
			sound := b.answer
			b.says(garbage)
			_, err := b.do(slice)
			if verdict(err) != "again" || !strings.Contains(err.Error(), "answer of http") {
				t.Fatalf("got %v", err)
			}
			if got := b.text(`SELECT (broken IS NOT NULL)::text FROM answers`); got != "true" {
				t.Errorf("marked as broken: %s", got)
			}
			b.answer = sound
			b.must(slice)
			if got := b.sink.take(); !strings.Contains(got, `"a2"`) || b.asked() != 2 {
				t.Errorf("asked %d times, parts %s", b.asked(), got)
			}
		})
	}
}

func TestABusySourceLeavesNoAnswer(t *testing.T) {
	b := newBench(t)
	slice := b.slice(`{"source":"ads"}`)
	b.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	if _, err := b.do(slice); verdict(err) != "later" {
		t.Errorf("got %v", err)
	}
	if got := b.text(`SELECT count(*)::text FROM answers`); got != "0" || b.sink.take() != "" {
		t.Errorf("%s answers", got)
	}
}

func TestRejectsAreKeptBeforeThePartThatFollowsThem(t *testing.T) {
	b := newBench(t)
	slice := b.slice(`{"source":"ads"}`)
	b.says(`{"ads":[{"id":"","date":"2026-11-13","clicks":1},{"id":"a1","date":"1999-11-13","clicks":1},{"id":"a2","date":"2026-11-13","clicks":2}]}`)
	b.sink.check = func(e pipeline.Envelope) {
		var n int
		if err := b.DB.QueryRow(t.Context(), `SELECT count(*) FROM rejects WHERE job_id = $1`, e.Job).Scan(&n); err != nil || n != 2 {
			t.Errorf("%d rejects are kept, want 2: %v", n, err)
		}
	}
	b.must(slice)
	if b.sink.take() == "" {
		t.Error("no part was published")
	}
	if got := b.text(`SELECT count(*)::text FROM rejects WHERE source = 'ads' AND reason <> '' AND record LIKE '{%'`); got != "2" {
		t.Errorf("%s whole rejects, want 2", got)
	}
}

func TestTheCursorMovesWhenItsJobIsDone(t *testing.T) {
	b := newBench(t)
	from := func(e pipeline.Envelope) string {
		s, err := pipeline.Decode[event.Slice](e)
		if err != nil {
			t.Fatal(err)
		}
		return s.From
	}
	today := b.text(`SELECT (now() AT TIME ZONE 'UTC')::date::text`)
	yesterday := b.text(`SELECT ((now() AT TIME ZONE 'UTC')::date - 1)::text`)
	first := b.slice(`{"source":"ads"}`)
	b.must(first)
	if got := b.text(`SELECT concat_ws(' ', coalesce(value, 'none'), job_id) FROM cursors WHERE next IS NOT NULL`); got != "none "+first.Job {
		t.Errorf("cursor: %s", got)
	}
	second := b.slice(`{"source":"ads"}`)
	if got := from(second); got != yesterday {
		t.Errorf("while the first job runs, the second begins at %s, want %s", got, yesterday)
	}
	b.must(second)
	b.finish(second.Job, "incomplete")
	third := b.slice(`{"source":"ads"}`)
	if got := from(third); got != yesterday {
		t.Errorf("after an incomplete job, the next begins at %s, want %s", got, yesterday)
	}
	b.must(third)
	b.finish(third.Job, "done")
	if got := from(b.slice(`{"source":"ads"}`)); got != today {
		t.Errorf("after a job that is done, the next begins at %s, want %s", got, today)
	}
	if got := b.text(`SELECT (value IS NOT NULL AND next IS NULL)::text FROM cursors`); got != "true" {
		t.Error("the cursor did not move")
	}
}

func TestABackfillMovesNoCursor(t *testing.T) {
	b := newBench(t)
	b.must(b.slice(`{"source":"ads","mode":"backfill"}`))
	if got := b.text(`SELECT count(*)::text FROM cursors`); got != "0" {
		t.Errorf("%s cursors", got)
	}
}

func TestTheEarliestSliceOfAJobIsItsCursor(t *testing.T) {
	b := newBench(t)
	slice := b.slice(`{"source":"ads"}`)
	b.must(slice)
	b.exec(`UPDATE cursors SET next = '2026-01-01T00:00:00.000000Z'`)
	if err := postgres.InTx(t.Context(), b.DB, func(tx pgx.Tx) error {
		return setNextCursor(t.Context(), tx, "ads", "", slice.Job, *observed(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)))
	}); err != nil {
		t.Fatal(err)
	}
	if got := b.text(`SELECT next FROM cursors`); got != "2026-01-01T00:00:00.000000Z" {
		t.Errorf("next is %s", got)
	}
}

// A person's word stands against a job that had begun before.
func TestACursorThatAPersonSetStays(t *testing.T) {
	b := newBench(t)
	slice := b.slice(refresh)
	b.exec(`INSERT INTO cursors (source, account, stream, set_at) VALUES ('ads', '', 'report', clock_timestamp())`)
	b.must(slice)
	if got := b.text(`SELECT coalesce(next, 'none') FROM cursors`); got != "none" {
		t.Errorf("next is %s", got)
	}
	b.must(b.slice(refresh))
	if got := b.text(`SELECT coalesce(next, 'none') FROM cursors`); got == "none" {
		t.Error("a job that began afterwards moves nothing")
	}
}

func TestADeadJobHasFailed(t *testing.T) {
	b := newBench(t)
	e := job(`{"source":"adds","id":"x"}`)
	if _, err := b.do(e); err == nil {
		t.Fatal("an unknown source was taken")
	}
	l := Ledger{postgres.Ledger{DB: b.DB, Stage: Name}}
	if err := l.Dead(t.Context(), e, pipeline.Death{Class: "permanent", Reason: "source: found \"adds\"\x00", Attempts: 1}); err != nil {
		t.Fatal(err)
	}
	if got := b.text(`SELECT concat_ws(' ', state, error, finished_at IS NOT NULL) FROM jobs`); got != `failed source: found "adds" t` {
		t.Errorf("jobs: %s", got)
	}
	e = job(`{"source":"ads","id":"other"}`)
	b.must(e)
	other := job(`{"source":"ads","id":"other","mode":"full"}`)
	if err := l.Dead(t.Context(), other, pipeline.Death{Class: "permanent", Reason: "id"}); err != nil {
		t.Fatal(err)
	}
	if got := b.text(`SELECT state FROM jobs WHERE sender_id = 'other'`); got != "running" {
		t.Errorf("a dead letter under a living job's id made it %s", got)
	}
}
