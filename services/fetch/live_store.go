package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/access"
)

// A hold is a worker's right to read what a slice is for. Each of its commits
// asks whether it still has it: a worker that was thought dead commits nothing.
type hold struct {
	source, account string
	token           uuid.UUID

	left     time.Duration // of the lease
	due      time.Duration // until the next poll
	known    known         // of the last poll
	position string        // from where the stream goes on
	halt     string        // what a person has said of the job
}

// errHeld says that another job has the stream, and runs.
var errHeld = errors.New("another job reads it")

const (
	holdTime = 10 * time.Second // of a worker that says nothing any more
	renewal  = 3 * time.Second
)

// reader is the account that a stream or poll is of, with its feed: each of a
// source's feeds is read by itself.
func (t task) reader() string { return StreamOf(t.slice.Feed, t.slice.Account) }

// hold takes what a slice is for into this worker's hands: errHeld while another
// job has it, parked while another worker has this slice.
func (s *Stage) hold(ctx context.Context, t task) (*hold, error) {
	h := &hold{source: t.src.Name, account: t.reader(), token: uuid.New()}
	var left, due float64
	err := s.DB.QueryRow(ctx, `
		INSERT INTO streams AS s (source, account, job_id, message_id, holder, until, began)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 second', clock_timestamp())
		ON CONFLICT (source, account) DO UPDATE SET
			job_id = excluded.job_id, message_id = excluded.message_id, holder = excluded.holder, until = excluded.until,
			began = CASE WHEN s.message_id = excluded.message_id THEN s.began ELSE excluded.began END
		WHERE s.until < clock_timestamp() AND (s.job_id = excluded.job_id
			OR NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = s.job_id AND j.state IN ('queued', 'running')))
		RETURNING $7 - extract(epoch FROM clock_timestamp() - began)::float8, extract(epoch FROM due - clock_timestamp())::float8,
			CASE WHEN version = $8 THEN etag ELSE '' END, CASE WHEN version = $8 THEN modified ELSE '' END, CASE WHEN version = $8 THEN hash ELSE '' END,
			coalesce((SELECT halt FROM jobs j WHERE j.id = $3), '')`,
		h.source, h.account, t.Job, t.ID, h.token, holdTime.Seconds(), t.lease().Seconds(), t.src.Hash).
		Scan(&left, &due, &h.known.ETag, &h.known.Modified, &h.known.Hash, &h.halt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, whoHolds(ctx, s.DB, t)
	}
	if err == nil {
		h.left, h.due = seconds(left), seconds(due)
		h.position, err = position(ctx, s.DB, t)
	}
	return h, postgres.Classify(err)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// whoHolds says what is in the way.
func whoHolds(ctx context.Context, db *pgxpool.Pool, t task) error {
	var mine bool
	var left float64
	err := db.QueryRow(ctx, `
		SELECT job_id = $3, extract(epoch FROM until - clock_timestamp())::float8 FROM streams WHERE source = $1 AND account = $2`,
		t.src.Name, t.reader(), t.Job).Scan(&mine, &left)
	switch {
	case err != nil:
		return postgres.Classify(err)
	case mine:
		return parked{wait: pipeline.WaitWithin(seconds(left))}
	}
	return errHeld
}

// position is from where a stream goes on: after the last stretch of the slice, or
// where the job before came to.
func position(ctx context.Context, db *pgxpool.Pool, t task) (at string, err error) {
	err = db.QueryRow(ctx, `
		SELECT coalesce(
			(SELECT position FROM answers WHERE job_id = $3 AND message_id = $4 AND broken IS NULL AND position <> '' ORDER BY n DESC LIMIT 1),
			(SELECT value FROM cursors WHERE source = $1 AND account = $2 AND stream = $5), '')`,
		t.src.Name, t.slice.Account, t.Job, t.ID, StreamOf(t.slice.Feed, StreamPosition)).Scan(&at)
	return at, err
}

// A querier is the database, or a transaction in it.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// renew says that the worker lives, and returns PostgreSQL's clock. Who has lost
// the hold gives the slice back, and looks again.
func (h *hold) renew(ctx context.Context, db querier) (now time.Time, err error) {
	err = db.QueryRow(ctx, `
		UPDATE streams s SET until = clock_timestamp() + $4 * interval '1 second'
		WHERE source = $1 AND account = $2 AND holder = $3
		RETURNING clock_timestamp(), coalesce((SELECT halt FROM jobs j WHERE j.id = s.job_id), '')`,
		h.source, h.account, h.token, holdTime.Seconds()).Scan(&now, &h.halt)
	if errors.Is(err, pgx.ErrNoRows) {
		return now, parked{wait: time.Second}
	}
	return now, postgres.Classify(err)
}

// letGo leaves the slice to whoever takes it next.
func (s *Stage) letGo(ctx context.Context, h *hold) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), access.Pace)
	defer cancel()
	_, err := s.DB.Exec(ctx, `
		UPDATE streams SET holder = NULL, until = clock_timestamp() WHERE source = $1 AND account = $2 AND holder = $3`,
		h.source, h.account, h.token)
	if err != nil {
		s.Log.Warn("a stream counts as read for a while", zap.String("source", h.source), zap.String("account", h.account), zap.Error(err))
	}
}

