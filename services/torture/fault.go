package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A fault is one way to break something, whole: it begins, lasts and ends.
type fault struct {
	kind   string
	lane   string // faults of one lane come one after the other; lanes go side by side
	weight int
	server bool // stops, freezes or kills a server: only where these are ours
	do     func(h *harness, ctx context.Context, r *rand.Rand) error
}

// errNot says that there was nothing to break just now: no fault is counted.
var errNot = errors.New("nothing to break")

var faults = slices.Concat(processFaults, networkFaults, queueFaults, databaseFaults, serverFaults)

func kinds() []string {
	var names []string
	for _, f := range faults {
		names = append(names, f.kind)
	}
	return names
}

// lane injects one fault after another, and waits each time until Leat works on.
func (h *harness) lane(ctx context.Context, name string, r *rand.Rand) {
	bag := h.bag(name)
	for ctx.Err() == nil && len(bag) > 0 {
		f := bag[r.IntN(len(bag))]
		start := time.Now()
		err := f.do(h, ctx, r)
		if err != nil { // what it needs is away just now
			h.tell("%-8s %-15s came to nothing: %v", name, f.kind, err)
		} else {
			h.tell("%-8s %-15s %.1f s", name, f.kind, time.Since(start).Seconds())
			h.count(f.kind)
			if err := h.recover(ctx); err != nil && ctx.Err() == nil {
				h.fail(fmt.Errorf("after %s: %w", f.kind, err))
				return
			}
		}
		pause(ctx, max(h.pace, between(r, 0, 300*time.Millisecond)))
	}
}

// bag holds the faults of a lane, each as often as it weighs.
func (h *harness) bag(lane string) (bag []fault) {
	for _, f := range faults {
		if f.lane != lane || f.server && h.stack == nil || h.only != "" && !slices.Contains(strings.Split(h.only, ","), f.kind) {
			continue
		}
		bag = append(bag, slices.Repeat([]fault{f}, f.weight)...)
	}
	return bag
}

// tell says what is done, if that is wanted.
func (h *harness) tell(format string, args ...any) {
	if h.verbose {
		fmt.Fprintf(h.out, "%8.1f s  "+format+"\n", append([]any{time.Since(h.began).Seconds()}, args...)...)
	}
}

// recovery is how long Leat may take to work on after a fault. Backoff is at most 30 s.
const recovery = 2 * time.Minute

// recover waits until every stage has committed something that it began after
// now, and notes how long that took. While a round ends there may be nothing to do.
func (h *harness) recover(ctx context.Context) error {
	var since time.Time
	if err := h.insist(ctx, "ask for the time", func() error {
		return h.lab.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&since)
	}); err != nil {
		return err
	}
	start := time.Now()
	for time.Since(start) < recovery && ctx.Err() == nil {
		var stagesBack int
		err := h.lab.DB.QueryRow(ctx, `SELECT count(DISTINCT stage) FROM ledger WHERE done_at > $1 AND state = 'done'`, since).Scan(&stagesBack)
		if err == nil && stagesBack == len(stages) {
			h.recovered(time.Since(start))
			return nil
		}
		if h.closing.Load() {
			return nil
		}
		pause(ctx, 20*time.Millisecond)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("not every stage works %s after it; %s", recovery, h.where(ctx))
}
