// Package delta finds what a part changes, and writes only that.
//
// In: parts. Out: the objects and days that differ now, to annotate.
package delta

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/catalog"
)

// Name is the stage's name in the ledger.
const Name = "delta"

// Stage implements pipeline.Handler.
type Stage struct {
	DB      *pgxpool.Pool
	Sources *catalog.Catalog
	Next    string                   // the queue of annotate
	Count   func(what string, n int) // told of what was committed; nil: nobody

	months sync.Map // months of stats that have a partition, and the one after it
}

// Handle reads what Decide needs, decides, and writes what it decided: one
// transaction and a constant number of statements, whatever the batch holds.
func (s *Stage) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	parts, err := s.decode(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := s.makeMonths(ctx, parts); err != nil {
		return nil, err
	}
	if err := makeParents(ctx, s.DB, parts); err != nil {
		return nil, err
	}
	pipeline.Point("parents")
	byID := make(map[string]*Part, len(parts))
	for i, d := range in {
		byID[d.ID] = parts[i]
	}
	var results []postgres.Result
	out, err := postgres.Once(ctx, s.DB, Name, in, func(tx pgx.Tx, fresh pipeline.Batch) ([]postgres.Result, error) {
		parts := make([]*Part, len(fresh))
		for i, d := range fresh {
			parts[i] = byID[d.ID]
		}
		outcomes, err := apply(ctx, tx, parts)
		if err != nil {
			return nil, err
		}
		results, err = s.results(fresh, parts, outcomes)
		return results, err
	})
	if err == nil {
		postgres.Report(s.Count, results)
	}
	return out, err
}

// apply brings a transaction up to date with parts.
func apply(ctx context.Context, tx pgx.Tx, parts []*Part) ([]Outcome, error) {
	state, err := read(ctx, tx, parts)
	if err != nil {
		return nil, err
	}
	plan, err := Decide(parts, state)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	return plan.Outcomes, write(ctx, tx, plan)
}

func (s *Stage) decode(ctx context.Context, in pipeline.Batch) ([]*Part, error) {
	events, err := pipeline.DecodeAll[event.Part](in)
	if err != nil {
		return nil, err
	}
	parts := make([]*Part, len(events))
	for i, e := range events {
		src, err := s.Sources.Get(ctx, e.Version)
		if err != nil {
			return nil, err
		}
		if parts[i], err = newPart(e, src); err != nil {
			return nil, pipeline.Permanent(err)
		}
	}
	return parts, nil
}

// objectsPerMessage bounds what follows from a batch in one message.
const objectsPerMessage = 1000

// results says what each input came to. What follows from the inputs of a job
// is one message, and the first of them that changed something has it: they are
// committed together, so whoever is delivered again finds it there. The stages
// after this one would do no less work for a message that holds little.
func (s *Stage) results(in pipeline.Batch, parts []*Part, outcomes []Outcome) ([]postgres.Result, error) {
	results := make([]postgres.Result, len(in))
	together := map[follower]*following{}
	var all []*following
	for i, o := range outcomes {
		p := parts[i]
		results[i] = postgres.Result{Source: p.Source, ObservedAt: &p.ObservedAt, Seen: o.Seen, SeenFrom: o.SeenFrom, SeenTo: o.SeenTo, Counts: o.Counts}
		if len(o.Changes) == 0 {
			continue
		}
		key := follower{in[i].Job, p.Version, in[i].Priority}
		f := together[key]
		if f == nil || len(f.Objects)+len(o.Changes) > objectsPerMessage {
			f = &following{i, event.Changes{Source: p.Source, Version: p.Version}}
			together[key], all = f, append(all, f)
		}
		f.Objects = append(f.Objects, o.Changes...)
	}
	for _, f := range all {
		out, err := in[f.first].Emit(s.Next, "", f.Changes)
		if err != nil {
			return nil, err
		}
		results[f.first].Outputs = []pipeline.Envelope{out}
	}
	return results, nil
}

// A follower says which inputs may share a message.
type follower struct {
	job, version string
	priority     uint8
}

type following struct {
	first int // the input that it follows from
	event.Changes
}

// makeMonths makes the partitions that the parts need and the coming month's,
// each in a transaction of its own: one made within the writing transaction
// deadlocks with the writers of other months.
func (s *Stage) makeMonths(ctx context.Context, parts []*Part) error {
	for _, p := range parts {
		for _, d := range p.dates {
			month := firstOfMonth(d.day)
			if _, known := s.months.Load(month); known {
				continue
			}
			for _, m := range []metric.Day{month, firstOfMonth(month + 31)} {
				if err := makeMonth(ctx, s.DB, m); err != nil {
					return fmt.Errorf("partition of stats for %s: %w", m, err)
				}
			}
			s.months.Store(month, true)
		}
	}
	return nil
}

func firstOfMonth(d metric.Day) metric.Day { return d - metric.Day(d.Time().Day()-1) }
