package client

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/fetch"
)

// Pause has fetch begin no further slice of a job, nor of those that it made,
// until it is resumed. What was asked for already flows on.
func (c *Client) Pause(ctx context.Context, id, why string) (JobRow, error) {
	return c.halt(ctx, id, audit.Pause, fetch.Paused, why)
}

// Cancel has fetch end the slices of a job, and of those that it made, that it has
// not begun. What was asked for already flows on, and then the job is cancelled.
func (c *Client) Cancel(ctx context.Context, id, why string) (JobRow, error) {
	return c.halt(ctx, id, audit.Cancel, fetch.Cancelled, why)
}

// unpause lets a paused job go on.
func (c *Client) unpause(ctx context.Context, id, why string) (JobRow, error) {
	return c.halt(ctx, id, audit.Resume, "", why)
}

// halt keeps what a person says of a job. Who ends the jobs waits meanwhile.
func (c *Client) halt(ctx context.Context, id, action, halt, why string) (JobRow, error) {
	job, err := c.FindJob(ctx, id)
	if err != nil {
		return job, err
	}
	err = pgx.BeginFunc(ctx, c.db, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT state, coalesce(halt, '') FROM jobs WHERE id = $1 FOR UPDATE`, job.ID).Scan(&job.State, &job.Halt); err != nil {
			return err
		}
		if err := job.mayBe(action); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			WITH RECURSIVE meant AS (
				SELECT $1::uuid AS id
				UNION
				SELECT c.id FROM meant JOIN jobs c ON c.parent_id = meant.id
			)
			UPDATE jobs j SET halt = nullif($2, '') FROM meant
			WHERE j.id = meant.id AND j.state IN ('queued', 'running') AND j.halt IS DISTINCT FROM $3`, job.ID, halt, fetch.Cancelled); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Entry{By: c.by, Action: action, Subject: job.ID, Why: why})
	})
	if err != nil {
		return job, fmt.Errorf("%s job %s: %w", action, job.ID, err)
	}
	job.Halt = halt
	return job, nil
}

// mayBe returns why a job cannot be paused, resumed or cancelled.
func (j JobRow) mayBe(action string) error {
	switch {
	case !j.Open():
		return fmt.Errorf("it has ended: it is %s", j.State)
	case j.Mode == modeRepair, j.Mode == modeReannotate:
		return fmt.Errorf("it asks nothing of a source, and ends by itself: its mode is %s", j.Mode)
	case j.Halt == fetch.Cancelled:
		return fmt.Errorf("it was cancelled already, and ends when what was asked for is written")
	case action == audit.Pause && j.Halt == fetch.Paused:
		return fmt.Errorf("it is paused already")
	case action == audit.Resume && j.Halt != fetch.Paused:
		return fmt.Errorf("it is not paused")
	}
	return nil
}
