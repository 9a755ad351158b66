package fetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/archive"
)

// An Answer is what a source said once.
type Answer struct {
	N          int // within the job
	URL        string
	Hash       string
	Bytes      int64
	Format     string
	ObservedAt time.Time // when it was true
	AskedAt    time.Time
	Page       int    // of a sequence
	First      string // id of the slice that asked for its first page
	Link       string // to the next page, where the answer's header has it
	Position   string // of a stream, after it

	ETag, Modified string // what the source calls it by; of an answer of this try
	Unchanged      bool   // it is what the last one was, and was not sent again

	file *os.File // its bytes, of an answer of this try
}

// incoming is an answer of this try for the archive.
func (a Answer) incoming() archive.Incoming {
	return archive.Incoming{File: a.file, Hash: a.Hash, Size: a.Bytes}
}

func (a Answer) close() {
	if a.file != nil {
		_ = a.file.Close() // the archive has it
	}
}

// insertJob makes a job's row. Another job under the sender's id is a Permanent error.
func insertJob(ctx context.Context, db *pgxpool.Pool, id, sender string, j Job, body []byte) error {
	var same bool
	err := db.QueryRow(ctx, `
		WITH made AS (
			INSERT INTO jobs (id, sender_id, source, mode, params, via, state)
			VALUES ($1, nullif($2, ''), $3, $4, $5, 'queue', 'queued')
			ON CONFLICT DO NOTHING
			RETURNING true
		)
		SELECT EXISTS (SELECT 1 FROM made) OR (SELECT params = $5 FROM jobs WHERE id = $1)`,
		id, sender, j.Source, j.mode(), string(body)).Scan(&same)
	if err != nil {
		return postgres.Classify(fmt.Errorf("keep job: %w", err))
	}
	if !same {
		return pipeline.Permanent(fmt.Errorf("id: %q was the id of another job of source %s (job %s); a new job needs a new id", sender, j.Source, id))
	}
	return nil
}

// startJob has a job run, and says what is worth knowing of that, if anything.
func startJob(ctx context.Context, tx pgx.Tx, id, note string) error {
	_, err := tx.Exec(ctx, `
		UPDATE jobs SET state = 'running', started_at = coalesce(started_at, now()), finished_at = NULL, error = NULL, note = nullif($2, '')
		WHERE id = $1 AND state IN ('queued', 'failed')`, id, note)
	return err
}

// Ledger is the stage's ledger. The death of a job's own message is the job's end.
type Ledger struct{ postgres.Ledger }

// Dead implements pipeline.Ledger.
func (l Ledger) Dead(ctx context.Context, e pipeline.Envelope, d pipeline.Death) error {
	if e.Kind != event.KindJob {
		return l.Ledger.Dead(ctx, e, d)
	}
	if e.Job = JobOf(e); e.Job == "" {
		return nil
	}
	tag, err := l.DB.Exec(ctx, `
		UPDATE jobs SET state = 'failed', error = $2, finished_at = now()
		WHERE id = $1 AND state IN ('queued', 'failed') AND params = $3`, e.Job, postgres.Plain(d.Reason), string(e.Body))
	if err != nil || tag.RowsAffected() == 0 {
		return postgres.Classify(err) // the id is another job's, which lives on
	}
	e.ID = e.Job
	return l.Ledger.Dead(ctx, e, d)
}

// recall returns what followed from a message, if it is done, and what a person
// has said of its job.
func recall(ctx context.Context, db *pgxpool.Pool, e pipeline.Envelope) (out []pipeline.Envelope, done bool, halt string, err error) {
	job, _ := uuid.Parse(e.Job) // else none, of which nobody has said anything
	err = db.QueryRow(ctx, `
		SELECT coalesce(l.outputs, '[]'), l.outputs IS NOT NULL, coalesce(j.halt, '')
		FROM (SELECT) AS one
		LEFT JOIN ledger l ON l.stage = $1 AND l.message_id = $2 AND l.state = 'done'
		LEFT JOIN jobs j ON j.id = $3`, Name, e.ID, job).Scan(&out, &done, &halt)
	return out, done, halt, postgres.Classify(err)
}

