package fetch

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// A channel is a source that says things over a connection, each with an id, and
// again from the last id on that it is told.
type channel struct {
	*bench
	sse  bool
	mu   sync.Mutex
	said []string
	news chan struct{} // closed when there is more, or the line is cut
	cuts int
	asks []string // the positions that connections began at
	deny int      // a status instead; 0: none
	kind string   // of content
}

// newChannel makes a bench whose source is a channel, with what its file says of it.
func newChannel(t *testing.T, stream string, more ...string) *channel {
	t.Parallel() // they wait more than they work
	c := &channel{bench: newBench(t), sse: !strings.Contains(stream, "ndjson"), news: make(chan struct{}), kind: "text/event-stream; charset=utf-8"}
	c.serve(c)
	c.file(stream, more...)
	return c
}

func (c *channel) file(fetch string, more ...string) {
	c.t.Helper()
	text := fmt.Sprintf("source: ads\nhttp: {base_url: %q}\nfetch: {%s}\n%srecords: [{object: {type: message, key: id, attributes: [text]}}]\n", c.url, fetch, strings.Join(more, ""))
	if err := os.WriteFile(filepath.Join(c.Folder, "ads.yaml"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// say says some texts.
func (c *channel) say(texts ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, texts...)
	close(c.news)
	c.news = make(chan struct{})
}

// cut ends the connections.
func (c *channel) cut() {
	c.mu.Lock()
	c.cuts++
	c.mu.Unlock()
	c.say()
}

func (c *channel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	since := r.Header.Get("Last-Event-ID") + r.URL.Query().Get("since")
	c.mu.Lock()
	c.asks = append(c.asks, r.URL.Path+" "+since)
	cuts, deny := c.cuts, c.deny
	c.mu.Unlock()
	if deny != 0 {
		w.WriteHeader(deny)
		return
	}
	w.Header().Set("Content-Type", c.kind)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	next := 0
	_, _ = fmt.Sscan(since, &next)
	for {
		c.mu.Lock()
		said, news, over := c.said, c.news, c.cuts > cuts
		c.mu.Unlock()
		for ; next < len(said); next++ {
			line := fmt.Sprintf(`{"id":"m%d","n":%d,"text":%q}`, next+1, next+1, said[next])
			if c.sse {
				fmt.Fprintf(w, "id: %d\ndata: %s\n\n", next+1, line)
			} else {
				fmt.Fprintln(w, line)
			}
		}
		_ = http.NewResponseController(w).Flush()
		if over {
			return
		}
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
	}
}

// began returns at which positions connections began since the last call.
func (c *channel) began() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := strings.Join(c.asks, ", ")
	c.asks = nil
	return all
}

// A reading is a slice that a worker has in hand.
type reading struct {
	c    *channel
	end  chan struct{}
	done chan struct{}
	out  []pipeline.Envelope
	err  error
}

// start has a worker handle a slice until it is ended, or ends by itself.
func (c *channel) start(stage *Stage, e pipeline.Envelope) *reading {
	r := &reading{c: c, end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.out, r.err = stage.Handle(c.t.Context(), pipeline.Batch{{Envelope: e, Ending: r.end}})
	}()
	return r
}

// stop ends it as a worker does that ends, and returns what follows.
func (r *reading) stop() []pipeline.Envelope {
	r.c.t.Helper()
	close(r.end)
	return r.wait()
}

func (r *reading) wait() []pipeline.Envelope {
	r.c.t.Helper()
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		r.c.t.Fatal("it goes on")
	}
	if r.err != nil {
		r.c.t.Fatal(r.err)
	}
	return r.out
}

// until waits for a text out of the database.
func (c *channel) until(want, sql string, args ...any) {
	c.t.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = c.text(sql, args...); got == want {
			return
		}
	}
	c.t.Fatalf("%s is %q, not %q", sql, got, want)
}

const cursorNow = `SELECT coalesce(max(value), '') FROM cursors WHERE stream = 'stream'`

// texts are the objects of parts, in order, each as often as it is in another message.
func texts(parts []pipeline.Envelope) string {
	var all []string
	known := map[string]string{}
	for _, e := range parts {
		if body, again := known[e.ID]; again {
			if body != string(e.Body) {
				all = append(all, "another part "+e.ID)
			}
			continue
		}
		known[e.ID] = string(e.Body)
		p, err := pipeline.Decode[event.Part](e)
		if err != nil {
			return err.Error()
		}
		for _, o := range p.Objects {
			all = append(all, o.Key)
		}
	}
	return strings.Join(all, " ")
}

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

// Whatever the moment at which a worker dies, each record is in one part, under
// one name, and what was committed is not asked for again.
func TestAWorkerThatDiesRepeatsOneStretch(t *testing.T) {
	c := newChannel(t, "stream: {path: /s}")
	slice := c.slice(refresh)
	c.say("a", "b")
	r := c.start(c.Stage, slice)
	c.until("2", cursorNow)
	c.sink.mu.Lock()
	c.sink.fails = 1 // the broker has the next part, and nobody knows
	c.sink.mu.Unlock()
	c.say("c")
	<-r.done
	if r.err == nil {
		t.Fatal("nothing died")
	}
	if got := c.text(cursorNow); got != "2" {
		t.Errorf("the cursor is %s, past what is not confirmed", got)
	}
	c.say("d")
	r = c.start(c.another(), slice)
	c.until("4", cursorNow)
	r.stop()
	if got, asks := texts(c.sink.all()), c.began(); got != "m1 m2 m3 m4" || asks != "/s , /s 3" {
		t.Errorf("got %s; asked %s", got, asks)
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
