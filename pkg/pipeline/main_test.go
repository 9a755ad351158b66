package pipeline_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests run in a bubble, whose clock goes on when all of it waits: hours of
// retries take no time.

// A house is a worker with all that is around it, in memory.
type house struct {
	*pipetest.Memory
	*pipeline.Worker
	ledger  *ledger
	metrics *metrics
	cancel  context.CancelFunc
	done    chan error
}

// build returns a house whose worker takes from "q" and is not started.
func build(t *testing.T, h pipeline.Handler) *house {
	m := pipetest.NewMemory("q", "next", "dead")
	b := &house{
		Memory: m, metrics: &metrics{counts: map[string]int{}}, done: make(chan error, 1),
		ledger: &ledger{m: m, starts: map[string]int{}, deaths: map[string]pipeline.Death{}, setbacks: map[string]pipeline.Setback{}},
	}
	b.Worker = &pipeline.Worker{
		Config: pipeline.Config{BatchSize: 100, Slots: 1, MaxAttempts: 3, Grace: 10 * time.Second},
		Stage:  "stage", Queue: "q", Dead: "dead", Handler: h, Source: m, Sink: m, Ledger: b.ledger,
		Probe: func(context.Context) error { return nil }, Metrics: b.metrics,
		Log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)),
	}
	return b
}

// start puts messages of these ids into the queue, then starts the worker.
func (b *house) start(t *testing.T, ids ...string) {
	b.put(t, ids...)
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	go func() { b.done <- b.Run(ctx) }()
}

func (b *house) put(t *testing.T, ids ...string) {
	t.Helper()
	if err := b.Publish(t.Context(), envelopes("q", ids...)); err != nil {
		t.Fatal(err)
	}
}

// stop ends the worker, which must say that all is well.
func (b *house) stop(t *testing.T) {
	t.Helper()
	b.cancel()
	if err := <-b.done; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// after lets time go by.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// in returns the sorted ids that a queue holds.
func (b *house) in(queue string) []string {
	var ids []string
	for _, e := range b.Queued(queue) {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// acked returns the sorted ids that were acknowledged.
func (b *house) acked() []string {
	var ids []string
	for _, act := range b.Memory.Log() {
		if id, ok := strings.CutPrefix(act, "ack "); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// times counts how often an act is in the log.
func (b *house) times(act string) (n int) {
	for _, a := range b.Memory.Log() {
		if a == act {
			n++
		}
	}
	return n
}

// wantOrder fails unless the log has these acts in this order.
func (b *house) wantOrder(t *testing.T, acts ...string) {
	t.Helper()
	left := acts
	for _, act := range b.Memory.Log() {
		if len(left) > 0 && act == left[0] {
			left = left[1:]
		}
	}
	if len(left) > 0 {
		t.Errorf("the log lacks %q of %q:\n%s", left[0], acts, strings.Join(b.Memory.Log(), "\n"))
	}
}

func wantIDs(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if !slices.Equal(got, strings.Fields(want)) {
		t.Errorf("%s: %v, want [%s]", what, got, want)
	}
}

func envelopes(queue string, ids ...string) (out []pipeline.Envelope) {
	for _, id := range ids {
		out = append(out, pipeline.Envelope{ID: id, Kind: "leat.test.v1", Queue: queue, Job: "job", Body: []byte(`{"id":"` + id + `"}`)})
	}
	return out
}

// echo is the output of a handler that finds nothing wrong: a' for a.
func echo(in pipeline.Batch) (out []pipeline.Envelope) {
	for _, id := range in.IDs() {
		out = append(out, envelopes("next", id+"'")...)
	}
	return out
}

func has(in pipeline.Batch, id string) bool { return slices.Contains(in.IDs(), id) }

type handler func(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error)

func (h handler) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	return h(ctx, in)
}

var errOdd = errors.New("odd")

// A ledger in memory that notes in the broker's log what it commits.
type ledger struct {
	m        *pipetest.Memory
	mu       sync.Mutex
	starts   map[string]int
	deaths   map[string]pipeline.Death
	setbacks map[string]pipeline.Setback
	startErr func(id string) error
	deadErr  func(id string) error
}

func (l *ledger) Start(_ context.Context, e pipeline.Envelope) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.startErr != nil {
		if err := l.startErr(e.ID); err != nil {
			return 0, err
		}
	}
	l.starts[e.ID]++
	l.m.Note("start " + e.ID)
	return l.starts[e.ID], nil
}

func (l *ledger) Returned(ctx context.Context, e pipeline.Envelope) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts[e.ID] = 0
	l.m.Note("returned " + e.ID)
	return ctx.Err()
}

func (l *ledger) Waits(ctx context.Context, e pipeline.Envelope, why pipeline.Setback) error {
	l.mu.Lock()
	l.setbacks[e.ID] = why
	l.mu.Unlock()
	return l.Returned(ctx, e)
}

func (l *ledger) Dead(_ context.Context, e pipeline.Envelope, d pipeline.Death) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deadErr != nil {
		if err := l.deadErr(e.ID); err != nil {
			return err
		}
	}
	l.deaths[e.ID] = d
	l.m.Note("bury " + e.ID)
	return nil
}

type metrics struct {
	mu     sync.Mutex
	counts map[string]int
}

func (m *metrics) add(name string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[name] += n
}

func (m *metrics) all() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts)
}

func (m *metrics) Batch(n int)                        { m.add("messages", n) }
func (m *metrics) Phase(name string, _ time.Duration) { m.add("phase "+name, 1) }
func (m *metrics) Retry(class string)                 { m.add("retry "+class, 1) }
func (m *metrics) DeadLetter(class string)            { m.add("dead "+class, 1) }
