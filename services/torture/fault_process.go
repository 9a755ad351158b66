package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

var processFaults = []fault{
	{kind: "kill", lane: "process", weight: 4, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.onWorker(r, "", func(w *worker) error { w.signal(syscall.SIGKILL); return nil })
	}},
	{kind: "term", lane: "process", weight: 2, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.onWorker(r, "", func(w *worker) error { w.signal(syscall.SIGTERM); return nil })
	}},
	{kind: "point", lane: "process", weight: 8, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		p := h.dying.draw(r, points)
		return h.onWorker(r, p.stage, func(w *worker) error { return h.dieAt(ctx, w, fmt.Sprintf("%s=KILL:%d", p.name, 1+r.IntN(3))) })
	}},
	{kind: "freeze", lane: "process", weight: 2, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.onWorker(r, "", func(w *worker) error {
			w.signal(syscall.SIGSTOP)
			pause(ctx, between(r, 200*time.Millisecond, 3*time.Second))
			w.signal(syscall.SIGCONT)
			return nil
		})
	}},
	{kind: "sleeper", lane: "process", weight: 8, do: (*harness).sleeper},
	{kind: "old-session", lane: "process", weight: 2, do: (*harness).oldSession},
}

// A point is a place between two steps of a stage.
type point struct{ stage, name string }

// points are the places where a worker dies: after each step that others can see.
var points = []point{
	{"fetch", "handled"}, {"fetch", "published"}, {"fetch", "recorded"}, {"fetch", "answered"}, {"fetch", "part"}, {"fetch", "cut"},
	{"delta", "handled"}, {"delta", "published"}, {"delta", "acknowledged"}, {"delta", "recorded"}, {"delta", "parents"},
	{"annotate", "handled"}, {"annotate", "published"}, {"annotate", "acknowledged"}, {"annotate", "recorded"}, {"annotate", "annotated"},
	{"rollup", "published"}, {"rollup", "acknowledged"}, {"rollup", "recorded"},
	{"rollup", "rev"}, {"rollup", "computed"}, {"rollup", "bulk"}, {"rollup", "written"}, {"rollup", "announced"}, {"rollup", "forgotten"},
}

// bedsides are where one falls asleep: where it knows what will not be true any
// more when it wakes up.
var bedsides = []point{
	{"rollup", "rev"}, {"rollup", "computed"}, {"rollup", "bulk"}, {"rollup", "rev"}, {"rollup", "computed"}, {"rollup", "written"},
	{"delta", "parents"}, {"delta", "recorded"}, {"delta", "handled"}, {"annotate", "annotated"}, {"annotate", "handled"},
	{"fetch", "answered"}, {"fetch", "part"}, {"fetch", "cut"},
}

// A deck deals all points before it deals one again.
type deck []point

func (d *deck) draw(r *rand.Rand, all []point) point {
	if len(*d) == 0 {
		*d = slices.Clone(all)
		r.Shuffle(len(*d), func(i, j int) { (*d)[i], (*d)[j] = (*d)[j], (*d)[i] })
	}
	p := (*d)[0]
	*d = (*d)[1:]
	return p
}

// onWorker has f break a random worker that is awake, of a stage if one is named.
func (h *harness) onWorker(r *rand.Rand, stage string, f func(*worker) error) error {
	var awake []*worker
	for _, w := range h.workers {
		if (stage == "" || w.stage == stage) && !h.sleeps(w) {
			awake = append(awake, w)
		}
	}
	if len(awake) == 0 {
		return errNot
	}
	return f(awake[r.IntN(len(awake))])
}

// asleep counts the workers of a stage that stand still.
func (h *harness) asleep(stage string) (n int) {
	for _, w := range h.workers {
		if w.stage == stage && h.sleeps(w) {
			n++
		}
	}
	return n
}

func (h *harness) sleep(w *worker, sleeps bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sleeping[w.name] = sleeps
}

const pointLimit = 8 * time.Second // for a worker to come by a point

// dieAt arms a point and waits until the worker has died there.
func (h *harness) dieAt(ctx context.Context, w *worker, point string) error {
	_, ended := w.arm(point)
	select {
	case <-ended:
		h.point(w.stage, point)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pointLimit):
		return errNot // it dies there later, or never comes by
	}
}

// sleeper has a worker stand still at a point. Meanwhile PostgreSQL and RabbitMQ
// take its connections for dead and give to others what it had; MongoDB's stays.
// Others do its work, and newer. Then it wakes up, and goes on where it was.
func (h *harness) sleeper(ctx context.Context, r *rand.Rand) error {
	p := h.dozing.draw(r, bedsides)
	stage, point := p.stage, fmt.Sprintf("%s=STOP:%d", p.name, 1+r.IntN(2))
	long := r.IntN(2) == 0
	if h.asleep(stage) == h.each-1 {
		return errNot // somebody has to do the work
	}
	return h.onWorker(r, stage, func(w *worker) error {
		life, ended := w.arm(point)
		if !stands(ctx, life.Process.Pid, ended) {
			w.signal(syscall.SIGKILL) // what is armed is not to go off later
			return errNot
		}
		h.point(stage, point)
		h.sleep(w, true)
		for _, to := range []string{"rabbitmq", "postgres"} {
			w.links[to].Stop()
		}
		wake := func(ctx context.Context) {
			for _, to := range []string{"rabbitmq", "postgres"} {
				_ = w.links[to].Start() // it was stopped
			}
			w.wake(ctx)
			h.sleep(w, false)
		}
		if long {
			h.atLast(wake)
			return nil
		}
		pause(ctx, between(r, time.Second, 4*time.Second))
		wake(context.WithoutCancel(ctx)) // when the round ends, too
		return nil
	})
}

// oldSession has a worker lose RabbitMQ while PostgreSQL is slow: when the batch
// in hand is done, another session may have begun, with other messages under the
// same delivery tags. Whoever acknowledges those loses them, as the worker dies.
func (h *harness) oldSession(ctx context.Context, r *rand.Rand) error {
	stage := stages[1+r.IntN(len(stages)-1)]
	return h.onWorker(r, stage, func(w *worker) error {
		well, err := w.links["postgres"].poison("latency", "upstream", fmt.Sprintf(`{"latency":%d}`, 1000+r.IntN(1000)))
		if err != nil {
			return errNot // it is slow already
		}
		defer well()
		pause(ctx, between(r, 500*time.Millisecond, 2*time.Second))
		w.links["rabbitmq"].Stop()
		err = w.links["rabbitmq"].Start()
		pause(ctx, between(r, 7*time.Second, 14*time.Second))
		w.signal(syscall.SIGKILL)
		return err
	})
}

// stands waits until a process stands still.
func stands(ctx context.Context, pid int, ended <-chan struct{}) bool {
	for deadline := time.Now().Add(pointLimit); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "T") {
			return true
		}
	}
	return false
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}
