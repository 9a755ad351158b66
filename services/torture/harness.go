package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/lab"
)

// A harness is one run: a Leat, its sources, and what is done to both.
type harness struct {
	plan
	servers lab.Servers
	lab     *lab.Lab
	sources *sources
	broker  *rabbit.Broker // past the proxies
	stack   *stack         // nil: the servers are left alone
	workers []*worker
	out     io.Writer
	began   time.Time

	closing atomic.Bool // the last jobs of the round are submitted

	mu            sync.Mutex
	injected      int                          // faults of this round
	held          int                          // messages that are held back until it ends
	last          []func(context.Context)      // faults that end only when the round's jobs are through
	jobs          map[string]pipeline.Envelope // submitted in this round, by the jobs' ids
	robbed        bool                         // a purge took messages of this round
	poisons       map[string]bool              // ids of messages that must become dead letters; false: a purge may have taken it
	failed        error                        // what ended a lane
	sleeping      map[string]bool              // workers that stand still
	dying, dozing deck                         // of the process lane
	feed
	figures
}

// run tortures Leat as the plan says, and says on out what came of it.
func run(ctx context.Context, p plan, out io.Writer) (err error) {
	h := &harness{
		plan: p, out: out, began: time.Now(),
		poisons: map[string]bool{}, sleeping: map[string]bool{}, figures: newFigures(), feed: feed{next: "first", revs: map[string]int64{}},
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy traces what it does, past the logger that it was given
	fmt.Fprintf(out, "seed %d\n", p.seed)
	defer func() { err = errors.Join(err, h.close(err != nil)) }()
	if err := h.open(ctx); err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { h.watch(watching) })
	if h.samples != "" {
		watch.Go(func() {
			if err := h.sampling(watching); err != nil {
				fmt.Fprintln(out, "samples:", err)
			}
		})
	}
	defer watch.Wait()
	defer stop()
	for n := 1; h.goesOn(ctx); n++ {
		if err := h.oneRound(ctx, n); err != nil {
			err = fmt.Errorf("round %d: %w", n, err)
			h.report(ctx, err)
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h.report(ctx, nil)
	return nil
}

func (h *harness) goesOn(ctx context.Context) bool {
	return ctx.Err() == nil && time.Since(h.began).Minutes() < h.minutes && (h.faults == 0 || h.total() < h.faults)
}

// open makes a fresh Leat with its sources and workers.
func (h *harness) open(ctx context.Context) (err error) {
	if h.servers, err = lab.ServersOfEnvironment(); err != nil {
		return err
	}
	if h.plan.stack != "" {
		h.stack = newStack(h.plan.stack)
	}
	h.sources = newSources(h.random("sources", 0))
	if h.lab, err = h.newLab(ctx); err != nil {
		return err
	}
	if err := h.prepareDisk(ctx); err != nil {
		return err
	}
	h.broker = rabbit.New(h.lab.Cfg.RabbitMQ, func(string, error) {})
	for _, stage := range stages {
		for n := range h.each {
			w, err := h.newWorker(stage, n+1, h.lab.Folder, h.lab.Env())
			if err != nil {
				return err
			}
			if err := w.proxied(h.lab.Cfg.RabbitMQ.URL, named(h.lab.Cfg.Postgres.URL, w.name), h.servers.Mongo); err != nil {
				return err
			}
			if err := w.run(); err != nil {
				return err
			}
			h.workers = append(h.workers, w)
		}
	}
	return nil
}

func (h *harness) newLab(ctx context.Context) (*lab.Lab, error) {
	return lab.New(ctx, h.servers, "leat_torture_", func(folder string) error { return h.sources.write(h.plan.sources, folder) })
}

// named is the address of PostgreSQL with the name of who uses it.
func named(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // it was parsed before
	}
	values := u.Query()
	values.Set("application_name", "leat-"+name)
	u.RawQuery = values.Encode()
	return u.String()
}

// close ends everything. What a failed run has written stays: the logs are copied
// out of the lab's folder before that goes.
func (h *harness) close(failed bool) (err error) {
	var ending sync.WaitGroup
	for _, w := range h.workers {
		ending.Go(w.stop)
	}
	ending.Wait()
	if h.broker != nil {
		h.broker.Close()
	}
	if h.lab != nil {
		if failed {
			kept, _ := os.MkdirTemp("", "leat-torture-logs-") // without it they are not kept
			err = os.CopyFS(kept, os.DirFS(h.lab.Folder))
			fmt.Fprintf(h.out, "logs: %s\nonce more: scripts/torture --seed %d --faults %d --round %d\n", kept, h.seed, max(h.total(), 1), h.round)
		}
		err = errors.Join(err, h.lab.Close())
	}
	if h.sources != nil {
		h.sources.close()
	}
	return err
}

// random is a generator of numbers of its own for each purpose, so that one lane
// of faults does not depend on how fast another is.
func (h *harness) random(purpose string, n int) *rand.Rand {
	hash := uint64(1469598103934665603)
	for _, b := range []byte(purpose) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(h.seed, hash+uint64(n)))
}

// longest is how long a round may take to get to its faults: those that last to
// its end may leave none to break.
const longest = 4 * time.Minute

// oneRound breaks what it can while jobs run, lets all settle, and compares.
func (h *harness) oneRound(ctx context.Context, n int) error {
	h.closing.Store(false)
	h.mu.Lock()
	h.injected, h.held, h.robbed, h.jobs = 0, 0, false, map[string]pipeline.Envelope{}
	h.mu.Unlock()
	began := time.Now()
	faults, stop := context.WithCancel(ctx)
	var lanes sync.WaitGroup
	for _, lane := range []string{"process", "network", "server"} {
		lanes.Go(func() { h.lane(faults, lane, h.random(lane, n)) })
	}
	err := h.load(ctx, h.random("load", n), func() bool {
		return h.faultsSoFar() < h.round && time.Since(began) < longest && h.failure() == nil
	})
	stop()
	lanes.Wait()
	if err = errors.Join(err, h.failure()); err != nil {
		return err
	}
	settling := time.Now()
	if err := h.settle(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	settled := time.Since(settling)
	if err := h.verify(ctx); err != nil {
		return err
	}
	h.rounds++
	fmt.Fprintf(h.out, "round %d: %d faults, %d jobs, settled in %.1f s: all as without faults\n", n, h.faultsSoFar(), len(h.jobs), settled.Seconds())
	return nil
}

func (h *harness) faultsSoFar() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.injected
}

func (h *harness) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = errors.Join(h.failed, err)
}

func (h *harness) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// atLast has f called when the round's last jobs are through, as far as they get.
func (h *harness) atLast(f func(context.Context)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = append(h.last, f)
}

// insist calls f until it succeeds: servers come and go.
func (h *harness) insist(ctx context.Context, what string, f func() error) error {
	for deadline := time.Now().Add(2 * time.Minute); ; {
		err := f()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", what, err)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
