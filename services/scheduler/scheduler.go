// Package scheduler publishes the jobs that the source files say are due.
//
// In: the schedules of the source files, and the clock of PostgreSQL. Out: jobs to
// fetch. Any number of schedulers may run: a schedule's row is locked while its
// job is published, and the job's id says of which source, schedule and time it
// is, so that one who dies in between and one who takes over publish the same job.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
)

// A Scheduler publishes what is due.
type Scheduler struct {
	DB      *pgxpool.Pool
	Sources *catalog.Catalog
	Sink    pipeline.Sink
	Folder  string               // of the source files
	Queue   string               // of fetch
	Told    func(err error)      // of each look at the clock: nil when it went well
	Count   func(outcome string) // of each time that was due: published, again, skipped
	Log     *zap.Logger
	stamps  string                    // of the folder
	sources map[string]*source.Source // with a schedule, as they were last when sound
	next    map[rule]time.Time        // before which nothing of it is due
}

// A rule is one schedule of a source.
type rule struct{ source, schedule string }

// lookEvery is how often the clock is looked at.
const lookEvery = time.Second

// Run publishes what is due until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		err := s.Look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.Told(err); err != nil {
			s.Log.Warn("not all that is due could be published", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// Look publishes what is due now. What could not be is due at the next look.
func (s *Scheduler) Look(ctx context.Context) error {
	var now time.Time
	if err := s.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return postgres.Classify(fmt.Errorf("ask for the time: %w", err))
	}
	if err := s.read(ctx); err != nil {
		return err
	}
	var failed []error
	for name, src := range s.sources {
		for _, schedule := range src.Schedule {
			r := rule{name, schedule.String()}
			if now.Before(s.next[r]) {
				continue
			}
			if err := s.see(ctx, src, schedule, now); err != nil {
				failed = append(failed, fmt.Errorf("source %s, %s: %w", name, schedule, err))
				continue
			}
			s.next[r] = schedule.Next(now, src.Location(""))
		}
	}
	return errors.Join(failed...)
}

// read reads the source files if they have changed. Of one that is broken the
// schedules stay as they were.
func (s *Scheduler) read(ctx context.Context) error {
	now := source.Stamps(s.Folder)
	if s.sources != nil && now == s.stamps {
		return nil
	}
	all, err := source.Load(s.Folder)
	if all == nil && err != nil {
		return err
	}
	sources := map[string]*source.Source{}
	maps.Copy(sources, all)
	for name := range source.Broken(err) {
		kept := s.sources[name]
		if kept == nil {
			if kept, err = s.Sources.Taken(ctx, name); err != nil {
				return err
			}
		}
		if kept != nil {
			sources[name] = kept
		}
	}
	s.sources, s.stamps, s.next = sources, now, map[rule]time.Time{}
	return nil
}
