// Package workers wires each stage to its servers: what the main functions of
// the four workers do.
package workers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/annotate"
	"github.com/leatflow/leat/services/archive"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/delta"
	"github.com/leatflow/leat/services/fetch"
	"github.com/leatflow/leat/services/rollup"
	"github.com/leatflow/leat/services/settings"
)

// Fetch runs a fetch worker until ctx is cancelled.
func Fetch(ctx context.Context, cfg settings.Settings, d *daemon.Daemon) error {
	config := pipeline.Config{BatchSize: 1, Slots: cfg.Fetch.Slots, Prefetch: cfg.Fetch.Slots, MaxAttempts: cfg.Fetch.MaxAttempts}
	guard, err := cfg.Fetch.Guard()
	if err != nil {
		return err
	}
	s, err := open(ctx, cfg, d, config)
	if err != nil {
		return err
	}
	defer s.close()
	if s.archive, err = archive.Open(ctx, cfg.Archive); err != nil {
		return err
	}
	metrics := newMetrics(d.Metrics, fetch.Name)
	stage := &fetch.Stage{
		DB: s.db, Sources: s.sources, Archive: s.archive, Sink: s.broker,
		Folder: cfg.Sources, Files: cfg.Fetch.Files, Guard: guard, MaxSize: cfg.Fetch.MaxSizeMiB << 20,
		Slots: cfg.Fetch.Slots, Self: rabbit.Fetch, Next: rabbit.Delta, Count: metrics.Count, Log: d.Log,
		Host: hostname(), Broken: brokenSources(d),
		YieldAbove: cfg.Fetch.YieldAbove,
		Longest: func(ctx context.Context) (string, int, error) {
			return s.broker.Longest(ctx, rabbit.Delta, rabbit.Annotate, rabbit.Rollup)
		},
	}
	ledger := fetch.Ledger{Ledger: postgres.Ledger{DB: s.db, Stage: fetch.Name}}
	return s.run(ctx, worker{
		stage: fetch.Name, queue: rabbit.Fetch, dead: rabbit.Dead, handler: stage, ledger: ledger, metrics: metrics, beside: stage.Watch,
	})
}

// Delta runs a delta worker until ctx is cancelled.
func Delta(ctx context.Context, cfg settings.Settings, d *daemon.Daemon) error {
	s, err := open(ctx, cfg, d, cfg.Delta)
	if err != nil {
		return err
	}
	defer s.close()
	metrics := newMetrics(d.Metrics, delta.Name)
	stage := &delta.Stage{DB: s.db, Sources: s.sources, Next: rabbit.Annotate, Count: metrics.Count}
	return s.run(ctx, worker{stage: delta.Name, queue: rabbit.Delta, dead: rabbit.Dead, handler: stage, ledger: postgres.Ledger{DB: s.db, Stage: delta.Name}, metrics: metrics})
}

// Annotate runs an annotate worker until ctx is cancelled.
func Annotate(ctx context.Context, cfg settings.Settings, d *daemon.Daemon) error {
	guard, err := cfg.Annotate.Guard()
	if err != nil {
		return err
	}
	s, err := open(ctx, cfg, d, cfg.Annotate.Worker)
	if err != nil {
		return err
	}
	defer s.close()
	metrics := newMetrics(d.Metrics, annotate.Name)
	stage := &annotate.Stage{
		DB: s.db, Sources: s.sources, Self: rabbit.Annotate, Next: rabbit.Rollup,
		Lookups: annotate.NewLookups(s.db, guard, cfg.Annotate.Lookups, d.Log), Count: metrics.Count, Log: d.Log,
	}
	return s.run(ctx, worker{stage: annotate.Name, queue: rabbit.Annotate, dead: rabbit.Dead, handler: stage, ledger: postgres.Ledger{DB: s.db, Stage: annotate.Name}, metrics: metrics})
}

// Rollup runs a rollup worker until ctx is cancelled.
func Rollup(ctx context.Context, cfg settings.Settings, d *daemon.Daemon) error {
	s, err := open(ctx, cfg, d, cfg.Rollup.Worker)
	if err != nil {
		return err
	}
	defer s.close()
	if s.mongo, err = mongodb.Open(cfg.MongoDB); err != nil {
		return err
	}
	metrics := newMetrics(d.Metrics, rollup.Name)
	stage := &rollup.Stage{
		Config: cfg.Rollup.Writing, DB: s.db, Mongo: s.mongo, Sources: s.sources, Sink: s.broker,
		Feed: rabbit.Feed, Dead: rabbit.Dead, Count: metrics.Count, Log: d.Log,
	}
	return s.run(ctx, worker{stage: rollup.Name, queue: rabbit.Rollup, dead: rabbit.Dead, handler: stage, ledger: postgres.Ledger{DB: s.db, Stage: rollup.Name}, metrics: metrics})
}

