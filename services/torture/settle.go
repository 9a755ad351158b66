package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/fetch"
)

const (
	quiet    = 2 * time.Second   // without progress: what is left waits for what a fault still holds
	patience = 100 * time.Second // the same once no fault lasts: what is left is lost. Workers ask anew every 30 s at least
)

// settle waits until all jobs have ended and nothing is left to do. When the
// last jobs are through, as far as faults that last let them, those faults end:
// their sleepers wake up, and what they held back comes, last of all.
func (h *harness) settle(ctx context.Context) error {
	if err := h.still(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	last := h.last
	h.last = nil
	h.mu.Unlock()
	for _, f := range last {
		f(ctx)
	}
	progress := h.progress()
	for ; ; pause(ctx, 200*time.Millisecond) {
		left, err := h.left(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && left == "":
			return nil
		case h.robbed && progress(ctx) > quiet: // messages that the purge took before the ledger knew them
			h.robbed = false
			_ = h.resume(ctx) // if not all of it, then nothing gets on
		case progress(ctx) > patience:
			return errors.Join(fmt.Errorf("nothing was done for %s, and there is still left: %s; %s", patience, left, h.where(ctx)), err)
		}
		_ = h.hasten(ctx) // if not now, then the next time
	}
}

// still waits until no job is open, or none gets on.
func (h *harness) still(ctx context.Context) error {
	progress := h.progress()
	for progress(ctx) < quiet {
		if open, err := h.openJobs(ctx); err != nil || open+h.held == 0 {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

// progress returns what says how long nothing has been committed.
func (h *harness) progress() func(context.Context) time.Duration {
	before, since := "", time.Now()
	return func(ctx context.Context) time.Duration {
		var now string
		if err := h.lab.DB.QueryRow(ctx, `SELECT (SELECT count(*) FROM ledger)::text || ' ' || (SELECT last_value FROM rev)`).Scan(&now); err == nil && now != before {
			before, since = now, time.Now()
		}
		return time.Since(since)
	}
}

// left says what is not done yet: jobs, marks, messages.
func (h *harness) left(ctx context.Context) (string, error) {
	ids, err := h.unfinished(ctx)
	if err != nil {
		return "?", err
	}
	var marks int
	if err := h.lab.DB.QueryRow(ctx, `SELECT count(*) FROM dirty`).Scan(&marks); err != nil {
		return "?", err
	}
	var left []string
	if len(ids) > 0 {
		left = append(left, "jobs "+strings.Join(ids, ", "))
	}
	if marks > 0 {
		left = append(left, fmt.Sprintf("%d marks", marks))
	}
	if len(left) > 0 { // RabbitMQ counts messages late: it is asked last
		return strings.Join(left, "; "), nil
	}
	queues, err := h.queues(ctx)
	for _, q := range queues {
		if q.Messages > 0 && q.Name != rabbit.Dead && q.Name != rabbit.Feed {
			left = append(left, fmt.Sprintf("%d messages in %s", q.Messages, q.Name))
		}
	}
	return strings.Join(left, "; "), err
}

type queue struct {
	Name     string
	Messages int
	Stats    struct{ Redeliver int } `json:"message_stats"`
}

func (h *harness) queues(ctx context.Context) (queues []queue, err error) {
	return queues, h.lab.Manage(ctx, http.MethodGet, "/api/queues/"+h.lab.Name, nil, &queues)
}

// unfinished returns the jobs that have not ended and should.
func (h *harness) unfinished(ctx context.Context) ([]string, error) {
	h.mu.Lock()
	jobs := slices.Collect(maps.Keys(h.jobs))
	h.mu.Unlock()
	rows, err := h.lab.DB.Query(ctx, `
		SELECT id::text FROM (
			SELECT s.id FROM unnest($1::uuid[]) AS s(id) LEFT JOIN jobs j USING (id) WHERE j.id IS NULL
			UNION SELECT id FROM jobs WHERE state IN ('queued', 'running')
		) AS open`, jobs)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// hasten takes messages out of the waiting queues, by hand so to say, and has
// them tried again now.
func (h *harness) hasten(ctx context.Context) error {
	t, err := h.tap(rabbit.Fetch)
	if err != nil {
		return err
	}
	defer t.close()
	for _, name := range rabbit.Queues() {
		if !strings.HasPrefix(name, "leat.wait.") {
			continue
		}
		err := t.drain(name, func(d amqp.Delivery) error {
			t.queue = d.RoutingKey
			return t.publish(ctx, []amqp.Delivery{d})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// drain takes all messages out of a queue, each when f has done with it.
func (t *tap) drain(queue string, f func(amqp.Delivery) error) error {
	for {
		d, ok, err := t.ch.Get(queue, false)
		if err != nil || !ok {
			return err
		}
		if err := f(d); err != nil {
			return err
		}
		if err := d.Ack(false); err != nil {
			return err
		}
	}
}

// verify compares all that there is with what there should be.
func (h *harness) verify(ctx context.Context) error {
	for _, w := range h.workers {
		w.mu.Lock()
		unasked := w.Unasked
		w.mu.Unlock()
		if len(unasked) > 0 {
			return fmt.Errorf("%s ended by itself: %s", w.name, strings.Join(unasked, ", "))
		}
	}
	if err := h.verifyDead(); err != nil {
		return err
	}
	if err := h.verifyJobs(ctx); err != nil {
		return err
	}
	return h.compare(ctx)
}

// verifyDead fails unless the poisons are dead letters, and nothing else is.
func (h *harness) verifyDead() error {
	t, err := h.tap(rabbit.Dead)
	if err != nil {
		return err
	}
	defer t.close()
	found := map[string]bool{}
	var wrong error
	err = t.drain(rabbit.Dead, func(d amqp.Delivery) error {
		if _, poison := h.poisons[d.MessageId]; !poison && !found[d.MessageId] {
			wrong = errors.Join(wrong, fmt.Errorf("dead letter of %v: %s %s: %v", d.Headers["stage"], d.Type, d.MessageId, d.Headers["error"]))
		}
		found[d.MessageId] = true
		return nil
	})
	for id, must := range h.poisons {
		if must && !found[id] {
			wrong = errors.Join(wrong, fmt.Errorf("%s is not a dead letter", id))
		}
	}
	h.dead += len(found)
	return errors.Join(err, wrong)
}

// verifyJobs fails when a job came to an end other than done.
func (h *harness) verifyJobs(ctx context.Context) error {
	var failed []string
	for id := range h.poisons {
		failed = append(failed, fetch.JobID("nobody", id))
	}
	clear(h.poisons)
	if _, err := h.lab.DB.Exec(ctx, `DELETE FROM jobs WHERE source = 'nobody' AND state = 'failed' AND id = ANY($1::uuid[])`, failed); err != nil {
		return err
	}
	rows, err := h.lab.DB.Query(ctx, `SELECT id::text, state || ': ' || coalesce(error, '') FROM jobs WHERE state NOT IN ('queued', 'running', 'done')`)
	if err != nil {
		return err
	}
	var wrong error
	var id, what string
	_, err = pgx.ForEachRow(rows, []any{&id, &what}, func() error {
		wrong = errors.Join(wrong, fmt.Errorf("job %s is %s", id, what))
		return nil
	})
	return errors.Join(err, wrong)
}

// where says what is unfinished, for whoever looks for the reason.
func (h *harness) where(ctx context.Context) string {
	ids, err := h.unfinished(ctx)
	if err != nil {
		return err.Error()
	}
	var text string
	err = h.lab.DB.QueryRow(ctx, `
		SELECT coalesce(string_agg(line, '; '), 'nothing is open') FROM (
			SELECT 'job ' || id || coalesce(' (' || source || ') is ' || state, ' has no row') AS line
			FROM unnest($1::uuid[]) AS open(id) LEFT JOIN jobs USING (id)
			UNION ALL (
				SELECT 'no row of ' || n.name || ', which ' || l.stage || ' names in ' || l.message_id
				FROM ledger l, unnest(l.names) AS n(name)
				WHERE l.job_id = ANY($1::uuid[])
				AND NOT EXISTS (SELECT 1 FROM ledger d WHERE d.job_id = l.job_id AND d.message_id = n.name AND d.state IN ('done', 'dead')) LIMIT 20)
			UNION ALL SELECT 'marks: ' || count(*) FROM dirty
		) AS lines`, ids).Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}
