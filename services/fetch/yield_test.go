package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

// behind has the stages after fetch hold so many messages, and returns how often
// that was looked at.
func (b *bench) behind(messages *int, err error) (looks *int) {
	looks = new(int)
	b.YieldAbove = 300
	b.Longest = func(context.Context) (string, int, error) {
		*looks++
		return "leat.delta", *messages, err
	}
	return looks
}

// look has the next slice look at the queues, whatever the time.
func (b *bench) look() { b.gauge.stale = time.Time{} }

// waiting is what `leat job` reads of a slice.
func (b *bench) waiting(id string) string {
	return b.text(`SELECT state || ' ' || error_class || ' ' || attempts || ' ' || starts || ' ' || error FROM ledger WHERE message_id = $1`, id)
}

func TestBackfillsYieldToWhatTheStagesHaveToDo(t *testing.T) {
	b, depth := newBench(t), 301
	b.behind(&depth, nil)
	b.source("", "report: {path: '/r?from={from}&to={to}', lookback: 2d}, changes: {path: '/c?since={cursor}', cursor: next}")
	for _, mode := range []string{"backfill", "full"} {
		asked := b.asked()
		e := b.slice(`{"source":"ads","mode":"` + mode + `"}`)
		out := b.must(e)
		if b.asked() != asked || len(out) != 1 || out[0].ID != e.ID || out[0].Queue != b.Self || out[0].Wait != time.Second || out[0].Attempt != 0 {
			t.Fatalf("%s: asked %d times, %+v", mode, b.asked()-asked, out)
		}
		if w := b.waiting(e.ID); !strings.HasPrefix(w, "started yields 0 0 leat.delta holds 301 messages; a backfill") {
			t.Errorf("leat job says %q", w)
		}
		depth = 300
		b.look()
		if out := b.must(out[0]); len(out) != 0 || b.asked() != asked+1 {
			t.Errorf("%s with short queues: asked %d times, %+v", mode, b.asked()-asked, out)
		}
		depth = 301
		b.look()
	}
	asked := b.asked()
	b.says(`{"next":"n","ads":[]}`)
	refresh := b.must(b.slice(`{"source":"ads"}`))
	if len(refresh) != 1 || refresh[0].Wait != 0 || len(b.must(refresh[0])) != 0 || b.asked() != asked+2 {
		t.Errorf("a refresh waits for queues: %+v, asked %d times", refresh, b.asked()-asked)
	}
	if out := b.must(b.slice(`{"source":"ads","url":"` + b.url + `/x"}`)); len(out) != 0 {
		t.Errorf("a document waits for queues: %+v", out)
	}
}

// What an earlier try was told already is cut, however long the queues are; the
// page after it is not asked for.
func TestOnlyWhatIsToBeAskedYields(t *testing.T) {
	b, depth := newBench(t), 0
	b.behind(&depth, nil)
	b.source("", "report: {path: /r}, pages: {next: next}")
	b.says(`{"next":"2","ads":[` + ad(1) + `]}`)
	e := b.slice(backfill)
	b.sink.fails = 1
	if _, err := b.do(e); err == nil {
		t.Fatal("the process did not die")
	}
	depth = 301
	b.look()
	out := b.must(e)
	if len(out) != 1 || out[0].ID == e.ID || b.asked() != 1 {
		t.Fatalf("what was asked already: %+v, asked %d times", out, b.asked())
	}
	if page := b.must(out[0]); len(page) != 1 || page[0].ID != out[0].ID || b.asked() != 1 {
		t.Errorf("the next page: %+v, asked %d times", page, b.asked())
	}
}

// A process looks once a second, and knows what it has published since.
func TestQueuesAreLookedAtOnceASecond(t *testing.T) {
	b, depth := newBench(t), 299
	looks := b.behind(&depth, nil)
	b.source("", "report: {path: '/r?d={from}', slice: 1d, lookback: 30d}")
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"ads":[{"id":"a1","date":%q,"clicks":3}]}`, r.URL.Query().Get("d"))
	}
	slices := b.slicesOf(backfill)
	b.gauge.stale = time.Now().Add(time.Hour)
	b.gauge.queue, b.gauge.messages = "leat.delta", depth
	for _, e := range slices {
		b.must(e)
	}
	if *looks != 0 || b.asked() != 2 { // to 300, and to 301
		t.Errorf("looked %d times, asked %d times", *looks, b.asked())
	}
	b.look()
	b.must(slices[5])
	if *looks != 1 || b.asked() != 3 {
		t.Errorf("looked %d times, asked %d times", *looks, b.asked())
	}
}

func TestWhoeverWasHeldOftenComesBackMoreSeldom(t *testing.T) {
	b, depth := newBench(t), 1000
	b.behind(&depth, nil)
	e, waits := b.slice(backfill), map[time.Duration]int{}
	for range 40 {
		e = b.must(e)[0]
		waits[e.Wait]++
	}
	if fmt.Sprint(waits) != "map[1s:3 10s:27 1m0s:10]" {
		t.Error(waits)
	}
}

func TestAQueueThatCannotBeReadHoldsUpNothing(t *testing.T) {
	b, depth := newBench(t), 0
	looks := b.behind(&depth, pipeline.Unavailable(errors.New("no answer")))
	if out := b.must(b.slice(backfill)); len(out) != 0 || b.asked() != 1 || *looks != 1 {
		t.Errorf("asked %d times, looked %d times, %+v", b.asked(), *looks, out)
	}
	if len(b.sink.all()) != 1 {
		t.Error("no part was published")
	}
}
