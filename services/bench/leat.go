package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/fetch"
	"github.com/leatflow/leat/services/lab"
)

var stages = []string{"fetch", "delta", "annotate", "rollup"}

// Workers are Leat's processes in a lab, with a connection to feed them.
type workers struct {
	lab    *site
	all    []*process
	broker *rabbit.Broker
}

// startWorkers starts n processes of each stage, and waits until they are ready.
func startWorkers(ctx context.Context, l *site, bin string, count map[string]int, env ...string) (w *workers, err error) {
	w = &workers{lab: l, broker: rabbit.New(l.Cfg.RabbitMQ, func(string, error) {})}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	env = append(l.Env(), env...)
	for _, stage := range stages {
		for n := range count[stage] {
			listen, err := lab.FreeAddress()
			if err != nil {
				return w, err
			}
			p, err := start(l.Folder, fmt.Sprintf("%s-%d", stage, n+1), append(env, "LEAT_HTTP_LISTEN="+listen), filepath.Join(bin, "leat-"+stage))
			if err != nil {
				return w, err
			}
			p.listen = listen
			w.all = append(w.all, p)
		}
	}
	for _, p := range w.all {
		if err := p.awaitReady(ctx); err != nil {
			return w, err
		}
	}
	return w, nil
}

// each is n processes of every stage.
func each(n int) map[string]int {
	return map[string]int{"fetch": n, "delta": n, "annotate": n, "rollup": n}
}

// awaitReady waits until a worker says that it is ready.
func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if _, err := lab.Call(ctx, "GET", "http://"+p.listen+"/readyz", nil); err == nil {
			return nil
		}
		if err := p.pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%s is not ready: %w", p.name, err)
		}
	}
}

func (w *workers) stop() error {
	err := stopAll(w.all)
	w.broker.Close()
	return err
}

// backfill is the job that asks for all days of the report; of one account, if
// one is named.
func backfill(account string) string {
	job := map[string]string{"source": "ads", "mode": "backfill", "from": firstDay, "to": lastDay}
	if account != "" {
		job["account"] = account
	}
	text, err := json.Marshal(job)
	if err != nil {
		panic(err) // no map of texts fails
	}
	return string(text)
}

// submit publishes a job and returns its id.
func (w *workers) submit(ctx context.Context, job string) (string, error) {
	id := uuid.NewString()
	parsed, err := fetch.ParseJob([]byte(job))
	if err != nil {
		return "", err
	}
	return fetch.JobID(parsed.Source, id), w.broker.Publish(ctx, []pipeline.Envelope{{
		ID: id, Kind: event.KindJob, Queue: rabbit.Fetch, At: time.Now(), Priority: parsed.Priority(), Body: json.RawMessage(job),
	}})
}

// work implements subject.
func (w *workers) work(ctx context.Context) (counts, error) {
	id, err := w.submit(ctx, backfill(""))
	if err != nil {
		return nil, err
	}
	return w.await(ctx, id)
}

func (w *workers) processes() []*process { return w.all }

// pollEvery is how often a job is looked at: what a measured time may be late.
const pollEvery = 4 * time.Millisecond

// await waits until a job is done, and returns what it came to.
func (w *workers) await(ctx context.Context, id string) (counts, error) {
	for {
		var state, reason string
		var text []byte
		err := w.lab.DB.QueryRow(ctx, `
			SELECT state, counts, coalesce(error, '') FROM jobs WHERE id = $1 AND state NOT IN ('queued', 'running')`, id).Scan(&state, &text, &reason)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return nil, err
		case state != "done":
			return nil, fmt.Errorf("the job is %s: %s", state, reason)
		default:
			return w.countsOf(ctx, id)
		}
		for _, p := range w.all {
			select {
			case <-p.ended:
				return nil, fmt.Errorf("%s ended: %w", p.name, p.failure())
			default:
			}
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return nil, err
		}
	}
}

// counts are Leat's own: stats.new and so on.
type counts map[string]int64

// countsOf adds up the counts of a job and of those that it made.
func (w *workers) countsOf(ctx context.Context, id string) (counts, error) {
	rows, err := w.lab.DB.Query(ctx, `
		SELECT t.key || '.' || c.key, sum(c.value::bigint)::bigint
		FROM jobs j, jsonb_each(j.counts) AS t, jsonb_each_text(t.value) AS c
		WHERE j.id = $1 OR j.parent_id = $1 GROUP BY 1`, id)
	if err != nil {
		return nil, err
	}
	all := counts{}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { all[name] = n; return nil })
	return all, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
