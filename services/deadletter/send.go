package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/fetch"
)

// A Sender sends the letters of replays back to their stages. Several may work
// side by side: each step of a replay is one sender's.
type Sender struct {
	DB   *pgxpool.Pool
	Sink pipeline.Sink
}

const (
	atOnce      = 500                    // letters that a step sends at most
	stepsASec   = 5                      // of a replay that has a rate
	lookForWork = time.Second            // where no replay runs
	lookSoon    = 100 * time.Millisecond // where one waits for its rate, or is another sender's
)

// A letter of a replay, with what its message is made of.
type letter struct {
	id       int64
	stage    string
	message  string
	replay   int
	origin   string
	headers  wire
	body     []byte
	edited   []byte
	editedID string
}

// Step sends the next letters of a replay that is due, and returns how many,
// and when to call it again. Each is published and confirmed before it is marked:
// a crash in between sends it again under the same id and replay number, which
// the ledger of its stage knows.
func (s *Sender) Step(ctx context.Context) (sent int, pause time.Duration, err error) {
	pause = lookForWork
	err = postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		var r Replay
		err := tx.QueryRow(ctx, `
			SELECT id, rate, who, why FROM replays WHERE state = 'running' AND next_at <= clock_timestamp()
			ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&r.ID, &r.Rate, &r.Who, &r.Why)
		if errors.Is(err, pgx.ErrNoRows) {
			return s.idle(ctx, tx, &pause)
		}
		if err != nil {
			return fmt.Errorf("take a replay: %w", err)
		}
		pause = 0
		sent, err = s.step(ctx, tx, r)
		return err
	})
	if err != nil {
		return 0, lookForWork, err
	}
	return sent, pause, nil
}

func (s *Sender) idle(ctx context.Context, tx pgx.Tx, pause *time.Duration) error {
	var running bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM replays WHERE state = 'running')`).Scan(&running); err != nil {
		return err
	}
	if running {
		*pause = lookSoon
	}
	return nil
}

func (s *Sender) step(ctx context.Context, tx pgx.Tx, r Replay) (int, error) {
	n := atOnce
	if r.Rate > 0 {
		n = min(n, max(r.Rate/stepsASec, 1))
	}
	letters, err := next(ctx, tx, r.ID, n)
	if err != nil {
		return 0, fmt.Errorf("letters of replay %d: %w", r.ID, err)
	}
	if err := s.send(ctx, r, letters); err != nil {
		if pipeline.IsPermanent(err) { // no later step would do better: a person has to look
			return 0, pauseFor(ctx, tx, r.ID, err)
		}
		return 0, err
	}
	return len(letters), mark(ctx, tx, r, letters, len(letters) < n)
}

func next(ctx context.Context, tx pgx.Tx, replay int64, n int) ([]letter, error) {
	rows, err := tx.Query(ctx, `
		SELECT id, stage, message_id, replay, origin_queue, headers, body, edited_body, coalesce(edited_id, '')
		FROM dead_letters WHERE replay_id = $1 AND replayed_at IS NULL
		ORDER BY id LIMIT $2`, replay, n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l letter, err error) {
		return l, row.Scan(&l.id, &l.stage, &l.message, &l.replay, &l.origin, &l.headers, &l.body, &l.edited, &l.editedID)
	})
}

// send publishes letters. The ledger and the jobs know before of the messages
// that take the place of edited ones; an edited job keeps its id, for the wish is
// the same.
func (s *Sender) send(ctx context.Context, r Replay, letters []letter) error {
	out, successors := make([]pipeline.Envelope, len(letters)), []postgres.Successor{}
	for i, l := range letters {
		if out[i] = l.envelope(r); l.edited == nil {
			continue
		}
		if l.headers.Type != event.KindJob {
			successors = append(successors, postgres.Successor{Stage: l.stage, Dead: l.message, Message: out[i]})
			continue
		}
		was := pipeline.Envelope{ID: l.message, Kind: event.KindJob, Job: l.headers.Job, Body: l.body}
		job, err := fetch.Correct(ctx, s.DB, was, l.edited) // a person edited it: there are a few
		if err != nil {
			return err
		}
		out[i].Job = job
	}
	if err := postgres.Succeed(ctx, s.DB, successors); err != nil { // before they are published: they may be done at once
		return err
	}
	return s.Sink.Publish(ctx, out)
}

// envelope is the message as it goes back: what died, with the attempts and the
// death taken off, one replay more, and who wanted it and why.
func (l letter) envelope(r Replay) pipeline.Envelope {
	h := l.headers
	e := pipeline.Envelope{
		ID: l.message, Kind: h.Type, Queue: l.origin, Job: h.Job, At: h.At, Priority: h.Priority, Cause: h.Cause, Key: h.Key,
		Replay: l.replay + 1, Body: l.body, Headers: maps.Clone(h.Others),
	}
	if e.Headers == nil {
		e.Headers = map[string]string{}
	}
	for _, name := range pipeline.DeathHeaders {
		delete(e.Headers, name)
	}
	e.Headers["replayed_by"], e.Headers["replay_why"] = r.Who, r.Why
	if l.edited != nil {
		e.ID, e.Body = l.editedID, l.edited
	}
	return e
}

func mark(ctx context.Context, tx pgx.Tx, r Replay, letters []letter, last bool) error {
	ids := make([]int64, len(letters))
	for i, l := range letters {
		ids[i] = l.id
	}
	if _, err := tx.Exec(ctx, `UPDATE dead_letters SET replayed_at = clock_timestamp() WHERE id = ANY($1)`, ids); err != nil {
		return fmt.Errorf("mark letters of replay %d: %w", r.ID, err)
	}
	_, err := tx.Exec(ctx, `
		UPDATE replays SET sent = sent + $2,
			next_at = CASE WHEN rate = 0 THEN next_at ELSE greatest(next_at, clock_timestamp() - interval '1 second') + $2 * interval '1 second' / rate END,
			state = CASE WHEN $3 THEN 'done' ELSE state END, finished_at = CASE WHEN $3 THEN clock_timestamp() END
		WHERE id = $1`, r.ID, len(ids), last)
	if err != nil {
		return fmt.Errorf("progress of replay %d: %w", r.ID, err)
	}
	return nil
}

func pauseFor(ctx context.Context, tx pgx.Tx, id int64, why error) error {
	_, err := tx.Exec(ctx, `UPDATE replays SET state = 'paused', error = $2 WHERE id = $1`, id, postgres.Plain(why.Error()))
	return err
}
