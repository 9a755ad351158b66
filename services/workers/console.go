package workers

import (
	"context"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/console"
	"github.com/leatflow/leat/services/deadletter"
	"github.com/leatflow/leat/services/settings"
)

// Console runs the console until ctx is cancelled: it files dead letters,
// replays them, and serves both over HTTP.
func Console(ctx context.Context, cfg settings.Settings, d *daemon.Daemon) error {
	config := pipeline.Config{BatchSize: cfg.Console.BatchSize, Slots: 1, Prefetch: cfg.Console.Prefetch, MaxAttempts: 1}
	s, err := open(ctx, cfg, d, config)
	if err != nil {
		return err
	}
	defer s.close()
	s.table = "dead_letters"
	metrics := newMetrics(d.Metrics, console.Name)
	stage := &console.Stage{DB: s.db, Sink: s.broker, Count: metrics.Count}
	server := &console.Server{
		Store: deadletter.Store{DB: s.db}, Hosts: cfg.Console.Hosts, UserHeader: cfg.Console.UserHeader, Log: d.Log,
	}
	stop, err := server.Start(cfg.Console.Listen)
	if err != nil {
		return err
	}
	defer stop()
	return s.run(ctx, worker{stage: console.Name, queue: rabbit.Dead, handler: stage, ledger: noLedger{}, metrics: metrics})
}

// A noLedger remembers nothing: what is filed is a row, which says it all.
type noLedger struct{}

func (noLedger) Start(context.Context, pipeline.Envelope) (int, error)            { return 0, nil }
func (noLedger) Returned(context.Context, pipeline.Envelope) error                { return nil }
func (noLedger) Waits(context.Context, pipeline.Envelope, pipeline.Setback) error { return nil }
func (noLedger) Dead(context.Context, pipeline.Envelope, pipeline.Death) error    { return nil }
