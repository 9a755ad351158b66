package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A JobRow is a row of jobs.
type JobRow struct {
	ID         string          `json:"id"`
	ParentID   string          `json:"parent_id,omitempty"`
	SenderID   string          `json:"sender_id,omitempty"`
	Source     string          `json:"source"`
	Mode       string          `json:"mode"`
	State      string          `json:"state"`
	Params     json.RawMessage `json:"params"`
	Via        string          `json:"via"`
	CreatedAt  time.Time       `json:"created_at"`
	StartedAt  *time.Time      `json:"started_at"`
	FinishedAt *time.Time      `json:"finished_at"`
	Error      string          `json:"error"`
	Note       string          `json:"note,omitempty"` // what is worth knowing of how it ran
	Halt       string          `json:"halt,omitempty"` // paused or cancelled: what a person has said of it
}

// States are the states of a job.
var States = []string{"queued", "running", "done", "incomplete", "failed", "cancelled"}

// Open reports whether the job has not ended.
func (j JobRow) Open() bool { return j.State == "queued" || j.State == "running" }

// Standing is the job's state, with what a person has said of it while it is open.
func (j JobRow) Standing() string {
	if j.Open() && j.Halt != "" {
		return j.State + ", " + j.Halt
	}
	return j.State
}

const jobColumns = `id::text, coalesce(parent_id::text, ''), coalesce(sender_id, ''), source, mode, state, params, via,
	created_at, started_at, finished_at, coalesce(error, ''), coalesce(note, ''), coalesce(halt, '')`

// A JobFilter says which jobs to list; what is empty does not filter.
type JobFilter struct {
	Source string
	State  string
	Limit  int
}

// Jobs lists jobs, the newest first.
func (c *Client) Jobs(ctx context.Context, f JobFilter) ([]JobRow, error) {
	if err := c.migrated(ctx); err != nil {
		return nil, err
	}
	rows, err := c.db.Query(ctx, `
		SELECT `+jobColumns+` FROM jobs
		WHERE ($1 = '' OR source = $1) AND ($2 = '' OR state = $2)
		ORDER BY created_at DESC, id
		LIMIT $3`, f.Source, f.State, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[JobRow])
}

// FindJob returns the job with an id: all of it or its beginning, or what its
// sender called it.
func (c *Client) FindJob(ctx context.Context, id string) (JobRow, error) {
	if err := c.migrated(ctx); err != nil {
		return JobRow{}, err
	}
	rows, err := c.db.Query(ctx, `
		SELECT `+jobColumns+` FROM jobs
		WHERE id::text = lower($1) OR sender_id = $1 OR (length($1) >= 4 AND starts_with(id::text, lower($1)))
		ORDER BY id::text <> lower($1), sender_id IS DISTINCT FROM $1, created_at DESC
		LIMIT 5`, id)
	if err != nil {
		return JobRow{}, fmt.Errorf("find job: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[JobRow])
	if err != nil {
		return JobRow{}, fmt.Errorf("find job: %w", err)
	}
	return pick(id, found)
}

// pick returns the job that is meant: the exact id, else the only one with that
// sender's id, else the only one whose id begins so.
func pick(id string, found []JobRow) (JobRow, error) {
	if len(found) == 0 {
		return JobRow{}, fmt.Errorf("no job has the id %q, begins with it or was called so by its sender: `leat jobs` lists the newest", id)
	}
	if len(found) == 1 || found[0].ID == strings.ToLower(id) || (found[0].SenderID == id && found[1].SenderID != id) {
		return found[0], nil
	}
	ids := make([]string, len(found))
	for i, j := range found {
		ids[i] = j.ID + " of " + j.Source
	}
	return JobRow{}, fmt.Errorf("%q is not one job: %s", id, strings.Join(ids, ", "))
}

// row returns a job by its whole id; false when there is none yet.
func (c *Client) row(ctx context.Context, id string) (JobRow, bool, error) {
	rows, err := c.db.Query(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id)
	if err != nil {
		return JobRow{}, false, fmt.Errorf("read job: %w", err)
	}
	j, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[JobRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return j, false, nil
	}
	return j, err == nil, err
}
