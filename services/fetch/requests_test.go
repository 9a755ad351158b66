package fetch

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

// tagged is a source whose answers have a name each, and says what was asked of it.
func (b *bench) tagged(text *string) (unconditional func() int) {
	asked := 0
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		tag := `"` + pipeline.Hash(*text) + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == "" {
			asked++
		}
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, *text)
	}
	return func() int { n := asked; asked = 0; return n }
}

// run does a job of one slice to its end, and returns what was published.
func (b *bench) run(body string) string {
	b.t.Helper()
	slice := b.slice(body)
	if out := b.must(slice); len(out) > 0 {
		b.t.Fatalf("what follows is %+v", out)
	}
	b.finish(slice.Job, "done")
	return b.sink.take()
}

const refresh, backfill = `{"source":"ads"}`, `{"source":"ads","mode":"backfill"}`

func says(n int) string {
	return fmt.Sprintf(`{"ads":[{"id":"a1","date":"2026-11-13","clicks":%d}]}`, n)
}

func TestWhatDidNotChangeIsNotSentAgain(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: /r}")
	text := says(10)
	unconditional := b.tagged(&text)
	if b.run(refresh) == "" || unconditional() != 1 {
		t.Fatal("the first refresh brought nothing")
	}
	before := b.text(`SELECT next FROM cursors`)
	if got := b.run(refresh); got != "" || b.asked() != 2 || unconditional() != 0 {
		t.Errorf("asked %d times, %s", b.asked(), got)
	}
	if got := b.text(`SELECT counts->>'answers.unchanged' FROM ledger WHERE counts ? 'answers.unchanged'`); got != "1" {
		t.Errorf("answers that are unchanged: %s", got)
	}
	if after := b.text(`SELECT next FROM cursors`); after <= before {
		t.Errorf("the cursor went from %s to %s", before, after)
	}
	if got := b.text(`SELECT count(*)::text FROM answers`); got != "1" {
		t.Errorf("%s answers are kept", got)
	}
	text = says(11)
	if got := b.run(refresh); !strings.Contains(got, "11") || unconditional() != 0 {
		t.Errorf("what changed: %s", got)
	}
	if got := b.run(refresh); got != "" {
		t.Errorf("and no more: %s", got)
	}
}

// What a job was told is what PostgreSQL holds only when the job is done.
func TestAnAnswerThatDidNotArriveWhollyIsAskedForAgain(t *testing.T) {
	for _, state := range []string{"running", "incomplete", "failed", "cancelled"} {
		b := newBench(t)
		b.source("", "report: {path: /r}")
		text := says(10)
		unconditional := b.tagged(&text)
		slice := b.slice(refresh)
		b.must(slice)
		b.finish(slice.Job, state)
		b.sink.take()
		if got := b.run(refresh); !strings.Contains(got, "10") || unconditional() != 2 {
			t.Errorf("after a job that is %s: %s", state, got)
		}
	}
}

// The source says 10, then 12 to another request, then 10 again: the first
// answer's name must not hide that.
func TestAnAnswerThatComesBackIsNotTakenForTheLast(t *testing.T) {
	for name, between := range map[string]func(b *bench){
		"a backfill":                func(b *bench) { b.run(backfill) },
		"a document":                func(b *bench) { b.run(fmt.Sprintf(`{"source":"ads","url":"%s/x"}`, b.url)) },
		"the same address in a job": func(b *bench) { b.run(fmt.Sprintf(`{"source":"ads","url":"%s/r"}`, b.url)) },
		"another version of the file": func(b *bench) {
			b.source("timeout: 9s", "report: {path: /r}")
			b.run(refresh)
			b.source("", "report: {path: /r}")
		},
		"other days": func(b *bench) {
			b.source("", "report: {path: '/r?d={from}'}")
			b.run(backfill)
			b.source("", "report: {path: /r}")
		},
		"a refresh that has not ended":    func(b *bench) { b.must(b.slice(refresh)) },
		"a refresh that is asked for now": func(b *bench) { b.sink.fails = 1; _, _ = b.do(b.slice(refresh)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.source("", "report: {path: /r}")
			text := says(10)
			b.tagged(&text)
			b.run(refresh)
			text = says(12)
			between(b)
			b.sink.take()
			text = says(10)
			if got := b.run(refresh); !strings.Contains(got, ",10]") {
				t.Errorf("what came back was taken for unchanged: %q", got)
			}
		})
	}
}

// What was true at another time may have changed nothing.
func TestAnAnswerOfAnotherTimeIsNotTakenForTheLast(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: /r}")
	text := says(10)
	b.tagged(&text)
	b.run(refresh)
	text = says(12)
	const past = `{"source":"ads","as_of":"2026-01-01T00:00:00Z"}`
	if got := b.run(past); !strings.Contains(got, ",12]") {
		t.Errorf("the past: %s", got)
	}
	if got := b.run(past); !strings.Contains(got, ",12]") {
		t.Errorf("the past again: %s", got)
	}
	if got := b.run(refresh); !strings.Contains(got, ",12]") {
		t.Errorf("the present: %q", got)
	}
}

func TestASlicesDaysAreNotThoseOfAnother(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: '/r?d={from}', slice: 1d, lookback: 2d}")
	text := says(10)
	b.tagged(&text)
	named := b.must(job(refresh))[0]
	for _, slice := range b.must(named) {
		b.must(slice)
	}
	if got := b.text(`SELECT count(*)::text FROM requests WHERE etag <> ''`); got != "2" {
		t.Errorf("%s of two requests are known", got)
	}
}

func TestTheSameBytesAreNotCutAgain(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: /r}")
	b.says(says(10))
	if b.run(refresh) == "" {
		t.Fatal("the first refresh brought nothing")
	}
	if got := b.run(refresh); got != "" || b.asked() != 2 {
		t.Errorf("asked %d times, %s", b.asked(), got)
	}
	if b.run(backfill) == "" {
		t.Error("a backfill brings all, whatever is known")
	}
}

func TestPagesThatDidNotChangeAreNotCutAgain(t *testing.T) {
	b := newBench(t)
	b.source("", "pages: {number: page}, report: {path: /r}")
	book(t, b, "number")
	for round, want := range []bool{true, false} {
		named := b.must(job(refresh))[0]
		if err := b.follow(b.must(named)[0]); err != nil {
			t.Fatal(err)
		}
		b.finish(named.Job, "done")
		if got := b.sink.take(); (got != "") != want || b.asked() != 4*(round+1) {
			t.Errorf("round %d: asked %d times, %s", round, b.asked(), got)
		}
	}
}

func TestLastModified(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: /r}")
	since := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", since)
		if r.Header.Get("If-Modified-Since") == since {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, says(10))
	}
	b.run(refresh)
	if b.run(refresh) != "" || b.text(`SELECT count(*)::text FROM answers`) != "1" {
		t.Error("the answer was sent again")
	}
	h := http.Header{"Date": {since}, "Last-Modified": {since}}
	if _, modified := validators(h); modified != "" {
		t.Errorf("what may change once more within its second is called %q", modified)
	}
}