// Servers are what a worker is connected to.
type servers struct {
	cfg     settings.Settings
	config  pipeline.Config
	daemon  *daemon.Daemon
	db      *pgxpool.Pool
	mongo   *mongo.Database  // rollup's only
	archive *archive.Archive // fetch's only
	broker  *rabbit.Broker
	sources *catalog.Catalog
	table   string // that must be there, or the schema is not migrated far enough
}

// open prepares the connections. Each is dialled when it is first used: a worker
// starts while its servers are away, and waits for them.
func open(ctx context.Context, cfg settings.Settings, d *daemon.Daemon, config pipeline.Config) (*servers, error) {
	config.Grace = cfg.Grace()
	db, err := postgres.Open(ctx, cfg.Postgres)
	if err != nil {
		return nil, err
	}
	cfg.RabbitMQ.Prefetch = config.Prefetch
	cfg.RabbitMQ.App = d.Name + " " + d.Version
	return &servers{
		cfg: cfg, config: config, daemon: d, db: db,
		broker: rabbit.New(cfg.RabbitMQ, d.Health.Set), sources: catalog.New(db), table: "ledger",
	}, nil
}

func (s *servers) close() {
	s.broker.Close()
	s.db.Close()
	if s.archive != nil {
		_ = s.archive.Close() // the process ends anyway
	}
	if s.mongo != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.mongo.Client().Disconnect(ctx) // the process ends anyway
	}
}

// A worker is what tells the stages' workers apart.
type worker struct {
	stage, queue string
	dead         string // the queue for dead letters
	handler      pipeline.Handler
	ledger       pipeline.Ledger
	metrics      *metrics
	beside       func(ctx context.Context) // runs while the worker does; nil: nothing
}

func (s *servers) run(ctx context.Context, of worker) error {
	s.daemon.Health.Expect("consumer", "postgres")
	if s.mongo != nil {
		s.daemon.Health.Expect("mongodb")
	}
	if s.archive != nil {
		s.daemon.Health.Expect("archive")
	}
	defer alongside(ctx, s.watch, of.beside)()
	w := pipeline.Worker{
		Config: s.config, Stage: of.stage, Queue: of.queue, Dead: of.dead, Handler: of.handler, Source: s.broker, Sink: s.broker,
		Ledger: of.ledger, Probe: s.probe, Metrics: of.metrics, Log: s.daemon.Log,
		Redact: redact.Text,
		Idled:  func(err error) { s.daemon.Health.Set("writing", err) },
	}
	s.daemon.Health.Watch("worker", w.Stuck)
	return w.Run(ctx)
}

// alongside runs what is not nil until the returned function is called, which waits for it.
func alongside(ctx context.Context, all ...func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, f := range all {
		if f != nil {
			running.Go(func() { f(ctx) })
		}
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// probeLimit is how long a server may take to say that it is there.
const probeLimit = 5 * time.Second

// probe asks the databases and the archive whether they can be worked with. The broker is asked
// by consuming from it.
func (s *servers) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	err := s.probePostgres(ctx)
	s.daemon.Health.Set("postgres", err)
	if s.mongo != nil {
		away := mongodb.Ping(ctx, s.mongo)
		s.daemon.Health.Set("mongodb", away)
		err = errors.Join(err, away)
	}
	if s.archive != nil {
		away := s.archive.Ready(ctx)
		s.daemon.Health.Set("archive", away)
		err = errors.Join(err, away)
	}
	return err
}

func (s *servers) probePostgres(ctx context.Context) error {
	var migrated bool
	err := s.db.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, s.table).Scan(&migrated)
	switch {
	case err != nil:
		return postgres.Classify(fmt.Errorf("postgres: %w", err))
	case !migrated:
		return fmt.Errorf("postgres: the schema leat has no table %s: run `leat migrate`", s.table)
	}
	return nil
}

// watch keeps readiness true to the servers while the worker works.
func (s *servers) watch(ctx context.Context) {
	every := time.NewTicker(probeLimit)
	defer every.Stop()
	for {
		if err := s.probe(ctx); err != nil && ctx.Err() == nil {
			s.daemon.Log.Warn("not ready", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
