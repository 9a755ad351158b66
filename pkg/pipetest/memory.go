package pipetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

// A Memory is a broker in memory, a pipeline.Source and Sink that a test can look
// into and break. TestSourceAndSink holds it to what RabbitMQ does.
type Memory struct {
	Prefetch int // messages handed over and not acknowledged, at most

	// Break, if not nil, is asked before each act: "publish" of an envelope and
	// "ack" of a delivery's. Its error is what the caller gets.
	Break func(act string, e pipeline.Envelope) error

	mu      sync.Mutex
	queues  map[string][]held // by name
	session *session
	changed chan struct{} // closed at the next publish, acknowledgement or release
	log     []string
}

// A held message is one that the broker remembers.
type held struct {
	pipeline.Envelope
	deliveries int
}

// A session is one consumer's. Nothing that it was given outlives it.
type session struct {
	queue  string
	handed []*held
	over   chan struct{}
}

// NewMemory returns a broker with these queues.
func NewMemory(queues ...string) *Memory {
	m := &Memory{Prefetch: 100, queues: map[string][]held{}, changed: make(chan struct{})}
	for _, name := range queues {
		m.queues[name] = nil
	}
	return m
}

// Consume implements pipeline.Source.
func (m *Memory) Consume(ctx context.Context, queue string) (<-chan pipeline.Delivery, error) {
	m.Release()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.queues[queue]; !ok {
		return nil, pipeline.Unavailable(fmt.Errorf("no queue %s", queue))
	}
	s := &session{queue: queue, over: make(chan struct{})}
	m.session = s
	out := make(chan pipeline.Delivery, m.Prefetch)
	go func() {
		defer close(out) // has room for the whole prefetch: sending never blocks
		for ctx.Err() == nil {
			d, changed := m.next(s)
			if d != nil {
				out <- *d
				continue
			}
			select {
			case <-ctx.Done():
			case <-changed:
			case <-s.over:
				return
			}
		}
	}()
	return out, nil
}

// next hands the first message over, or returns what to wait for.
func (m *Memory) next(s *session) (*pipeline.Delivery, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ready := m.queues[s.queue]
	if m.session != s || len(ready) == 0 || len(s.handed) == m.Prefetch {
		return nil, m.changed
	}
	h := ready[0]
	m.queues[s.queue] = ready[1:]
	s.handed = append(s.handed, &h)
	return &pipeline.Delivery{Envelope: copied(h.Envelope), Acknowledger: ticket{m, s, &h}, Deliveries: h.deliveries}, nil
}

// Release implements pipeline.Source. A test calls it to cut the connection.
func (m *Memory) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.session
	if s == nil {
		return
	}
	m.session = nil
	close(s.over)
	var back []held
	for _, h := range s.handed {
		back = append(back, held{h.Envelope, h.deliveries + 1})
	}
	m.queues[s.queue] = append(back, m.queues[s.queue]...)
	m.note("release")
}

type ticket struct {
	m *Memory
	s *session
	h *held
}

// Ack implements pipeline.Acknowledger.
func (t ticket) Ack() error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	i := slices.Index(t.s.handed, t.h)
	if t.m.session != t.s || i < 0 {
		return errors.New("the session of this delivery is over, or it was acknowledged before")
	}
	if err := t.m.breaks("ack", t.h.Envelope); err != nil {
		return err
	}
	t.s.handed = slices.Delete(t.s.handed, i, i+1)
	t.m.note("ack " + t.h.ID)
	return nil
}

// Publish implements pipeline.Sink.
func (m *Memory) Publish(_ context.Context, out []pipeline.Envelope) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lost error
	for _, e := range out {
		if err := m.breaks("publish", e); err != nil {
			return err
		}
		if _, ok := m.queues[e.Queue]; !ok {
			lost = pipeline.Unavailable(fmt.Errorf("no queue takes message %s", e.ID))
			continue
		}
		m.note("publish " + e.ID + " to " + e.Queue)
		m.put(copied(e))
	}
	return lost
}

// put queues e, after its time to wait.
func (m *Memory) put(e pipeline.Envelope) {
	if wait := e.Wait; wait > 0 {
		e.Wait = 0
		time.AfterFunc(wait, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.put(e)
		})
		return
	}
	e.At = e.At.Truncate(time.Second) // as AMQP does
	m.queues[e.Queue] = append(m.queues[e.Queue], held{Envelope: e})
	m.wake()
}

// Queued returns what a queue holds: what is handed over and not acknowledged,
// then what is ready.
func (m *Memory) Queued(queue string) (all []pipeline.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil && m.session.queue == queue {
		for _, h := range m.session.handed {
			all = append(all, copied(h.Envelope))
		}
	}
	for _, h := range m.queues[queue] {
		all = append(all, copied(h.Envelope))
	}
	return all
}

// Log returns what was done, in order: "publish ID to QUEUE", "ack ID", "release".
func (m *Memory) Log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

// Note adds to the log what another fake of the test did.
func (m *Memory) Note(act string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(act)
}

func (m *Memory) note(act string) {
	m.log = append(m.log, act)
	m.wake()
}

func (m *Memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Memory) breaks(act string, e pipeline.Envelope) error {
	if m.Break == nil {
		return nil
	}
	return m.Break(act, e)
}

// copied shares nothing with e.
func copied(e pipeline.Envelope) pipeline.Envelope {
	e.Body, e.Headers = bytes.Clone(e.Body), maps.Clone(e.Headers)
	return e
}
