package fetch

import (
	"strings"
	"testing"
)

// halt says of all jobs what a person does.
func (b *bench) halt(halt string) { b.exec(`UPDATE jobs SET halt = nullif($1, '')`, halt) }

func TestAPausedJobsSlicesWaitUntilItIsResumed(t *testing.T) {
	b := newBench(t)
	e := b.slice(refresh)
	b.halt(Paused)
	out := b.must(e)
	if b.asked() != 0 || len(out) != 1 || out[0].ID != e.ID || out[0].Wait == 0 || out[0].Attempt != 0 {
		t.Fatalf("asked %d times, %+v", b.asked(), out)
	}
	if w := b.waiting(e.ID); !strings.HasPrefix(w, "started paused 0 0 the job is paused; `leat resume "+e.Job) {
		t.Errorf("leat job says %q", w)
	}
	b.halt("")
	if out := b.must(out[0]); len(out) != 0 || b.asked() != 1 {
		t.Errorf("after it was resumed: asked %d times, %+v", b.asked(), out)
	}
}

func TestACancelledJobsSlicesEndUnasked(t *testing.T) {
	b := newBench(t)
	e := b.slice(refresh)
	b.halt(Cancelled)
	for range 2 { // the second is a redelivery
		if out := b.must(e); len(out) != 0 || b.asked() != 0 {
			t.Fatalf("asked %d times, %+v", b.asked(), out)
		}
	}
	if got := b.text(`SELECT state || counts FROM ledger WHERE message_id = $1`, e.ID); got != `done{"slices.cancelled": 1}` {
		t.Error(got)
	}
	if got := b.text(`SELECT count(*)::text FROM cursors`); got != "0" {
		t.Errorf("%s cursors", got)
	}
}

// A job that was cancelled before it was cut into slices has none.
func TestAJobThatIsCancelledInTimeHasNoSlices(t *testing.T) {
	b := newBench(t)
	named := b.must(job(refresh))
	if err := insertJob(t.Context(), b.DB, named[0].Job, "", Job{Source: "ads"}, named[0].Body); err != nil {
		t.Fatal(err)
	}
	b.halt(Cancelled)
	if out := b.must(named[0]); len(out) != 0 {
		t.Errorf("%+v", out)
	}
	if got := b.text(`SELECT state FROM jobs`); got != "running" {
		t.Errorf("it is %s: nobody ends it", got)
	}
}

// What was asked for before the word came is cut, and flows on.
func TestWhatHasBegunIsBroughtToItsEnd(t *testing.T) {
	for _, word := range []string{Paused, Cancelled} {
		b := newBench(t)
		b.source("", "report: {path: /r}, pages: {next: next}")
		b.says(`{"next":"2","ads":[` + ad(1) + `]}`)
		e := b.slice(backfill)
		b.sink.fails = 1
		if _, err := b.do(e); err == nil {
			t.Fatal("the process did not die")
		}
		b.sink.all()
		b.halt(word)
		page := b.must(e)
		if len(b.sink.all()) != 1 || len(page) != 1 || page[0].ID == e.ID {
			t.Fatalf("%s: %+v", word, page)
		}
		b.must(page[0])
		if b.asked() != 1 {
			t.Errorf("%s: asked %d times", word, b.asked())
		}
	}
}