// giveTo makes the next job, and makes the stream its own. What a person has said
// of this one meanwhile comes first.
func (h *hold) giveTo(ctx context.Context, tx pgx.Tx, next pipeline.Envelope) error {
	if _, err := h.renew(ctx, tx); err != nil {
		return err
	}
	if h.halt != "" {
		return parked{wait: time.Second}
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO jobs (id, source, mode, params, via, state) VALUES ($1, $2, $3, $4, 'stream', 'queued')
		ON CONFLICT DO NOTHING`, next.Job, h.source, ModeRefresh, string(next.Body)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		UPDATE streams SET job_id = $3, message_id = '', holder = NULL, until = clock_timestamp() WHERE source = $1 AND account = $2`,
		h.source, h.account, next.Job)
	return err
}

// setPosition moves the cursor past what the broker has, unless a person set it
// after the job began.
func setPosition(ctx context.Context, tx pgx.Tx, t task, at string) error {
	if at == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO cursors AS c (source, account, stream, value, job_id) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (source, account, stream) DO UPDATE SET value = excluded.value, next = NULL, job_id = excluded.job_id, at = now()
		WHERE c.set_at IS NULL OR c.set_at < (SELECT coalesce(started_at, created_at) FROM jobs WHERE id = $5)`,
		t.src.Name, t.slice.Account, StreamOf(t.slice.Feed, StreamPosition), at, t.Job)
	return err
}

// keepPosition writes where a job came to into the cursor's history; of one that
// expired, that it is no more.
func keepPosition(ctx context.Context, tx pgx.Tx, t task, expired bool) error {
	_, err := tx.Exec(ctx, `
		WITH last AS (
			UPDATE cursors SET value = CASE WHEN $5 THEN NULL ELSE value END, job_id = $4
			WHERE source = $1 AND account = $2 AND stream = $3 AND (job_id = $4 OR $5)
			RETURNING value
		)
		INSERT INTO cursor_history (source, account, stream, value, job_id) SELECT $1, $2, $3, value, $4 FROM last`,
		t.src.Name, t.slice.Account, StreamOf(t.slice.Feed, StreamPosition), t.Job, expired)
	return err
}

// stretchID is the name under which the ledger knows a stretch of a slice.
func stretchID(slice string, n int) string { return slice + "/" + strconv.Itoa(n) }

// unfinished returns the answers of a slice that were not cut and published whole.
func unfinished(ctx context.Context, db *pgxpool.Pool, t task) ([]Answer, error) {
	rows, err := db.Query(ctx, `
		SELECT n, url, hash, bytes, format, observed_at, asked_at, coalesce(position, '') FROM answers a
		WHERE job_id = $1 AND message_id = $2 AND broken IS NULL
		AND NOT EXISTS (SELECT 1 FROM ledger l WHERE l.stage = $3 AND l.message_id = a.message_id || '/' || a.n AND l.state = 'done')
		ORDER BY n`, t.Job, t.ID, Name)
	if err != nil {
		return nil, postgres.Classify(err)
	}
	left, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Answer, err error) {
		err = row.Scan(&a.N, &a.URL, &a.Hash, &a.Bytes, &a.Format, &a.ObservedAt, &a.AskedAt, &a.Position)
		return a, err
	})
	return left, postgres.Classify(err)
}

// keepStretch commits what came, if the worker still has the stream.
func (s *Stage) keepStretch(ctx context.Context, t task, h *hold, a *Answer) error {
	if err := s.put(ctx, t.src, a); err != nil {
		return err
	}
	return postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		if _, err := h.renew(ctx, tx); err != nil {
			return err
		}
		return putAnswer(ctx, tx, t, a)
	})
}

// untaken is what followed from a slice without the job that has what it read: a
// message that is there twice would go on twice, for ever. Who has done the job had
// its message.
func (s *Stage) untaken(ctx context.Context, slice event.Slice, out []pipeline.Envelope, reason error) ([]pipeline.Envelope, error) {
	if slice.Live == "" || len(out) == 0 || reason != nil {
		return out, reason
	}
	_, taken, _, err := recall(ctx, s.DB, out[0])
	if taken {
		out = nil
	}
	return out, err
}

// gone has a stretch asked for again whose bytes are not here, in a local archive
// of another host: all after it is asked for again too.
func (s *Stage) gone(ctx context.Context, t task, a Answer, reason error) error {
	if !errors.Is(reason, fs.ErrNotExist) {
		return reason
	}
	_, err := s.DB.Exec(ctx, `UPDATE answers SET broken = $4 WHERE job_id = $1 AND message_id = $2 AND n >= $3`,
		t.Job, t.ID, a.N, fmt.Sprintf("answer %d is not in the archive of this host", a.N))
	if err != nil {
		return postgres.Classify(err)
	}
	return parked{wait: time.Second}
}
