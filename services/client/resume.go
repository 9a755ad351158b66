package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/fetch"
)

// Resumed is what Resume published again.
type Resumed struct {
	Job      string `json:"job"`
	Messages int    `json:"messages"`
	Recut    int    `json:"recut"` // of them, slices whose parts are cut once more
}

// resumeWindow is how many messages are published at a time.
const resumeWindow = 64

// Resume publishes what an open job still has to have done, for queues that have
// lost it: purged, deleted, or on a broker that is gone. The ledger has every
// message that followed from one that is done; parts alone are not kept, and are
// cut again, the same to the byte, from the answers in the archive. What was not
// lost is then there twice, and done once.
func (c *Client) Resume(ctx context.Context, id string) (r Resumed, err error) {
	row, err := c.FindJob(ctx, id)
	if err != nil {
		return r, err
	}
	r.Job = row.ID
	if !row.Open() {
		return r, fmt.Errorf("job %s is %s: it has nothing left to do", row.ID, row.State)
	}
	if r.Recut, err = c.recut(ctx, row.ID); err != nil {
		return r, fmt.Errorf("slices of job %s: %w", row.ID, err)
	}
	broker := rabbit.New(c.cfg.RabbitMQ, func(string, error) {})
	defer broker.Close()
	if err := c.eachUndone(ctx, row, func(window []pipeline.Envelope) error {
		r.Messages += len(window)
		return broker.Publish(ctx, window)
	}); err != nil {
		return r, fmt.Errorf("messages of job %s: %w", row.ID, err)
	}
	return r, nil
}

// recut takes back that slices are done of whose parts delta has not done one:
// no other row of the ledger has names without bodies.
func (c *Client) recut(ctx context.Context, job string) (int, error) {
	tag, err := c.db.Exec(ctx, `
		UPDATE ledger l SET state = 'started', starts = 0
		WHERE l.job_id = $1 AND l.stage = $2 AND l.state = 'done' AND l.outputs = '[]' AND EXISTS (
			SELECT unnest(l.names) EXCEPT SELECT message_id FROM ledger WHERE job_id = $1 AND state IN ('done', 'dead'))`, job, fetch.Name)
	return int(tag.RowsAffected()), err
}

// eachUndone calls publish with the messages of a job that are not done, some at
// a time: its own, where fetch has not taken it, or what its ledger rows hold.
func (c *Client) eachUndone(ctx context.Context, row JobRow, publish func([]pipeline.Envelope) error) error {
	rows, err := c.db.Query(ctx, `
		SELECT o.message FROM ledger l, jsonb_array_elements(l.outputs) AS o(message)
		WHERE l.job_id = $1 AND NOT EXISTS (
			SELECT 1 FROM ledger d WHERE d.job_id = $1 AND d.message_id = o.message ->> 'id' AND d.state IN ('done', 'dead'))
		UNION ALL
		SELECT $2::jsonb WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE job_id = $1 AND message_id = $1::uuid::text AND state IN ('done', 'dead'))`,
		row.ID, pipeline.Envelope{ID: row.ID, Job: row.ID, Kind: event.KindJob, Queue: rabbit.Fetch, At: row.CreatedAt, Body: row.Params})
	if err != nil {
		return err
	}
	var window []pipeline.Envelope
	var text []byte
	if _, err := pgx.ForEachRow(rows, []any{&text}, func() error {
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
	}); err != nil || len(window) == 0 {
		return err
	}
	return publish(window)
}
