package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/services/rollup"
)

// A Job is a job with what it came to.
type Job struct {
	JobRow
	Counts      Counts           `json:"counts"`
	Progress    Progress         `json:"progress"`
	Phases      map[string]Phase `json:"phases"`
	Rejects     Rejects          `json:"rejects"`
	DeadLetters []DeadLetter     `json:"dead_letters"`
	Waiting     []Waiting        `json:"waiting"`
}

// Counts are what a job did, by thing and by what became of it: stats, new.
// Those of countKeys are always there.
type Counts map[string]map[string]int64

var countKeys = map[string][]string{
	"objects":   {"new", "changed", "unchanged"},
	"stats":     {"new", "changed", "unchanged", "rejected"},
	"tags":      {"changed", "unchanged"},
	"documents": {"written"},
}

// countsOf reads counts as the database keeps them.
func countsOf(raw []byte) (Counts, error) {
	counts := Counts{}
	if err := json.Unmarshal(raw, &counts); err != nil {
		return nil, fmt.Errorf("counts: %w", err)
	}
	for thing, names := range countKeys {
		if counts[thing] == nil {
			counts[thing] = map[string]int64{}
		}
		for _, name := range names {
			counts[thing][name] += 0 // makes the key
		}
	}
	return counts, nil
}

// Progress says how far each stage is.
type Progress struct {
	Slices    Slices    `json:"slices"`
	Answers   Answers   `json:"answers"`
	Parts     Parts     `json:"parts"`
	Annotated int64     `json:"annotated"` // messages that annotate has done
	Marked    int64     `json:"marked"`    // messages that rollup has marked documents for
	Documents Documents `json:"documents"`
	Messages  Messages  `json:"messages"`
}

// Answers are what the source has said.
type Answers struct {
	Fetched int64 `json:"fetched"`
	Bytes   int64 `json:"bytes"`
}

// Parts are what the answers were cut into.
type Parts struct {
	Fetched int64 `json:"fetched"` // those of answers that are wholly cut, and all that are done
	Done    int64 `json:"done"`    // by delta
}

// Documents are those of MongoDB.
type Documents struct {
	Written int64 `json:"written"`
	Waiting int64 `json:"waiting"` // objects that are marked
}

// Messages are those of all stages. A job has nothing left upstream when all
// that are known are done or dead.
type Messages struct {
	Known int64 `json:"known"`
	Done  int64 `json:"done"`
	Dead  int64 `json:"dead"`
}

// A Phase is when a stage did the first and the last of a job's messages. The
// phase "write" is rollup's writing.
type Phase struct {
	First    *time.Time `json:"first"`
	Last     *time.Time `json:"last"`
	Messages int64      `json:"messages"`
}

const phaseWrite = "write"

// Stages are the phases of a job in their order.
var Stages = []string{"fetch", "delta", "annotate", rollup.Name, phaseWrite}

// A DeadLetter is a message of a job that a stage gave up.
type DeadLetter struct {
	Stage     string    `json:"stage"`
	MessageID string    `json:"message_id"`
	Class     string    `json:"error_class"` // permanent, failed or crashed
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error"`
	DiedAt    time.Time `json:"died_at"`
}

// A Waiting is a message of a job that failed, or is held up, and will be tried again.
type Waiting struct {
	Stage     string    `json:"stage"`
	MessageID string    `json:"message_id"`
	Class     string    `json:"error_class"` // unavailable, rate-limited, failed or crashed; yields, paused or pending
	Attempts  int       `json:"attempts"`    // that it has used up; of crashed: its starts
	Error     string    `json:"error"`
	Since     time.Time `json:"since"`
}

// manyDead is how many dead letters of a job are shown.
const manyDead = 100

// Job returns a job, found as FindJob does, with all that is known of it.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	row, err := c.FindJob(ctx, id)
	if err != nil {
		return Job{}, err
	}
	return c.fill(ctx, row)
}

func (c *Client) fill(ctx context.Context, row JobRow) (j Job, err error) {
	j.JobRow = row
	var raw []byte
	if err := c.db.QueryRow(ctx, `
		SELECT CASE WHEN state IN ('queued', 'running') OR counts = '{}' THEN job_counts(id) ELSE counts END
		FROM jobs WHERE id = $1`, j.ID).Scan(&raw); err != nil {
		return j, fmt.Errorf("counts of job %s: %w", j.ID, err)
	}
	if j.Counts, err = countsOf(raw); err != nil {
		return j, err
	}
	if j.Progress, j.Phases, err = c.progress(ctx, j.ID); err != nil {
		return j, fmt.Errorf("progress of job %s: %w", j.ID, err)
	}
	if j.Rejects, err = c.rejectsOf(ctx, j.ID, fewReasons); err != nil {
		return j, err
	}
	if j.DeadLetters, err = c.deadLetters(ctx, j.ID, manyDead); err != nil {
		return j, err
	}
	j.Waiting, err = c.waiting(ctx, j.ID, manyDead)
	return j, err
}

