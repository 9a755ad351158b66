package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
)

// poisonous is the variable that makes this test's binary a worker which does
// what its messages say.
const poisonous = "LEAT_TEST_POISON"

// A poisoned stage panics on some messages, dies of others, and does the rest.
type poisoned struct{ db *pgxpool.Pool }

func (p poisoned) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	return postgres.Once(ctx, p.db, "delta", in, func(_ pgx.Tx, fresh pipeline.Batch) ([]postgres.Result, error) {
		for _, d := range fresh {
			switch d.Key {
			case "panic":
				panic("on sight of " + d.ID)
			case "kill":
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				time.Sleep(time.Minute) // the signal is on its way
			}
		}
		return make([]postgres.Result, len(fresh)), nil
	})
}

// runPoisoned is the worker's main.
func runPoisoned() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := postgres.Open(ctx, postgres.Config{URL: os.Getenv("LEAT_POSTGRES_URL"), MaxConns: 4})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer db.Close()
	broker := rabbit.New(rabbit.Config{URL: os.Getenv("LEAT_RABBITMQ_URL"), Prefetch: 50}, func(string, error) {})
	defer broker.Close()
	w := pipeline.Worker{
		Config: pipeline.Config{BatchSize: 10, Slots: 1, MaxAttempts: 3, Grace: time.Second},
		Stage:  "delta", Queue: rabbit.Delta, Dead: rabbit.Dead, Handler: poisoned{db}, Source: broker, Sink: broker,
		Ledger: postgres.Ledger{DB: db, Stage: "delta"}, Probe: db.Ping, Metrics: noMetrics{}, Log: zap.NewNop(),
	}
	_ = w.Run(ctx) // returns nil
	return 0
}

type noMetrics struct{}

func (noMetrics) Batch(int)                   {}
func (noMetrics) Phase(string, time.Duration) {}
func (noMetrics) Retry(string)                {}
func (noMetrics) DeadLetter(string)           {}

// A message whose handler panics, and one that kills the process, cost
// themselves; the others that the worker held go through.
func TestPoison(t *testing.T) {
	s := newSystem(t)
	job := uuid.NewString()
	if _, err := s.db.Exec(t.Context(), `
		INSERT INTO jobs (id, source, mode, params, via, state) VALUES ($1, 'x', 'full', '{}', 'test', 'queued')`, job); err != nil {
		t.Fatal(err)
	}
	var out []pipeline.Envelope
	for i := range 50 {
		e := pipeline.Envelope{ID: fmt.Sprint("message-", i), Kind: "leat.part.v1", Queue: rabbit.Delta, Job: job, At: time.Now(), Body: []byte(`{}`)}
		switch i {
		case 7:
			e.Key = "panic"
		case 21:
			e.Key = "kill"
		}
		out = append(out, e)
	}
	s.publish(out...)

	deaths := 0
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), poisonous+"=1", "LEAT_POSTGRES_URL="+s.cfg.Postgres.URL, "LEAT_RABBITMQ_URL="+s.cfg.RabbitMQ.URL)
			if err := cmd.Run(); err != nil && ctx.Err() == nil {
				deaths++
			}
		}
	}()
	defer func() { stop(); <-ended }()

	s.until(2*patience, "48 messages to be done and 2 dead", func() bool {
		return s.query(`SELECT count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'dead') FROM ledger`)[0] == "48 2"
	})
	letters := s.letters(2)
	classes := map[string]string{}
	for _, l := range letters {
		classes[l.MessageId] = fmt.Sprint(l.Headers["error_class"], " ", l.Headers["attempts"])
		if l.MessageId == "message-7" && !strings.Contains(l.Headers["error"].(string), "panic: on sight of message-7") {
			t.Errorf("the panic's dead letter says %v", l.Headers["error"])
		}
	}
	s.want("the panic", classes["message-7"], "permanent 1")
	s.want("the killer", classes["message-21"], "crashed 5")
	stop()
	<-ended
	if deaths < 4 || deaths > 8 {
		t.Errorf("%d processes died of it", deaths)
	}
}
