package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

func TestAStreamBecomesPartsAsItComesAndGoesOnWhereItWas(t *testing.T) {
	for way, fetch := range map[string]string{
		"by header":    "stream: {path: /s}",
		"by parameter": "stream: {path: '/s?since={cursor}', format: ndjson, cursor: n}",
	} {
		t.Run(way, func(t *testing.T) {
			c := newChannel(t, fetch)
			c.kind = map[bool]string{true: "text/event-stream", false: "application/x-ndjson"}[c.sse]
			slice := c.slice(refresh)
			c.say("a", "b")
			r := c.start(c.Stage, slice)
			c.until("2", cursorNow)
			c.say("c")
			c.until("3", cursorNow) // over the same connection
			out := r.stop()
			if len(out) != 1 || out[0].ID != slice.ID || out[0].Wait != time.Second {
				t.Fatalf("at the worker's end the slice is not put back: %+v", out)
			}
			r = c.start(c.another(), out[0])
			c.say("d")
			c.until("4", cursorNow)
			r.stop()
			if got, asks := texts(c.sink.all()), c.began(); got != "m1 m2 m3 m4" || asks != "/s , /s 3" {
				t.Errorf("got %s; asked %s", got, asks)
			}
			if got := c.text(`SELECT string_agg(position, ' ' ORDER BY n) FROM answers`); !strings.HasSuffix(got, "3 4") {
				t.Errorf("positions of the answers: %s", got)
			}
			if got := c.text(`SELECT sum((counts ->> 'answers.bytes')::int)::text || ' ' || (SELECT sum(bytes) FROM answers) FROM ledger`); strings.Fields(got)[0] != strings.Fields(got)[1] {
				t.Errorf("bytes in the ledger and in the answers: %s", got)
			}
		})
	}
}

// Whether the broker had the last part or not when a worker died, each record is
// in one part, under one name, and what was committed is not asked for again.
func TestAWorkerThatDiesRepeatsOneStretch(t *testing.T) {
	for _, had := range []bool{true, false} {
		t.Run(fmt.Sprint("the broker had it: ", had), func(t *testing.T) {
			c := newChannel(t, "stream: {path: /s}")
			slice := c.slice(refresh)
			c.say("a", "b")
			r := c.start(c.Stage, slice)
			c.until("2", cursorNow)
			parts := c.sink.all()
			c.sink.mu.Lock()
			c.sink.fails = 1
			c.sink.mu.Unlock()
			c.say("c")
			<-r.done
			if r.err == nil {
				t.Fatal("nothing died")
			}
			if last := c.sink.all(); had {
				parts = append(parts, last...)
			}
			if got := c.text(cursorNow); got != "2" {
				t.Errorf("the cursor is %s, past what is not confirmed", got)
			}
			c.say("d")
			r = c.start(c.another(), slice)
			c.until("4", cursorNow)
			r.stop()
			if got, asks := texts(append(parts, c.sink.all()...)), c.began(); got != "m1 m2 m3 m4" || asks != "/s , /s 3" {
				t.Errorf("got %s; asked %s", got, asks)
			}
		})
	}
}

func TestAStreamIsReadByOneWorker(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	slice := c.slice(refresh)
	c.say("a")
	r := c.start(c.Stage, slice)
	c.until("1", cursorNow)

	out, err := c.another().Handle(t.Context(), pipeline.Batch{{Envelope: slice}})
	if err != nil || len(out) != 1 || out[0].ID != slice.ID || out[0].Wait == 0 {
		t.Errorf("the same slice in another worker became %+v, %v", out, err)
	}
	second := c.slice(refresh)
	out, err = c.another().Handle(t.Context(), pipeline.Batch{{Envelope: second}})
	if err != nil || len(out) != 0 || c.text(`SELECT counts::text FROM ledger WHERE message_id = $1`, second.ID) != `{"streams.held": 1}` {
		t.Errorf("another job became %+v, %v", out, err)
	}

	// A worker that was thought dead, and wakes up when another has the slice.
	c.exec(`UPDATE streams SET until = now() - interval '1 second'`)
	other := c.start(c.another(), slice)
	c.until("2", `SELECT count(DISTINCT x)::text FROM (SELECT unnest($1::text[]) AS x UNION SELECT holder::text FROM streams) AS h`, []string{c.text(`SELECT holder::text FROM streams`)})
	c.say("b")
	first := r.wait()
	c.until("2", cursorNow)
	other.stop()
	if len(first) != 1 || first[0].ID != slice.ID {
		t.Errorf("who lost the stream returned %+v", first)
	}
	if got := texts(c.sink.all()); got != "m1 m2" {
		t.Errorf("got %s", got)
	}
}

