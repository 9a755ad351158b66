package console_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/deadletter"
	"github.com/leatflow/leat/services/schema"
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

// patience is how long a test waits for what takes a second.
const patience = time.Minute

var tester = audit.By{Who: "tester@host", Via: "cli"}

// A house is a database and a broker of its own.
type house struct {
	t      *testing.T
	cfg    settings.Settings
	db     *pgxpool.Pool
	broker *rabbit.Broker
	store  deadletter.Store
}

func newHouse(t *testing.T) *house {
	t.Helper()
	cfg := settings.Default()
	cfg.Postgres.URL, cfg.RabbitMQ.URL = pipetest.Postgres(t), pipetest.Rabbit(t)
	cfg.Console.Listen = "127.0.0.1:0"
	h := &house{t: t, cfg: cfg}
	var err error
	if h.db, err = postgres.Open(t.Context(), cfg.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.db.Close)
	if err := postgres.Migrate(t.Context(), h.db, schema.FS); err != nil {
		t.Fatal(err)
	}
	if err := rabbit.Declare(t.Context(), cfg.RabbitMQ); err != nil {
		t.Fatal(err)
	}
	h.broker = rabbit.New(cfg.RabbitMQ, func(string, error) {})
	t.Cleanup(h.broker.Close)
	h.store = deadletter.Store{DB: h.db}
	return h
}

// start runs n consoles until the test ends.
func (h *house) start(n int) {
	ctx, cancel := context.WithCancel(h.t.Context())
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			log := zaptest.NewLogger(h.t, zaptest.Level(zap.WarnLevel))
			d := &daemon.Daemon{Name: "console", Log: log, Metrics: prometheus.NewRegistry(), Health: daemon.NewHealth()}
			if err := workers.Console(ctx, h.cfg, d); err != nil {
				h.t.Errorf("console: %v", err)
			}
		})
	}
	h.t.Cleanup(func() { cancel(); running.Wait() })
}

// dead is a dead letter of delta as its worker publishes it.
func dead(id string) pipeline.Envelope {
	return pipeline.Envelope{
		ID: id, Kind: event.KindPart, Queue: rabbit.Dead, At: time.Unix(1_700_000_000, 0), Priority: 5, Attempt: 3, Key: "k", Cause: "c",
		Body: []byte(`{"source":"ads","version":"v"}`),
		Headers: map[string]string{
			"error": "no object 12", "error_class": "permanent", "stage": "delta", "attempts": "4", "died_at": "2026-11-20T10:00:00.5Z",
			"origin_queue": rabbit.Delta, "traceparent": "p",
		},
	}
}

func deadOnes(prefix string, n int) []pipeline.Envelope {
	all := make([]pipeline.Envelope, n)
	for i := range all {
		all[i] = dead(fmt.Sprint(prefix, i))
	}
	return all
}

func (h *house) publish(e ...pipeline.Envelope) {
	h.t.Helper()
	if err := h.broker.Publish(h.t.Context(), e); err != nil {
		h.t.Fatal(err)
	}
}

// file writes dead letters as the console does.
func (h *house) file(e ...pipeline.Envelope) {
	h.t.Helper()
	if _, err := deadletter.File(h.t.Context(), h.db, e); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) count(sql string, args ...any) (n int) {
	h.t.Helper()
	if err := h.db.QueryRow(h.t.Context(), sql, args...).Scan(&n); err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (h *house) until(what string, met func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

func (h *house) untilFiled(n int) {
	h.t.Helper()
	h.until(fmt.Sprint(n, " letters to be filed"), func() bool { return h.count(`SELECT count(*) FROM dead_letters`) >= n })
}

func (h *house) list(f deadletter.Filter) []deadletter.Letter {
	h.t.Helper()
	letters, err := h.store.List(h.t.Context(), f, 0, 100_000)
	if err != nil {
		h.t.Fatal(err)
	}
	return letters
}

// replay begins a replay of all that a filter means.
func (h *house) replay(f deadletter.Filter, rate int) deadletter.Replay {
	h.t.Helper()
	ids, err := h.store.IDs(h.t.Context(), f)
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := h.store.Start(h.t.Context(), deadletter.Plan{IDs: ids, Rate: rate, By: tester, Why: "a test"})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) replayNow(id int64) deadletter.Replay {
	h.t.Helper()
	r, err := h.store.Replay(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) untilDone(id int64) deadletter.Replay {
	h.t.Helper()
	h.until("the replay to end", func() bool { return h.replayNow(id).Over() })
	return h.replayNow(id)
}

// channel opens a channel that knows nothing of Leat.
func (h *house) channel() *amqp.Channel {
	h.t.Helper()
	conn, err := amqp.Dial(h.cfg.RabbitMQ.URL)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		h.t.Fatal(err)
	}
	return ch
}

// publishAsItIs publishes a delivery with all its properties and headers.
func (h *house) publishAsItIs(queue string, d amqp.Delivery) {
	h.t.Helper()
	ch := h.channel()
	if err := ch.Confirm(false); err != nil {
		h.t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
		Headers: d.Headers, DeliveryMode: d.DeliveryMode, Priority: d.Priority, CorrelationId: d.CorrelationId, MessageId: d.MessageId,
		Timestamp: d.Timestamp, Type: d.Type, Body: d.Body,
	})
	if err != nil || !confirm.Wait() {
		h.t.Fatal("not published:", err)
	}
}

// drain takes what lies in a queue, as the broker has it.
func (h *house) drain(queue string) []amqp.Delivery {
	h.t.Helper()
	ch := h.channel()
	defer ch.Close() // what was not acknowledged goes back
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := ch.Qos(2000, 0, false); err != nil {
		h.t.Fatal(err)
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	taken := make([]amqp.Delivery, 0, q.Messages)
	for limit := time.After(patience); len(taken) < q.Messages; {
		select {
		case d := <-deliveries:
			taken = append(taken, d)
			if err := d.Ack(false); err != nil {
				h.t.Fatal(err)
			}
		case <-limit:
			h.t.Fatalf("%d of %d messages in %s", len(taken), q.Messages, queue)
		}
	}
	return taken
}
