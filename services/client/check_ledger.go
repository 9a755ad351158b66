package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/rabbit"
)

// A group are the messages of a job, from one stage to one queue, that the ledger
// names and no stage has done or given up.
type group struct {
	job, source, state string
	stage              string // "" for the job's own message
	queue              string
	n                  int64
	first, last        string // of their ids
}

// from is the queue of the message that the group follows from: who holds that
// one may not have published yet.
func (g group) from() string {
	if g.stage == "" {
		return rabbit.Fetch
	}
	return rabbit.Exchange + "." + g.stage
}

func (g group) open() bool { return g.state == "queued" || g.state == "running" }

// missing are the messages of the jobs of "asked" that are named and not done:
// those of which rollup says that something is left upstream.
const missing = `
	named AS (
		SELECT id AS job_id, '' AS stage, '' AS cause, id::text AS id FROM asked
		UNION ALL
		SELECT l.job_id, l.stage, l.message_id, name FROM asked JOIN ledger l ON l.job_id = asked.id, unnest(l.names) AS name
	), missing AS MATERIALIZED (
		SELECT * FROM named n WHERE NOT EXISTS (
			SELECT 1 FROM ledger d WHERE d.job_id = n.job_id AND d.message_id = n.id AND d.state IN ('done', 'dead'))
	)`

// outstanding returns the groups of all jobs. What fetch has cut is for delta:
// of all else the ledger has the bodies.
func (k *check) outstanding(ctx context.Context) ([]group, error) {
	rows, err := k.db.Query(ctx, `
		WITH asked AS MATERIALIZED (
			SELECT id, source, state FROM jobs
			WHERE ($1 = '' OR source = $1) AND state <> 'cancelled' AND (state IN ('queued', 'running') OR finished_at >= $2)
		), `+missing+`
		SELECT m.job_id::text, a.source, a.state, m.stage,
			CASE WHEN m.stage = '' THEN $3 ELSE coalesce((
				SELECT o ->> 'queue' FROM ledger l, jsonb_array_elements(l.outputs) AS o
				WHERE l.stage = m.stage AND l.message_id = m.cause AND o ->> 'id' = m.id LIMIT 1), $4) END,
			count(*), min(m.id), max(m.id)
		FROM missing m JOIN asked a ON a.id = m.job_id
		GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 4, 5`, k.what.Source, k.what.Since, rabbit.Fetch, rabbit.Delta)
	if err != nil {
		return nil, fmt.Errorf("messages that are not done: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g group, err error) {
		err = row.Scan(&g.job, &g.source, &g.state, &g.stage, &g.queue, &g.n, &g.first, &g.last)
		return g, err
	})
}

// messages compares the ledger with the queues. A message is lost if it stays
// undone over two looks, at both of which nothing was ready in the queue that it
// is for, the one that it comes from and those in which messages wait, and no
// worker held anything of them in between. A job that has ended waits for none.
func (k *check) messages(ctx context.Context) error {
	first, err := k.outstanding(ctx)
	if err != nil {
		return err
	}
	if first, err = k.unheld(ctx, first, k.ready); err != nil || len(first) == 0 {
		return k.unknown(err)
	}
	if err := sleep(ctx, k.lag); err != nil {
		return err
	}
	second, err := k.outstanding(ctx)
	if err != nil {
		return err
	}
	if second, err = k.unheld(ctx, second, k.readyOrHeld); err != nil {
		return k.unknown(err)
	}
	lost := slices.DeleteFunc(second, func(g group) bool { return !slices.Contains(first, g) })
	for _, g := range lost {
		k.found(g.difference())
	}
	for len(lost) > 0 && k.what.Repair {
		n := leading(lost, func(g group) string { return g.job })
		r := Repair{Job: lost[0].job, Source: lost[0].source}
		if r.Messages, _, err = k.publishAgain(ctx, r.Job, k.what.because(lostReason)); err != nil {
			return fmt.Errorf("publish messages of job %s again: %w", r.Job, err)
		}
		k.Repairs = append(k.Repairs, r)
		lost = lost[n:]
	}
	return nil
}

func (g group) difference() Difference {
	what := fmt.Sprintf("%d messages from %s to %s", g.n, g.stage, g.queue)
	if g.stage == "" {
		what = "its own message"
	}
	fate := "it can never end"
	if !g.open() {
		fate = "it has ended as " + g.state + " without them"
	}
	return whole(g.source+" job "+g.job, what+", which the ledger waits for, are in no queue, and no worker holds them: "+fate+
		"; `leat resume "+g.job+"` or --repair publishes them again")
}

// unknown notes that the broker did not say what it holds.
func (k *check) unknown(err error) error {
	if err != nil {
		k.Unchecked = append(k.Unchecked, "whether messages are lost, though jobs wait for some: "+err.Error())
	}
	return nil
}

// unheld returns the groups that no queue can hold, as look sees the queues.
func (k *check) unheld(ctx context.Context, groups []group, look func(context.Context) ([]Queue, error)) ([]group, error) {
	if !slices.ContainsFunc(groups, group.open) {
		return groups, nil
	}
	queues, err := look(ctx)
	if err != nil {
		return nil, err
	}
	waiting, held := false, map[string]bool{}
	for _, q := range queues {
		if q.Ready+q.Unacked > 0 {
			held[q.Name] = true
			waiting = waiting || strings.HasPrefix(q.Name, waitPrefix)
		}
	}
	return slices.DeleteFunc(groups, func(g group) bool { return g.open() && (waiting || held[g.queue] || held[g.from()]) }), nil
}

// ready asks over AMQP, which knows at once what is ready.
func (k *check) ready(ctx context.Context) ([]Queue, error) { return k.declared(ctx, nil) }

// readyOrHeld asks the management API too, which alone knows what workers hold.
func (k *check) readyOrHeld(ctx context.Context) ([]Queue, error) {
	managed, err := k.managed(ctx)
	if err != nil {
		return nil, err
	}
	ready, err := k.ready(ctx)
	return slices.Concat(managed, ready), err
}

// counted is how long it takes at most until the management API has counted anew
// what workers hold: its statistics are up to five seconds old.
const counted = 10 * time.Second
