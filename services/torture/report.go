package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Figures are what a run comes to.
type figures struct {
	rounds     int
	byKind     map[string]int
	byPoint    map[string]int
	recoveries []time.Duration
	copies     int            // of messages, that faults published
	dead       int            // dead letters, all of them poison
	redelivers map[string]int // by queue, as last seen
	redeliver  int            // deliveries of messages that a worker had had before
}

func newFigures() figures {
	return figures{byKind: map[string]int{}, byPoint: map[string]int{}, redelivers: map[string]int{}}
}

func (h *harness) count(kind string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byKind[kind]++
	h.injected++
}

func (h *harness) point(stage, point string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name, _, _ := strings.Cut(point, ":")
	h.byPoint[stage+" "+name]++
}

func (h *harness) copied(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.copies += n
}

func (h *harness) recovered(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recoveries = append(h.recoveries, took)
}

func (h *harness) total() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, of := range h.byKind {
		n += of
	}
	return n
}

// watch adds up what the broker says of redeliveries, which it forgets when it
// is restarted, until ctx ends.
func (h *harness) watch(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, time.Second) {
		queues, err := h.queues(ctx)
		if err != nil {
			continue // it is away
		}
		h.mu.Lock()
		for _, q := range queues {
			now, before := q.Stats.Redeliver, h.redelivers[q.Name]
			if now < before {
				before = 0
			}
			h.redeliver += now - before
			h.redelivers[q.Name] = now
		}
		h.mu.Unlock()
	}
}

// report prints what the run came to.
func (h *harness) report(ctx context.Context, failed error) {
	deaths := 0
	for _, w := range h.workers {
		w.mu.Lock()
		deaths += w.Deaths
		w.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h.out, "\nfaults by kind:\n")
	sum := 0
	for _, kind := range slices.Sorted(maps.Keys(h.byKind)) {
		fmt.Fprintf(h.out, "  %-16s %5d\n", kind, h.byKind[kind])
		sum += h.byKind[kind]
	}
	fmt.Fprintf(h.out, "  %-16s %5d\n", "all", sum)
	if len(h.byPoint) > 0 {
		fmt.Fprintf(h.out, "died or stood still at points: ")
		var points []string
		for _, p := range slices.Sorted(maps.Keys(h.byPoint)) {
			points = append(points, fmt.Sprintf("%s %d", p, h.byPoint[p]))
		}
		fmt.Fprintln(h.out, strings.Join(points, ", "))
	}
	fmt.Fprintf(h.out, "workers that died: %d\nmessages done: %s\n", deaths, h.messages(ctx))
	fmt.Fprintf(h.out, "duplicates absorbed: %d redelivered by the broker, %d copies\n", h.redeliver, h.copies)
	fmt.Fprintf(h.out, "dead letters: %d, all of them poison\n", h.dead)
	if len(h.recoveries) > 0 {
		slices.Sort(h.recoveries)
		fmt.Fprintf(h.out, "seconds until all stages work again: median %.1f, most %.1f\n",
			h.recoveries[len(h.recoveries)/2].Seconds(), h.recoveries[len(h.recoveries)-1].Seconds())
	}
	verdict := fmt.Sprintf("PASSED: after each of %d rounds all rows and documents were as without faults", h.rounds)
	if failed != nil {
		verdict = "FAILED"
	}
	fmt.Fprintf(h.out, "%s (seed %d, %.1f minutes)\n", verdict, h.seed, time.Since(h.began).Minutes())
}

// messages counts what each stage did.
func (h *harness) messages(ctx context.Context) string {
	rows, err := h.lab.DB.Query(ctx, `
		SELECT stage || ' ' || count(*) FROM ledger WHERE state = 'done' AND message_id NOT LIKE 'write/%'
		GROUP BY stage ORDER BY array_position(ARRAY['fetch', 'delta', 'annotate', 'rollup'], stage)`)
	if err != nil {
		return err.Error()
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err.Error()
	}
	return strings.Join(lines, ", ")
}
