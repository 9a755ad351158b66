package deadletter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/fetch"
)

// A wire is a message's properties and headers but for its id and body, as the
// column headers keeps them, by the names that AMQP tools show.
type wire struct {
	Type     string            `json:"type"`
	Job      string            `json:"correlation_id,omitempty"`
	At       time.Time         `json:"timestamp"`
	Priority uint8             `json:"priority,omitempty"`
	Cause    string            `json:"cause,omitempty"`
	Key      string            `json:"key,omitempty"`
	Attempt  int               `json:"attempt,omitempty"`
	Waited   int               `json:"wait,omitempty"`
	Replay   int               `json:"replay,omitempty"`
	Others   map[string]string `json:"headers,omitempty"`
}

// A row is a dead letter to be filed. What people and other programs wrote into
// the message is cut to what PostgreSQL takes: to file it never fails for its content.
type row struct {
	Stage       string    `json:"stage"`
	MessageID   string    `json:"message_id"`
	Replay      int       `json:"replay"`
	Job         *string   `json:"job_id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Origin      string    `json:"origin_queue"`
	Headers     wire      `json:"headers"`
	Error       string    `json:"error"`
	Class       string    `json:"error_class"`
	Fingerprint string    `json:"fingerprint"`
	Attempts    int       `json:"attempts"`
	DiedAt      time.Time `json:"died_at"`
	body        []byte
}

const (
	longestName  = 63  // of stages, classes and sources
	longestID    = 255 // AMQP's limit
	manyAttempts = 1 << 20
)

func cut(text string, n int) string { return postgres.Plain(text[:min(len(text), n)]) }

func rowOf(e pipeline.Envelope, now time.Time) row {
	h := e.Headers
	r := row{
		Stage: cut(h[pipeline.HeaderStage], longestName), MessageID: cut(e.ID, longestID), Replay: e.Replay, Type: cut(e.Kind, longestID),
		Error: postgres.Plain(h[pipeline.HeaderError]), Class: cut(h[pipeline.HeaderClass], longestName), DiedAt: now, body: e.Body,
	}
	if slices.Contains(rabbit.Stages, h[pipeline.HeaderOrigin]) {
		r.Origin = h[pipeline.HeaderOrigin]
	}
	if n, err := strconv.Atoi(h[pipeline.HeaderAttempts]); err == nil {
		r.Attempts = min(max(n, 0), manyAttempts)
	}
	if at, err := time.Parse(time.RFC3339Nano, h[pipeline.HeaderDiedAt]); err == nil && sane(at) {
		r.DiedAt = at.UTC()
	}
	if r.MessageID == "" { // a job as a person wrote it; this one is told from its like by when it died
		r.MessageID = pipeline.Hash("dead letter", r.Stage, h[pipeline.HeaderDiedAt], string(e.Body))
	}
	if job, err := uuid.Parse(fetch.JobOf(e)); err == nil {
		text := job.String()
		r.Job = &text
	}
	r.Source, r.Headers = sourceOf(e.Body), wireOf(e)
	r.Fingerprint = fingerprint(r.Stage, r.Class, r.Error)
	return r
}

// sane reports whether JSON and PostgreSQL have a text for t.
func sane(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1970 && year <= 9999
}

// sourceOf reads what every payload says; a body that cannot be read says nothing.
func sourceOf(body []byte) string {
	var b struct {
		Source string `json:"source"`
	}
	if json.Unmarshal(body, &b) != nil {
		return ""
	}
	return cut(b.Source, longestName)
}

func wireOf(e pipeline.Envelope) wire {
	w := wire{
		Type: cut(e.Kind, longestID), Job: cut(e.Job, longestID), Priority: e.Priority, Cause: postgres.Plain(e.Cause), Key: postgres.Plain(e.Key),
		Attempt: e.Attempt, Waited: e.Waited, Replay: e.Replay, Others: make(map[string]string, len(e.Headers)),
	}
	if sane(e.At) {
		w.At = e.At.UTC()
	}
	for name, text := range e.Headers {
		w.Others[postgres.Plain(name)] = postgres.Plain(text)
	}
	return w
}

// File writes dead letters that are not filed yet, and returns how many those
// were: a letter that comes again is the same by its stage, id and replay.
func File(ctx context.Context, db *pgxpool.Pool, letters []pipeline.Envelope) (filed int, err error) {
	rows, bodies := make([]row, len(letters)), make([][]byte, len(letters))
	for i, e := range letters {
		rows[i] = rowOf(e, time.Now())
		if bodies[i] = rows[i].body; bodies[i] == nil {
			bodies[i] = []byte{}
		}
	}
	err = postgres.InTx(ctx, db, func(tx pgx.Tx) error {
		ids, err := insert(ctx, tx, rows, bodies)
		if err != nil {
			return fmt.Errorf("file %d dead letters: %w", len(rows), err)
		}
		filed = len(ids)
		return link(ctx, tx, ids)
	})
	return filed, err
}

func insert(ctx context.Context, tx pgx.Tx, rows []row, bodies [][]byte) ([]int64, error) {
	found, err := tx.Query(ctx, `
		INSERT INTO dead_letters (stage, message_id, replay, job_id, source, type, origin_queue, headers, error, error_class,
			fingerprint, attempts, died_at, body)
		SELECT l.stage, l.message_id, l.replay, l.job_id, coalesce(nullif(l.source, ''), j.source, ''), l.type, l.origin_queue, l.headers,
			l.error, l.error_class, l.fingerprint, l.attempts, l.died_at, l.body
		FROM ROWS FROM (
			jsonb_to_recordset($1::jsonb) AS (stage text, message_id text, replay int, job_id uuid, source text, type text, origin_queue text,
				headers jsonb, error text, error_class text, fingerprint text, attempts int, died_at timestamptz),
			unnest($2::bytea[])
		) AS l(stage, message_id, replay, job_id, source, type, origin_queue, headers, error, error_class, fingerprint, attempts, died_at, body)
		LEFT JOIN jobs j ON j.id = l.job_id
		ORDER BY l.died_at, l.stage, l.message_id, l.replay
		ON CONFLICT DO NOTHING
		RETURNING id`, rows, bodies)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowTo[int64])
}

// link names the first death of messages that died before: they were brought back.
func link(ctx context.Context, tx pgx.Tx, ids []int64) error {
	_, err := tx.Exec(ctx, `
		UPDATE dead_letters d SET first_id = f.id FROM (
			SELECT before.id AS again, min(before.first) AS id FROM (
				SELECT n.id, coalesce(p.first_id, p.id) AS first
				FROM dead_letters n JOIN dead_letters p ON p.stage = n.stage AND p.message_id = n.message_id AND p.replay < n.replay
				WHERE n.id = ANY($1) AND n.replay > 0
				UNION ALL
				SELECT n.id, coalesce(p.first_id, p.id)
				FROM dead_letters n JOIN dead_letters p ON p.edited_id = n.message_id AND p.stage = n.stage
				WHERE n.id = ANY($1) AND n.replay > 0
			) AS before GROUP BY 1) AS f
		WHERE d.id = f.again`, ids)
	if err != nil {
		return fmt.Errorf("link dead letters: %w", err)
	}
	return nil
}