// A worker that was thought dead may wake up anywhere: each of its commits is refused.
func TestWhoLostTheStreamCommitsNothing(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	e := c.slice(refresh)
	slice, err := pipeline.Decode[event.Slice](e)
	if err != nil {
		t.Fatal(err)
	}
	src, err := c.Sources.Get(t.Context(), slice.Version)
	if err != nil {
		t.Fatal(err)
	}
	of := task{Delivery: pipeline.Delivery{Envelope: e}, slice: slice, src: src}
	h, err := c.hold(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	a := Answer{Format: "ndjson", Position: "1", ObservedAt: time.Now(), AskedAt: time.Now()}
	if err := take(c.Archive, strings.NewReader(`{"id":"m1"}`), &a); err != nil {
		t.Fatal(err)
	}
	defer a.close()
	c.exec(`UPDATE streams SET holder = gen_random_uuid()`)
	for what, commit := range map[string]func() error{
		"an answer":    func() error { return c.keepStretch(t.Context(), of, h, &a) },
		"a stretch":    func() error { return c.finishStretch(t.Context(), of, h, a, nil, pieces{}) },
		"the next job": func() error { _, err := c.handOver(t.Context(), of, h, false); return err },
	} {
		if _, lost := errors.AsType[parked](commit()); !lost {
			t.Errorf("who lost the stream commits %s", what)
		}
	}
	if got := c.text(`SELECT (SELECT count(*) FROM answers) || ' ' || (SELECT count(*) FROM cursors) || ' ' || (SELECT count(*) FROM jobs)`); got != "0 0 1" {
		t.Errorf("answers, cursors and jobs: %s", got)
	}
}

// A job has the stream for a lease; then the next has it, under the source file as
// it is then.
func TestAfterItsLeaseAJobGivesTheStreamToTheNext(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	slice := c.slice(refresh)
	c.say("a")
	r := c.start(c.Stage, slice)
	c.until("1", cursorNow)
	r.stop()
	c.exec(`UPDATE streams SET began = began - interval '1 hour'`)
	out := c.must(slice)
	if len(out) != 1 || out[0].Kind != event.KindJob || out[0].ID != out[0].Job || out[0].Job == slice.Job || out[0].Wait != 0 {
		t.Fatalf("the lease's end is %+v", out)
	}
	next := out[0]
	if got := c.text(`SELECT concat_ws(' ', source, mode, state, via, params ->> 'source') FROM jobs WHERE id = $1`, next.Job); got != "ads refresh queued stream ads" {
		t.Errorf("the next job is %s", got)
	}
	if again := c.must(slice); len(again) != 1 || again[0].ID != next.ID {
		t.Errorf("delivered again, what was not published is %+v", again)
	}
	if got := c.text(`SELECT count(*)::text FROM ledger l, unnest(l.names) AS name WHERE l.job_id = $1 AND name = $2`, slice.Job, next.ID); got != "0" {
		t.Error("the job waits for the one that follows it")
	}
	if out := c.must(c.slice(refresh)); len(out) != 0 {
		t.Errorf("a job that comes between has %+v", out)
	}
	c.file("stream: {path: /other}")
	slices := c.must(next)
	if again := c.must(slice); len(again) != 0 {
		t.Errorf("delivered again when the next job was done it is %+v: a message that is there twice goes on twice", again)
	}
	r = c.start(c.Stage, slices[0])
	c.say("b")
	c.until("2", cursorNow)
	r.stop()
	if got, asks := texts(c.sink.all()), c.began(); got != "m1 m2" || asks != "/s , /other 1" {
		t.Errorf("got %s; asked %s", got, asks)
	}
	if got := c.text(`SELECT string_agg(value, ' ') FROM cursor_history`); got != "1" {
		t.Errorf("history of the cursor: %s", got)
	}
}

func TestAJobThatIsCancelledStopsItsStream(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	slice := c.slice(refresh)
	c.say("a")
	r := c.start(c.Stage, slice)
	c.until("1", cursorNow)
	c.halt(Paused)
	c.say("b")
	out := r.wait()
	if len(out) != 1 || out[0].ID != slice.ID || !strings.Contains(c.waiting(slice.ID), "the job is paused") {
		t.Fatalf("a paused one: %+v", out)
	}
	c.halt(Cancelled)
	if out := c.must(out[0]); len(out) != 0 {
		t.Errorf("it goes on: %+v", out)
	}
	c.exec(`UPDATE jobs SET state = 'cancelled'`) // as rollup does
	next := c.slice(refresh)                      // a new job begins where it ended
	r = c.start(c.Stage, next)
	c.say("c")
	c.until("3", cursorNow)
	r.stop()
	if got := texts(c.sink.all()); got != "m1 m2 m3" {
		t.Errorf("got %s", got)
	}
}

// What is older than the source knows is in the report, where it has one.
func TestACursorThatExpiredBeginsTheStreamAnew(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}, report: {path: '/all?from={from}', lookback: 2d}")
	c.exec(`INSERT INTO cursors (source, account, stream, value) VALUES ('ads', '', 'stream', '7')`)
	c.deny = http.StatusGone
	out := c.must(c.slice(refresh))
	if len(out) != 1 || out[0].Kind != event.KindJob {
		t.Fatalf("it became %+v", out)
	}
	if got := c.text(cursorNow); got != "" {
		t.Errorf("the cursor is %s", got)
	}
	c.deny = 0
	slices := c.must(out[0])
	if len(slices) != 2 || !strings.Contains(string(slices[1].Body), `"from"`) {
		t.Fatalf("the next job is %+v", slices)
	}
	r := c.start(c.Stage, slices[0])
	c.say("a")
	c.until("1", cursorNow)
	r.stop()
	if asks := c.began(); asks != "/s 7, /s " {
		t.Errorf("asked %s", asks)
	}
}

