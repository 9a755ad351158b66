package workers

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/scheduler"
	"github.com/leatflow/leat/services/settings"
)

// Scheduler publishes the jobs that are due until ctx is cancelled.
func Scheduler(ctx context.Context, cfg settings.Settings, d *daemon.Daemon) error {
	s, err := open(ctx, cfg, d, pipeline.Config{})
	if err != nil {
		return err
	}
	defer s.close()
	s.table = "schedules"
	d.Health.Expect("postgres", "schedules")
	due := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leat_schedules_due_total", Help: "Times that were due, by outcome: published; again, since the job before was never taken; skipped, since it is at work yet.",
	}, []string{"outcome"})
	d.Metrics.MustRegister(due)
	defer alongside(ctx, s.watch)()
	stage := &scheduler.Scheduler{
		DB: s.db, Sources: s.sources, Sink: s.broker, Folder: cfg.Sources, Queue: rabbit.Fetch, Log: d.Log,
		Told:  func(err error) { d.Health.Set("schedules", err) },
		Count: func(outcome string) { due.WithLabelValues(outcome).Inc() },
	}
	return stage.Run(ctx)
}
