package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/services/archive"
	"github.com/leatflow/leat/services/fetch"
)

// An Answer is what a source said to a job.
type Answer struct {
	N          int             `json:"n"`
	URL        string          `json:"url"`
	Account    *string         `json:"account"` // null: it was not kept
	Feed       *string         `json:"feed"`    // likewise; empty: the source has no feeds
	Format     string          `json:"format"`
	Hash       string          `json:"hash"`
	Bytes      int64           `json:"bytes"`
	ObservedAt time.Time       `json:"observed_at"`
	Broken     *string         `json:"broken"` // why it could not be read to the end; null: it was
	Until      *time.Time      `json:"until"`  // how long the archive has it at least; null: for ever, or no more
	Kept       bool            `json:"kept"`   // the archive has it
	Replay     json.RawMessage `json:"replay"` // the job that cuts it again; null where nothing can be cut
}

// Answers lists what a job was told, in order.
func (c *Client) Answers(ctx context.Context, id string, limit int) ([]Answer, error) {
	job, err := c.FindJob(ctx, id)
	if err != nil {
		return nil, err
	}
	rows, err := c.db.Query(ctx, `
		SELECT a.n, a.url, a.account, a.feed, a.format, a.hash, a.bytes, a.observed_at, a.broken,
			CASE WHEN isfinite(x.until) THEN x.until END, x.hash IS NOT NULL,
			CASE WHEN x.hash IS NOT NULL AND NOT a.list AND a.broken IS NULL THEN json_build_object('source', j.source) END
		FROM answers a JOIN jobs j ON j.id = a.job_id LEFT JOIN archive x ON x.hash = a.hash
		WHERE a.job_id = $1
		ORDER BY a.n LIMIT $2`, job.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("answers of job %s: %w", job.ID, err)
	}
	answers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Answer])
	for i, a := range answers {
		if a.Replay != nil && err == nil {
			answers[i].Replay, err = json.Marshal(fetch.Job{Source: job.Source, URL: fetch.Replay(job.ID, a.N)})
		}
	}
	if answers == nil {
		answers = []Answer{}
	}
	return answers, err
}

// WriteAnswer writes an answer of a job as it came.
func (c *Client) WriteAnswer(ctx context.Context, id string, n int, w io.Writer) error {
	job, err := c.FindJob(ctx, id)
	if err != nil {
		return err
	}
	var hash string
	err = c.db.QueryRow(ctx, `SELECT hash FROM answers WHERE job_id = $1 AND n = $2`, job.ID, n).Scan(&hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("job %s has no answer %d; `leat answers %s` lists them", job.ID, n, id)
	} else if err != nil {
		return fmt.Errorf("answer %d of job %s: %w", n, job.ID, err)
	}
	a, err := archive.Open(ctx, c.cfg.Archive)
	if err != nil {
		return err
	}
	defer a.Close() //nolint:errcheck // it was only read
	file, err := a.Get(ctx, hash)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("answer %d of job %s is not in the archive %s: it may be on the host of another, or fetch.keep of its source is over", n, job.ID, c.cfg.Archive)
	} else if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it is only read
	if _, err = file.Seek(0, io.SeekStart); err == nil {
		_, err = io.Copy(w, file)
	}
	return err
}