// lastAnswer returns the newest answer of a slice that is not broken, if any.
func lastAnswer(ctx context.Context, db *pgxpool.Pool, job, slice string) (a Answer, err error) {
	err = db.QueryRow(ctx, `
		SELECT n, url, hash, bytes, format, observed_at, asked_at, page, first_id, link FROM answers
		WHERE job_id = $1 AND message_id = $2 AND broken IS NULL
		ORDER BY n DESC LIMIT 1`, job, slice).Scan(&a.N, &a.URL, &a.Hash, &a.Bytes, &a.Format, &a.ObservedAt, &a.AskedAt, &a.Page, &a.First, &a.Link)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, nil
	}
	return a, postgres.Classify(err)
}

// insertAnswer commits an answer under the job's next number, which workers of
// one job take one after the other. The slice made progress: the starts before
// this one do not count against it.
func insertAnswer(ctx context.Context, db *pgxpool.Pool, t task, a *Answer) error {
	return postgres.InTx(ctx, db, func(tx pgx.Tx) error { return putAnswer(ctx, tx, t, a) })
}

func putAnswer(ctx context.Context, tx pgx.Tx, t task, a *Answer) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('leat.answers ' || $1, 0))`, t.Job); err != nil {
		return err
	}
	err := tx.QueryRow(ctx, `
		WITH progress AS (
			UPDATE ledger SET starts = 0 WHERE stage = $8 AND message_id = $2 AND state = 'started'
		)
		INSERT INTO answers (job_id, n, message_id, url, hash, bytes, format, observed_at, asked_at, page, first_id, link, position, account, list, feed)
		SELECT $1, coalesce((SELECT max(n) + 1 FROM answers WHERE job_id = $1), 0), $2, $3, $4, $5, $6, $7, $9, $10, $11, $12, nullif($13, ''), $14, $15, $16
		RETURNING n`, t.Job, t.ID, a.URL, a.Hash, a.Bytes, a.Format, a.ObservedAt, Name, a.AskedAt, a.Page, a.First, a.Link, a.Position,
		t.slice.Account, t.slice.Since != nil, t.slice.Feed).Scan(&a.N)
	if err == nil && t.slice.Since == nil {
		err = indexAnswer(ctx, tx, t, a)
	}
	if err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	return nil
}

func markBroken(ctx context.Context, db *pgxpool.Pool, job string, n int, why string) error {
	_, err := db.Exec(ctx, `UPDATE answers SET broken = $3 WHERE job_id = $1 AND n = $2`, job, n, why)
	return postgres.Classify(err)
}

// insertRejects keeps refused records; those of an answer that is cut again are
// there already.
func insertRejects(ctx context.Context, db *pgxpool.Pool, job string, n int, name string, rejects []source.Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	var positions, reasons, records []string
	for _, r := range rejects {
		positions, reasons, records = append(positions, r.Position), append(reasons, r.Reason), append(records, r.Record)
	}
	_, err := db.Exec(ctx, `
		INSERT INTO rejects (job_id, n, source, position, reason, record)
		SELECT $1, $2, $3, r.* FROM unnest($4::text[], $5::text[], $6::text[]) AS r
		ON CONFLICT DO NOTHING`, job, n, name, positions, reasons, records)
	if err != nil {
		return postgres.Classify(fmt.Errorf("keep rejects: %w", err))
	}
	return nil
}

// keepBroken has PostgreSQL say which source files of a host are broken, and that
// this was so just now.
func keepBroken(ctx context.Context, db *pgxpool.Pool, host string, broken map[string]string) error {
	names := slices.AppendSeq([]string{}, maps.Keys(broken))
	problems := make([]string, len(names))
	for i, name := range names {
		problems[i] = broken[name]
	}
	_, err := db.Exec(ctx, `
		WITH sound AS (
			DELETE FROM source_problems WHERE host = $1 AND source <> ALL($2)
		)
		INSERT INTO source_problems AS p (host, source, problem)
		SELECT $1, b.* FROM unnest($2::text[], $3::text[]) AS b
		ON CONFLICT (source, host) DO UPDATE SET problem = excluded.problem, seen_at = now(),
			since = CASE WHEN p.problem = excluded.problem THEN p.since ELSE now() END`, host, names, problems)
	if err != nil {
		return postgres.Classify(fmt.Errorf("keep what is wrong with source files: %w", err))
	}
	return nil
}

func names(all map[string]*source.Source) string {
	if len(all) == 0 {
		return "none: the folder of sources is empty"
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}
