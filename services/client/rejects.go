package client

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Rejects are the records of a job that were refused, by reason.
type Rejects struct {
	Count   int64    `json:"count"`
	Reasons []Reason `json:"reasons"` // the most frequent first
}

// A Reason is the shape of a reason: what stands in quotes and digits in it is
// left out, so that the same mistake in a thousand records is one.
type Reason struct {
	Shape   string `json:"reason"`
	Count   int64  `json:"count"`
	Example string `json:"example"`  // one of the reasons, whole
	At      string `json:"position"` // where that one was
}

// A Reject is one refused record.
type Reject struct {
	Position string    `json:"position"` // in the answer
	Answer   int       `json:"answer"`   // n of it within the job
	Reason   string    `json:"reason"`
	Record   string    `json:"record"` // as the source wrote it, cut to a length
	At       time.Time `json:"at"`
}

// fewReasons is how many reasons are shown with a job.
const fewReasons = 5

// Rejects lists a job's refused records in their order.
func (c *Client) Rejects(ctx context.Context, id string, limit int) ([]Reject, error) {
	job, err := c.FindJob(ctx, id)
	if err != nil {
		return nil, err
	}
	rows, err := c.db.Query(ctx, `
		SELECT position, n, reason, record, at FROM rejects
		WHERE job_id = $1
		ORDER BY n, at, length(position), position
		LIMIT $2`, job.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("rejects of job %s: %w", job.ID, err)
	}
	rejects, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Reject])
	if rejects == nil {
		rejects = []Reject{}
	}
	return rejects, err
}

// Reasons groups a job's refused records by the shape of their reasons.
func (c *Client) Reasons(ctx context.Context, id string, limit int) (Rejects, error) {
	job, err := c.FindJob(ctx, id)
	if err != nil {
		return Rejects{}, err
	}
	return c.rejectsOf(ctx, job.ID, limit)
}

func (c *Client) rejectsOf(ctx context.Context, id string, limit int) (r Rejects, err error) {
	r.Reasons = []Reason{}
	rows, err := c.db.Query(ctx, `
		SELECT shape, count(*), min(ARRAY[reason, position]) FROM (
			SELECT reason, position, regexp_replace(regexp_replace(reason, '"([^"\\]|\\.)*"', '"…"', 'g'), '[0-9]+(?![^(]*\))', 'N', 'g') AS shape
			FROM rejects WHERE job_id = $1) AS r
		GROUP BY shape
		ORDER BY 2 DESC, 3`, id)
	if err != nil {
		return r, fmt.Errorf("rejects of job %s: %w", id, err)
	}
	var shape string
	var n int64
	var example []string
	_, err = pgx.ForEachRow(rows, []any{&shape, &n, &example}, func() error {
		r.Count += n
		if len(r.Reasons) < limit {
			r.Reasons = append(r.Reasons, Reason{Shape: shape, Count: n, Example: example[0], At: example[1]})
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("rejects of job %s: %w", id, err)
	}
	return r, nil
}
