// Package e2e tests the whole pipeline on real servers, as its users run it.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/fetch"
	"github.com/leatflow/leat/services/lab"
	"github.com/leatflow/leat/services/schema"
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

// A system is a Leat of its own: fresh servers' parts, and a folder of sources.
type system struct {
	t      *testing.T
	cfg    settings.Settings
	db     *pgxpool.Pool
	docs   *mongo.Database
	broker *rabbit.Broker
	log    *zap.Logger
	env    func(stage string) []string // what the environment of its processes has besides; nil: nothing
}

// newSystem makes a system with its schema and queues, and no worker.
func newSystem(t *testing.T) *system {
	t.Helper()
	cfg := settings.Default()
	cfg.Postgres.URL, cfg.RabbitMQ.URL = pipetest.Postgres(t), pipetest.Rabbit(t)
	cfg.MongoDB.URL, cfg.MongoDB.Database = pipetest.Mongo(t)
	cfg.Sources, cfg.Archive = t.TempDir(), t.TempDir()
	cfg.RabbitMQ.ManagementURL = os.Getenv("LEAT_RABBITMQ_MANAGEMENT_URL")
	cfg.HTTP.Listen, cfg.Console.Listen = "off", "off"
	cfg.Fetch.AllowNetworks = []string{"127.0.0.1"} // where the sources of tests are

	s := &system{t: t, cfg: cfg, log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))}
	var err error
	if s.db, err = postgres.Open(t.Context(), cfg.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.db.Close)
	if err := postgres.Migrate(t.Context(), s.db, schema.FS); err != nil {
		t.Fatal(err)
	}
	if err := rabbit.Declare(t.Context(), cfg.RabbitMQ); err != nil {
		t.Fatal(err)
	}
	if s.docs, err = mongodb.Open(cfg.MongoDB); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.docs.Client().Disconnect(context.Background()) })
	s.broker = rabbit.New(cfg.RabbitMQ, func(string, error) {})
	t.Cleanup(s.broker.Close)
	return s
}

// source writes a source file.
func (s *system) source(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.cfg.Sources, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// A run is how a stage's worker is run.
type run func(context.Context, settings.Settings, *daemon.Daemon) error

var daemons = map[string]run{
	"fetch": workers.Fetch, "delta": workers.Delta, "annotate": workers.Annotate, "rollup": workers.Rollup, "console": workers.Console, "scheduler": workers.Scheduler,
}

// start starts n of some daemons (of each stage's workers, if none is named) in
// this process, and returns what stops them and waits for them.
func (s *system) start(n int, names ...string) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	if len(names) == 0 {
		names = []string{"fetch", "delta", "annotate", "rollup"}
	}
	for _, name := range names {
		work := daemons[name]
		for range n {
			running.Go(func() {
				d := &daemon.Daemon{Name: name, Log: s.log.Named(name), Metrics: prometheus.NewRegistry(), Health: daemon.NewHealth()}
				if err := work(ctx, s.cfg, d); err != nil {
					s.t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); running.Wait() }) }
	s.t.Cleanup(stop)
	return stop
}

// submit publishes a job and returns its id.
func (s *system) submit(job string) string {
	s.t.Helper()
	j, err := fetch.ParseJob([]byte(job))
	if err != nil {
		s.t.Fatal(err)
	}
	id := uuid.NewString()
	s.publish(pipeline.Envelope{ID: id, Kind: event.KindJob, Queue: rabbit.Fetch, At: time.Now(), Body: json.RawMessage(job)})
	return fetch.JobID(j.Source, id)
}

func (s *system) publish(e ...pipeline.Envelope) {
	s.t.Helper()
	if err := s.broker.Publish(s.t.Context(), e); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until a job has ended and returns its state and counts.
func (s *system) await(job string, limit time.Duration) (state string, counts map[string]map[string]int) {
	s.t.Helper()
	s.until(limit, "job "+job+" to end", func() bool {
		var text []byte
		err := s.db.QueryRow(s.t.Context(), `SELECT state, counts FROM jobs WHERE id = $1`, job).Scan(&state, &text)
		if err != nil || state == "queued" || state == "running" {
			return false
		}
		counts = map[string]map[string]int{}
		return json.Unmarshal(text, &counts) == nil
	})
	return state, counts
}

// until waits for a condition.
func (s *system) until(limit time.Duration, what string, met func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(limit); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %s for %s; %s", limit, what, s.where())
		}
	}
}

