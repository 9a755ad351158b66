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
