package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/fetch"
)

// Resumed is what Resume did.
type Resumed struct {
	Job      string `json:"job"`
	Unpaused bool   `json:"unpaused"` // it was paused, and goes on
	Messages int    `json:"messages"`
	Recut    int    `json:"recut"` // of them, slices whose parts are cut once more
}

// Resume lets a paused job go on. Of another that is open it publishes what it still
// has to have done, for queues that have lost it: purged, deleted, or on a broker
// that is gone.
func (c *Client) Resume(ctx context.Context, id, why string) (r Resumed, err error) {
	row, err := c.FindJob(ctx, id)
	if err != nil {
		return r, err
	}
	r.Job = row.ID
	if !row.Open() {
		return r, fmt.Errorf("job %s is %s: it has nothing left to do", row.ID, row.State)
	}
	if row.Halt == fetch.Paused {
		_, err = c.unpause(ctx, row.ID, why)
		r.Unpaused = err == nil
		return r, err
	}
	r.Messages, r.Recut, err = c.publishAgain(ctx, row.ID, cmp.Or(why, lostReason))
	return r, err
}

// lostReason is why messages are published again, where nobody says more.
const lostReason = "messages were lost"

// resumeWindow is how many messages are published at a time.
const resumeWindow = 64

// publishAgain publishes the messages of a job that are not done: those whose
// bodies the ledger has, the job itself, and instead of parts, which alone are not
// kept, the slices that they were cut from: fetch cuts them again, the same to the
// byte, from the answers in the archive. What was not lost is then there twice,
// and done once. It returns how many were published, and how many of them are slices.
func (c *Client) publishAgain(ctx context.Context, job, why string) (messages, recut int, err error) {
	if recut, err = c.reopen(ctx, job, why); err != nil {
		return 0, 0, fmt.Errorf("open job %s again: %w", job, err)
	}
	broker := rabbit.New(c.cfg.RabbitMQ, func(string, error) {})
	defer broker.Close()
	if err := c.eachMissing(ctx, job, func(window []pipeline.Envelope) error {
		messages += len(window)
		return broker.Publish(ctx, window)
	}); err != nil {
		return messages, recut, fmt.Errorf("messages of job %s: %w", job, err)
	}
	return messages, recut, nil
}

// reopen has a job that has ended run on, and the slices begin again whose parts
// are missing: those that a row names and has no bodies of. The row of a stretch
// has its slice's id before the slash.
func (c *Client) reopen(ctx context.Context, job, why string) (slices int, err error) {
	err = pgx.BeginFunc(ctx, c.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			UPDATE jobs SET state = 'running', finished_at = NULL, error = NULL WHERE id = $1 AND state NOT IN ('queued', 'running')`, job); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			WITH asked AS (SELECT id FROM jobs WHERE id = $1), `+missing+`
			UPDATE ledger l SET state = 'started', starts = 0 FROM missing m
			WHERE l.stage = m.stage AND l.message_id IN (m.cause, split_part(m.cause, '/', 1)) AND l.state = 'done' AND l.stage = $2
			AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements(l.outputs) AS o WHERE o ->> 'id' = m.id)`, job, fetch.Name)
		if err != nil {
			return err
		}
		slices = int(tag.RowsAffected())
		return audit.Record(ctx, tx, audit.Entry{By: c.by, Action: audit.Resume, Subject: job, Why: why, Detail: map[string]any{"slices": slices}})
	})
	return slices, err
}

// eachMissing calls publish with the messages of a job that are not done, some at
// a time: what its ledger rows hold, and its own, where fetch has not done it.
func (c *Client) eachMissing(ctx context.Context, job string, publish func([]pipeline.Envelope) error) error {
	rows, err := c.db.Query(ctx, `
		WITH asked AS (SELECT id FROM jobs WHERE id = $1), `+missing+`
		SELECT o FROM missing m JOIN ledger l ON l.stage = m.stage AND l.message_id = m.cause, jsonb_array_elements(l.outputs) AS o
		WHERE o ->> 'id' = m.id
		UNION ALL
		SELECT NULL FROM missing WHERE stage = ''`, job)
	if err != nil {
		return err
	}
	var window []pipeline.Envelope
	var text []byte
	own := false
	if _, err := pgx.ForEachRow(rows, []any{&text}, func() error {
		if own = own || text == nil; text == nil {
			return nil
		}
		var e pipeline.Envelope
		if err := json.Unmarshal(text, &e); err != nil {
			return err
		}
		if window = append(window, e); len(window) < resumeWindow {
			return nil
		}
		err := publish(window)
		window = window[:0]
		return err
	}); err != nil {
		return err
	}
	if own {
		e, err := c.ownMessage(ctx, job)
		if err != nil {
			return err
		}
		window = append(window, e)
	}
	if len(window) == 0 {
		return nil
	}
	return publish(window)
}

// ownMessage is a job's own message, as it was when it was named.
func (c *Client) ownMessage(ctx context.Context, job string) (pipeline.Envelope, error) {
	e := pipeline.Envelope{ID: job, Kind: event.KindJob, Queue: rabbit.Fetch, Job: job, At: time.Now()}
	if err := c.db.QueryRow(ctx, `SELECT params FROM jobs WHERE id = $1`, job).Scan(&e.Body); err != nil {
		return e, err
	}
	asked, err := fetch.ParseJob(e.Body)
	e.Priority = asked.Priority()
	return e, err
}