// where says what is unfinished.
func (s *system) where() string {
	var text string
	err := s.db.QueryRow(context.Background(), `
		SELECT coalesce(string_agg(line, '; '), 'nothing') FROM (
			SELECT 'job ' || id || ' ' || state || ' ' || coalesce(error, '') AS line FROM jobs WHERE state <> 'done'
			UNION ALL SELECT stage || ' ' || state || ': ' || count(*) || ' ' || coalesce(max(error), '') FROM ledger GROUP BY stage, state
			UNION ALL SELECT 'dirty: ' || count(*) FROM dirty) AS l`).Scan(&text)
	return fmt.Sprint(text, err)
}

// query returns the rows of a query as text, a line each.
func (s *system) query(sql string, args ...any) []string {
	s.t.Helper()
	rows, err := s.db.Query(s.t.Context(), sql, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		texts := make([]string, len(values))
		for i, v := range values {
			text, _ := json.Marshal(v)
			texts[i] = string(text)
		}
		return strings.Join(texts, " "), err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return lines
}

// rows returns all that PostgreSQL holds of a source, but for ids and times of the run.
func (s *system) rows() []string {
	s.t.Helper()
	return append(s.query(`
		SELECT o.source, o.type, o.key, p.type, p.key, o.depth, o.name, o.attrs, t.tags
		FROM objects o LEFT JOIN objects p ON p.id = o.parent_id LEFT JOIN tags t ON t.object_id = o.id
		ORDER BY o.source, o.type, o.key`),
		s.query(`
		SELECT o.source, o.type, o.key, s.day, s.rule, s.dims, s.metrics, s.hours
		FROM stats s JOIN objects o ON o.id = s.object_id
		ORDER BY o.source, o.type, o.key, s.day, s.rule, s.dims`)...)
}

// documents returns all documents of a source by their ids, without rev.
func (s *system) documents(source string) map[string]bson.M {
	s.t.Helper()
	cursor, err := s.docs.Collection(source).Find(s.t.Context(), bson.M{"gone": bson.M{"$exists": false}})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []bson.M
	if err := cursor.All(s.t.Context(), &all); err != nil {
		s.t.Fatal(err)
	}
	byID := make(map[string]bson.M, len(all))
	for _, d := range all {
		delete(d, "rev")
		byID[d["_id"].(string)] = d
	}
	return byID
}

// documentLines returns the documents as text, sorted by id.
func (s *system) documentLines(source string) []string {
	s.t.Helper()
	var lines []string
	for _, d := range s.documents(source) {
		text, err := json.Marshal(lab.Sorted(d))
		if err != nil {
			s.t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	slices.Sort(lines)
	return lines
}

// take takes n messages out of a queue.
func (s *system) take(queue string, n int) []pipeline.Envelope {
	s.t.Helper()
	cfg := s.cfg.RabbitMQ
	cfg.Prefetch = n
	broker := rabbit.New(cfg, func(string, error) {})
	defer broker.Close()
	deliveries, err := broker.Consume(s.t.Context(), queue)
	if err != nil {
		s.t.Fatal(err)
	}
	var taken []pipeline.Envelope
	for limit := time.After(patience); len(taken) < n; {
		select {
		case d := <-deliveries:
			if err := d.Ack(); err != nil {
				s.t.Fatal(err)
			}
			taken = append(taken, d.Envelope)
		case <-limit:
			s.t.Fatalf("%d of %d messages in %s", len(taken), n, queue)
		}
	}
	return taken
}

// patience is how long a test waits for what takes a second.
const patience = time.Minute

func (s *system) want(what string, got, want any) {
	s.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// sameLines reports the first line that differs.
func (s *system) sameLines(what string, got, want []string) {
	s.t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			s.t.Fatalf("%s: line %d is missing: %s", what, i, want[i])
		case i >= len(want):
			s.t.Fatalf("%s: line %d is too much: %s", what, i, got[i])
		case got[i] != want[i]:
			s.t.Fatalf("%s: line %d:\n got %s\nwant %s", what, i, got[i], want[i])
		}
	}
}
