package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/leatflow/leat/pkg/redact"
)

// aliveTimeout is how long a Watch may take to answer before it counts as stuck.
const aliveTimeout = 3 * time.Second

// Health is what a daemon knows about itself. Its parts report to it; /healthz,
// /readyz and systemd read it. Safe for use by several goroutines.
//
// Alive and ready are two things. A daemon whose database is away is alive and
// not ready: it goes on by itself, and restarting it helps nobody. One that is
// not alive is stuck, and systemd restarts it.
type Health struct {
	mu       sync.Mutex
	reports  map[string]error // nil: fine
	notes    map[string]string
	watches  map[string]*watch
	stopping bool
	changed  chan struct{} // holds one element after a report, for the one that reads it
}

var (
	errStarting = errors.New("starting")
	errStopping = errors.New("stopping")
	errNoReport = errors.New("has not reported yet")
	errNoAnswer = fmt.Errorf("no sign of life for %s", aliveTimeout)
)

// NewHealth returns the health of a daemon that is starting. Main makes one; it
// is here for tests of what reports to it.
func NewHealth() *Health {
	return &Health{
		reports: map[string]error{},
		notes:   map[string]string{},
		watches: map[string]*watch{},
		changed: make(chan struct{}, 1),
	}
}

// Expect names components without which the daemon is not ready. Each counts as
// not ready until it is Set. A daemon that expects nothing is ready when the
// first component says that it is fine; so expect first.
func (h *Health) Expect(components ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range components {
		if _, ok := h.reports[c]; !ok {
			h.reports[c] = errNoReport
		}
	}
	h.wake()
}

// Set reports what is wrong with a component, or nil if nothing is. The text of
// err is shown to whoever asks, without the passwords in it.
func (h *Health) Set(component string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reports[component] = err
	h.wake()
}

// Note says what is worth knowing of a component that is no reason not to be
// ready; the empty text takes it back.
func (h *Health) Note(component, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if text == "" {
		delete(h.notes, component)
		return
	}
	h.notes[component] = redact.Text(text)
}

// Watch asks alive whenever somebody wants to know whether the daemon is stuck.
// An error, or no answer within 3 seconds, means that the component is; alive
// must not fail because of a server that is away.
func (h *Health) Watch(component string, alive func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches[component] = &watch{alive: alive, turn: make(chan struct{}, 1)}
}

// Ready returns what keeps the daemon from being ready, by component; it is
// ready if that is nothing.
func (h *Health) Ready() (ready bool, reasons map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	reasons = map[string]string{}
	for c, err := range h.reports {
		if err != nil {
			reasons[c] = redact.Text(err.Error())
		}
	}
	switch {
	case h.stopping:
		reasons["daemon"] = errStopping.Error()
	case len(h.reports) == 0:
		reasons["daemon"] = errStarting.Error()
	}
	return len(reasons) == 0, reasons
}

// Alive returns which components are stuck; the daemon is alive if none is.
func (h *Health) Alive(ctx context.Context) (alive bool, reasons map[string]string) {
	h.mu.Lock()
	watches := maps.Clone(h.watches)
	h.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	reasons = map[string]string{}
	for c, w := range watches { // all at once: one that is stuck must not use up the others' time
		wg.Go(func() {
			if err := w.ask(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				reasons[c] = redact.Text(err.Error())
			}
		})
	}
	wg.Wait()
	return len(reasons) == 0, reasons
}

// stop makes the daemon not ready for good.
func (h *Health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
	h.wake()
}

func (h *Health) isStopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopping
}

func (h *Health) wake() {
	select {
	case h.changed <- struct{}{}:
	default: // whoever is woken reads all of it
	}
}

// A watch is one question that may never be answered.
type watch struct {
	alive func() error

	turn   chan struct{} // holds one element while somebody asks
	answer chan error    // of the question under way; nil if there is none
}

// ask waits for the answer. However often it is asked, at most one call of alive
// is under way, so that one that is stuck costs one goroutine.
func (w *watch) ask(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return errNoAnswer
	}
	if w.answer == nil {
		w.answer = make(chan error, 1)
		go func(answer chan<- error) { answer <- w.alive() }(w.answer)
	}
	select {
	case err := <-w.answer:
		w.answer = nil
		return err
	case <-ctx.Done():
		return errNoAnswer
	}
}

func (h *Health) serveAlive(w http.ResponseWriter, r *http.Request) {
	alive, reasons := h.Alive(r.Context())
	writeReport(w, alive, struct {
		Alive   bool              `json:"alive"`
		Reasons map[string]string `json:"reasons"`
	}{alive, reasons})
}

func (h *Health) serveReady(w http.ResponseWriter, _ *http.Request) {
	ready, reasons := h.Ready()
	h.mu.Lock()
	notes := maps.Clone(h.notes)
	h.mu.Unlock()
	writeReport(w, ready, struct {
		Ready   bool              `json:"ready"`
		Reasons map[string]string `json:"reasons"`
		Notes   map[string]string `json:"notes,omitempty"`
	}{ready, reasons, notes})
}

func writeReport(w http.ResponseWriter, ok bool, report any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(report) // the client has gone away: nobody to tell
}
