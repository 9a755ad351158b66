package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/fetch"
)

const (
	mostOpen = 8 // jobs at a time
	late     = 3 // faults that meet the last jobs of a round
)

// load restates the sources and submits jobs as long as more is true; then each
// source says its last word of the round, which one job each fetches while
// faults go on: nothing comes after it that could set right what went wrong.
func (h *harness) load(ctx context.Context, r *rand.Rand, more func() bool) error {
	for more() && ctx.Err() == nil {
		if err := h.sources.restate(r); err != nil {
			return err
		}
		if open, err := h.openJobs(ctx); err != nil {
			return err
		} else if open < mostOpen {
			jobs := h.sources.jobs()
			if err := h.submit(ctx, jobs[r.IntN(len(jobs))], r.IntN(10) > 0); err != nil {
				return err
			}
		}
		pause(ctx, time.Duration(r.IntN(200))*time.Millisecond)
	}
	if err := h.takeBack(ctx, r); err != nil {
		return err
	}
	h.closing.Store(true)
	for _, job := range h.sources.jobs() {
		if err := h.submit(ctx, job, true); err != nil {
			return err
		}
	}
	enough := h.faultsSoFar() + late
	for deadline := time.Now().Add(20 * time.Second); h.faultsSoFar() < enough && h.failure() == nil && time.Now().Before(deadline) && ctx.Err() == nil; {
		pause(ctx, 50*time.Millisecond)
	}
	return ctx.Err()
}

// takeBack has the sources say something for a moment, and then again what they
// said before: that is seen, equal, and not written. What they said in that
// moment is held back, and comes last of all.
func (h *harness) takeBack(ctx context.Context, r *rand.Rand) error {
	for range 8 {
		if err := h.sources.restate(r); err != nil {
			return err
		}
	}
	jobs := h.sources.jobs()[:2] // of those that can take something back
	for _, job := range jobs {
		if err := h.submit(ctx, job, true); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); pause(ctx, 50*time.Millisecond) {
		if open, err := h.openJobs(ctx); err != nil || open <= 0 {
			break
		}
	}
	back, err := h.sources.waver(r)
	if err != nil {
		return err
	}
	t, away := h.tap(rabbit.Delta)
	for _, job := range jobs {
		if err := h.submit(ctx, job, true); err != nil {
			return err
		}
	}
	if away == nil {
		_ = t.take(ctx, 4*tapMost, 2*tapFor) // what it took before it failed is given back
		h.holdBack(t)
	}
	return back()
}

// submit publishes a job until the broker has it: under an id, or as a person
// would, without.
func (h *harness) submit(ctx context.Context, job string, withID bool) error {
	parsed, err := fetch.ParseJob([]byte(job))
	if err != nil {
		return err
	}
	e := pipeline.Envelope{Kind: event.KindJob, Queue: rabbit.Fetch, At: time.Now(), Body: json.RawMessage(job)}
	if withID {
		e.ID = uuid.NewString()
		h.mu.Lock()
		h.jobs[fetch.JobID(parsed.Source, e.ID)] = e
		h.mu.Unlock()
	}
	return h.insist(ctx, "submit", func() error { return h.broker.Publish(ctx, []pipeline.Envelope{e}) })
}

// openJobs counts the jobs that have not ended and should, but for as many as may
// wait for what is held back.
func (h *harness) openJobs(ctx context.Context) (n int, err error) {
	err = h.insist(ctx, "count open jobs", func() error {
		ids, err := h.unfinished(ctx)
		h.mu.Lock()
		defer h.mu.Unlock()
		n = len(ids) - h.held
		return err
	})
	return n, err
}
