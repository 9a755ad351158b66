package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
)

// A Result is what one input of a batch came to.
type Result struct {
	Outputs    []pipeline.Envelope // returned again when the input is delivered again
	Names      []string            // ids of outputs that were published already, and are not kept
	Counts     map[string]int      // added up over the job: "stats.new", …
	Source     string
	ObservedAt *time.Time // delta: of the part
	Seen       []int64    // delta: what the part held and did not write

	SeenFrom, SeenTo int64 // the lowest and the highest id of the objects that Seen is of
}

// errRaced says that another worker did one of the inputs meanwhile: done again,
// the batch finds its outputs in the ledger.
var errRaced = errors.New("another worker did one of these messages at the same time")

// Once makes a batch's effects happen once, however often the batch is
// delivered. It calls work with those deliveries that stage has not done before,
// inside the transaction that records them with what followed, and returns the
// outputs of the whole batch: from work for the new, from the ledger for the rest.
//
// The broker redelivers what was not acknowledged, so nothing here needs to look
// for outputs that were committed and never published. A message whose job is
// gone, or that the stage gave up, is a Permanent error.
func Once(
	ctx context.Context, pool *pgxpool.Pool, stage string, in pipeline.Batch,
	work func(tx pgx.Tx, fresh pipeline.Batch) ([]Result, error),
) (out []pipeline.Envelope, err error) {
	err = InTx(ctx, pool, func(tx pgx.Tx) error {
		fresh, done, err := recall(ctx, tx, stage, in)
		if err != nil {
			return err
		}
		out = done
		if len(fresh) == 0 {
			return nil
		}
		results, err := work(tx, fresh)
		if err != nil {
			return err
		}
		for _, r := range results {
			out = append(out, r.Outputs...)
		}
		err = record(ctx, tx, stage, fresh, results)
		pipeline.Point("recorded")
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Report calls count with what results counted. It is for results that are
// committed; a nil count is not called.
func Report(count func(what string, n int), results []Result) {
	for _, r := range results {
		for what, n := range r.Counts {
			if count != nil && n > 0 {
				count(what, n)
			}
		}
	}
}

// recall reads what the ledger knows of a batch: the deliveries that are new,
// each message once, and the outputs of those that are done.
func recall(ctx context.Context, tx pgx.Tx, stage string, in pipeline.Batch) (fresh pipeline.Batch, done []pipeline.Envelope, err error) {
	first := make(map[string]pipeline.Delivery, len(in))
	for _, d := range in {
		if _, ok := first[d.ID]; !ok {
			first[d.ID] = d
			fresh = append(fresh, d)
		}
	}
	ids, jobs, err := keys(fresh)
	if err != nil {
		return nil, nil, err
	}
	rows, err := tx.Query(ctx, `
		SELECT m.id, j.id IS NOT NULL, coalesce(l.state, ''), coalesce(l.replay, 0), l.outputs, coalesce(l.error, '')
		FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS m(id, job, n)
		LEFT JOIN ledger l ON l.stage = $1 AND l.message_id = m.id
		LEFT JOIN jobs j ON j.id = m.job
		ORDER BY m.n`, stage, ids, jobs)
	if err != nil {
		return nil, nil, err
	}
	var (
		id, state, reason string
		hasJob            bool
		replay            int
		outputs           []byte
	)
	isNew := make(map[string]bool, len(ids))
	_, err = pgx.ForEachRow(rows, []any{&id, &hasJob, &state, &replay, &outputs, &reason}, func() error {
		d := first[id]
		switch {
		case !hasJob:
			return pipeline.Permanent(fmt.Errorf("correlation_id: job %q is not known here (its records were pruned, or it never was): submit it again", d.Job))
		case state == "dead" && d.Replay <= replay:
			return pipeline.Permanent(errors.New(reason))
		case state != "done":
			isNew[id] = true
			return nil
		}
		var kept []pipeline.Envelope
		if err := json.Unmarshal(outputs, &kept); err != nil {
			return fmt.Errorf("outputs of %s in the ledger: %w", id, err)
		}
		done = append(done, kept...)
		return nil
	})
	return slices.DeleteFunc(fresh, func(d pipeline.Delivery) bool { return !isNew[d.ID] }), done, err
}

func keys(in pipeline.Batch) (ids []string, jobs []uuid.UUID, err error) {
	for _, d := range in {
		job, err := uuid.Parse(d.Job)
		if err != nil || d.ID == "" {
			return nil, nil, pipeline.Permanent(fmt.Errorf("message_id %q, correlation_id %q: a message between stages has an id and its job's", d.ID, d.Job))
		}
		ids, jobs = append(ids, d.ID), append(jobs, job)
	}
	return ids, jobs, nil
}

// record writes the inputs' rows. A row that another worker wrote meanwhile
// undoes the transaction.
func record(ctx context.Context, tx pgx.Tx, stage string, in pipeline.Batch, results []Result) error {
	type row struct {
		ID         string              `json:"id"`
		Job        string              `json:"job"`
		Source     string              `json:"source"`
		ObservedAt *time.Time          `json:"observed_at"`
		Seen       []int64             `json:"seen"`
		SeenFrom   int64               `json:"seen_from"`
		SeenTo     int64               `json:"seen_to"`
		Counts     map[string]int      `json:"counts"`
		Names      []string            `json:"names"`
		Outputs    []pipeline.Envelope `json:"outputs"`
		Replay     int                 `json:"replay"`
	}
	rows := make([]row, len(in))
	for i, d := range in {
		r := results[i]
		names := slices.Clone(r.Names)
		for _, o := range r.Outputs {
			if o.ID != o.Job { // the message of a job that follows is not waited for
				names = append(names, o.ID)
			}
		}
		if r.Outputs == nil {
			r.Outputs = []pipeline.Envelope{}
		}
		rows[i] = row{d.ID, d.Job, r.Source, r.ObservedAt, r.Seen, r.SeenFrom, r.SeenTo, r.Counts, names, r.Outputs, d.Replay}
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO ledger AS l (stage, message_id, job_id, source, state, observed_at, seen, seen_from, seen_to, counts, names, outputs, replay)
		SELECT $1, r.id, r.job, r.source, 'done', r.observed_at, r.seen, r.seen_from, r.seen_to, coalesce(r.counts, '{}'), coalesce(r.names, '{}'), r.outputs, r.replay
		FROM jsonb_to_recordset($2::jsonb) AS r(id text, job uuid, source text, observed_at timestamptz, seen bigint[],
			seen_from bigint, seen_to bigint, counts jsonb, names text[], outputs jsonb, replay int)
		ORDER BY r.id
		ON CONFLICT (stage, message_id) DO UPDATE SET
			state = 'done', source = excluded.source, observed_at = excluded.observed_at, seen = excluded.seen,
			seen_from = excluded.seen_from, seen_to = excluded.seen_to, counts = excluded.counts,
			names = excluded.names, outputs = excluded.outputs, replay = excluded.replay, error = NULL, done_at = now()
		WHERE l.state = 'started' OR (l.state = 'dead' AND l.replay < excluded.replay)`, stage, rows)
	if err == nil && tag.RowsAffected() != int64(len(in)) {
		return errRaced
	}
	if err != nil {
		return err
	}
	return reopen(ctx, tx, in)
}

// reopen has the jobs of messages that came back from the dead end anew.
func reopen(ctx context.Context, tx pgx.Tx, in pipeline.Batch) error {
	var jobs []string
	for _, d := range in {
		if d.Replay > 0 {
			jobs = append(jobs, d.Job)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		WITH RECURSIVE again AS (
			SELECT id, parent_id FROM jobs WHERE id = ANY($1::uuid[])
			UNION
			SELECT p.id, p.parent_id FROM again JOIN jobs p ON p.id = again.parent_id
		)
		UPDATE jobs j SET state = 'running', finished_at = NULL, error = NULL
		FROM again WHERE j.id = again.id AND j.state IN ('incomplete', 'failed', 'cancelled')`, jobs)
	return err
}

// A Successor is a message that takes the place of one that a stage gave up.
type Successor struct {
	Stage   string            `json:"stage"`
	Dead    string            `json:"dead"` // the id of that one
	Message pipeline.Envelope `json:"message"`
}

// Succeed commits that successors follow: what they take the place of is done,
// with them as what followed from it, and its job waits for them in its stead. To
// say it twice changes nothing.
func Succeed(ctx context.Context, pool *pgxpool.Pool, successors []Successor) error {
	if len(successors) == 0 {
		return nil
	}
	_, err := pool.Exec(ctx, `
		UPDATE ledger l SET state = 'done', error = NULL, done_at = now(),
			names = names || (s.message ->> 'id'), outputs = outputs || jsonb_build_array(s.message)
		FROM jsonb_to_recordset($1::jsonb) AS s(stage text, dead text, message jsonb)
		WHERE l.stage = s.stage AND l.message_id = s.dead AND l.state = 'dead'`, successors)
	return Classify(err)
}

// Ledger is a stage's pipeline.Ledger.
type Ledger struct {
	DB    *pgxpool.Pool
	Stage string
}

// Start implements pipeline.Ledger. What is done kills nobody any more: its
// starts are not counted.
func (l Ledger) Start(ctx context.Context, e pipeline.Envelope) (starts int, err error) {
	job, err := uuid.Parse(e.Job)
	if err != nil {
		return 0, nil //nolint:nilerr // a job that has no row yet: nothing of it is done before it has one
	}
	err = l.DB.QueryRow(ctx, `
		INSERT INTO ledger AS l (stage, message_id, job_id, state, starts)
		SELECT $1, $2, id, 'started', 1 FROM jobs WHERE id = $3
		ON CONFLICT (stage, message_id) DO UPDATE SET starts = l.starts + 1 WHERE l.state <> 'done'
		RETURNING starts`, l.Stage, e.ID, job).Scan(&starts)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return starts, Classify(err)
}

// Returned implements pipeline.Ledger.
func (l Ledger) Returned(ctx context.Context, e pipeline.Envelope) error {
	_, err := l.DB.Exec(ctx, `UPDATE ledger SET starts = 0 WHERE stage = $1 AND message_id = $2`, l.Stage, e.ID)
	return Classify(err)
}

// Waits implements pipeline.Ledger. A message without a job has no row.
func (l Ledger) Waits(ctx context.Context, e pipeline.Envelope, why pipeline.Setback) error {
	job, err := uuid.Parse(e.Job)
	if err != nil {
		return nil //nolint:nilerr // a job that has no row yet
	}
	_, err = l.DB.Exec(ctx, `
		INSERT INTO ledger AS l (stage, message_id, job_id, state, error, error_class, attempts)
		SELECT $1, $2, id, 'started', $4, $5, $6 FROM jobs WHERE id = $3
		ON CONFLICT (stage, message_id) DO UPDATE SET
			starts = 0, error = excluded.error, error_class = excluded.error_class, attempts = excluded.attempts, done_at = now()
		WHERE l.state = 'started'`, l.Stage, Plain(e.ID), job, Plain(why.Reason), why.Class, why.Attempts)
	return Classify(err)
}

// Dead implements pipeline.Ledger. A message without a job has no row. When a
// person brings it back, its starts count from none again.
func (l Ledger) Dead(ctx context.Context, e pipeline.Envelope, d pipeline.Death) error {
	job, err := uuid.Parse(e.Job)
	if err != nil {
		return nil //nolint:nilerr // it never belonged to a job, and the dead letter itself says all
	}
	_, err = l.DB.Exec(ctx, `
		INSERT INTO ledger AS l (stage, message_id, job_id, state, error, error_class, attempts, replay)
		SELECT $1, $2, id, 'dead', $4, $5, $6, $7 FROM jobs WHERE id = $3
		ON CONFLICT (stage, message_id) DO UPDATE SET
			state = 'dead', error = excluded.error, error_class = excluded.error_class, attempts = excluded.attempts,
			replay = greatest(l.replay, excluded.replay), starts = 0, done_at = now()
		WHERE l.state <> 'done'`, l.Stage, e.ID, job, Plain(d.Reason), d.Class, d.Attempts, e.Replay)
	return Classify(err)
}

// Plain is text that PostgreSQL takes.
func Plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "")
}