// progress reads how far a job is, and when its stages worked.
func (c *Client) progress(ctx context.Context, id string) (p Progress, phases map[string]Phase, err error) {
	phases = map[string]Phase{}
	for _, name := range Stages {
		phases[name] = Phase{}
	}
	rows, err := c.db.Query(ctx, `
		SELECT CASE WHEN message_id LIKE 'write/%' THEN $2 ELSE stage END, min(done_at), max(done_at), count(*)
		FROM ledger WHERE job_id = $1 AND state = 'done'
		GROUP BY 1`, id, phaseWrite)
	if err != nil {
		return p, nil, err
	}
	var name string
	var phase Phase
	if _, err := pgx.ForEachRow(rows, []any{&name, &phase.First, &phase.Last, &phase.Messages}, func() error {
		phases[name] = phase
		return nil
	}); err != nil {
		return p, nil, err
	}
	p.Parts.Done, p.Annotated, p.Marked = phases["delta"].Messages, phases["annotate"].Messages, phases[rollup.Name].Messages
	p.Messages, err = c.messages(ctx, id)
	if err != nil {
		return p, nil, err
	}
	err = c.db.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM answers WHERE job_id = $1), (SELECT coalesce(sum(bytes), 0)::bigint FROM answers WHERE job_id = $1),
			(SELECT count(DISTINCT object_id) FROM dirty WHERE job_id = $1),
			coalesce(sum((counts ->> 'parts.fetched')::bigint), 0)::bigint, coalesce(sum((counts ->> 'documents.written')::bigint), 0)::bigint
		FROM ledger WHERE job_id = $1`, id).
		Scan(&p.Answers.Fetched, &p.Answers.Bytes, &p.Documents.Waiting, &p.Parts.Fetched, &p.Documents.Written)
	if err != nil {
		return p, nil, err
	}
	p.Parts.Fetched = max(p.Parts.Fetched, p.Parts.Done)
	p.Slices, err = c.slices(ctx, id)
	return p, phases, err
}

// messages counts a job's messages: its own, and all that its ledger rows name.
func (c *Client) messages(ctx context.Context, id string) (m Messages, err error) {
	err = c.db.QueryRow(ctx, `
		WITH rows AS (SELECT message_id, state, names FROM ledger WHERE job_id = $1 AND message_id NOT LIKE 'write/%')
		SELECT (SELECT count(*) FROM (SELECT $1::text UNION SELECT unnest(names) FROM rows UNION SELECT message_id FROM rows) AS known),
			count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'dead')
		FROM rows`, id).Scan(&m.Known, &m.Done, &m.Dead)
	return m, err
}

func (c *Client) deadLetters(ctx context.Context, id string, limit int) ([]DeadLetter, error) {
	rows, err := c.db.Query(ctx, `
		SELECT stage, message_id, coalesce(error_class, ''), attempts, coalesce(error, ''), done_at
		FROM ledger WHERE job_id = $1 AND state = 'dead'
		ORDER BY done_at, message_id
		LIMIT $2`, id, limit)
	if err != nil {
		return nil, fmt.Errorf("dead letters of job %s: %w", id, err)
	}
	letters, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DeadLetter])
	if letters == nil {
		letters = []DeadLetter{}
	}
	return letters, err
}

func (c *Client) waiting(ctx context.Context, id string, limit int) ([]Waiting, error) {
	rows, err := c.db.Query(ctx, `
		SELECT stage, message_id, CASE WHEN starts > 1 THEN $3 ELSE coalesce(error_class, '') END,
			CASE WHEN starts > 1 THEN starts ELSE attempts END,
			CASE WHEN starts > 1 THEN 'the worker has not come back from it' ELSE coalesce(error, '') END, done_at
		FROM ledger
		WHERE job_id = $1 AND state = 'started' AND (error IS NOT NULL OR starts > 1)
		ORDER BY done_at, message_id
		LIMIT $2`, id, limit, pipeline.ClassCrashed)
	if err != nil {
		return nil, fmt.Errorf("waiting messages of job %s: %w", id, err)
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Waiting])
	if waiting == nil {
		waiting = []Waiting{}
	}
	return waiting, err
}