func TestAConnectionThatEndsIsOpenedAgainAfterAWait(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	slice := c.slice(refresh)
	c.say("a")
	r := c.start(c.Stage, slice)
	c.until("1", cursorNow)
	c.began()
	c.cut()
	if out := r.wait(); len(out) != 1 || out[0].ID != slice.ID || out[0].Wait != time.Second {
		t.Errorf("after one that brought something: %+v", out)
	}
	r = c.start(c.Stage, slice)
	for c.began() != "/s 1" {
		time.Sleep(time.Millisecond)
	}
	c.cut()
	if out := r.wait(); len(out) != 1 || out[0].Wait != idleWait {
		t.Errorf("after one that brought nothing: %+v", out)
	}
	if got := atLeast(2 * time.Second); got != 10*time.Second {
		t.Errorf("who wants 2 s waits %s", got)
	}
}

// Fetch's limits are for an answer; of a stream they end a connection.
func TestAConnectionMayBringNoMoreThanAnAnswer(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	slice := c.slice(refresh)
	long := strings.Repeat("x", 300<<10)
	c.say(long, long, long, long, long)
	if out := c.start(c.Stage, slice).wait(); len(out) != 1 || out[0].ID != slice.ID || out[0].Wait != time.Second {
		t.Fatalf("after 1 MiB: %+v", out)
	}
	r := c.start(c.Stage, slice)
	c.until("5", cursorNow)
	r.stop()
	if got, asks := texts(c.sink.all()), c.began(); got != "m1 m2 m3 m4 m5" || asks != "/s , /s 3" {
		t.Errorf("got %s; asked %s", got, asks)
	}
}

func TestWhatIsNoStreamIsNotListenedTo(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	c.kind = "text/html"
	slice := c.slice(refresh)
	if _, err := c.do(slice); err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `answered with content of type "text/html"; a stream of sse is not that`) {
		t.Errorf("HTML: %v", err)
	}
	c.deny = http.StatusNotFound
	if _, err := c.do(slice); !pipeline.IsPermanent(err) {
		t.Errorf("404: %v", err)
	}
}

// Streams leave half of the slots to others.
func TestStreamsDoNotTakeAllSlots(t *testing.T) {
	c := newChannel(t, "stream: {path: '/s?a={account}'}", "accounts: [a, b]\n")
	c.Slots = 2
	slices := c.must(c.must(job(refresh))[0])
	c.say("x")
	r := c.start(c.Stage, slices[0])
	c.until("1", cursorNow)
	if out := c.must(slices[1]); len(out) != 1 || out[0].ID != slices[1].ID || out[0].Wait != time.Second {
		t.Errorf("the second stream is not turned away: %+v", out)
	}
	r.stop()
	c.exec(`UPDATE streams SET began = began - interval '1 hour'`)
	if out := c.must(slices[0]); len(out) != 1 || out[0].Wait != time.Second {
		t.Errorf("the first does not let the second pass: %+v", out)
	}
	r = c.start(c.Stage, slices[1])
	c.until("2", `SELECT count(*)::text FROM cursors WHERE stream = 'stream'`)
	r.stop()
}
