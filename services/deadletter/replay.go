package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/audit"
)

// The states of a replay.
const (
	Running   = "running"
	Paused    = "paused"
	Cancelled = "cancelled"
	Done      = "done"
)

// A Replay is letters on their way back: a snapshot, to which nothing is added.
type Replay struct {
	ID         int64      `json:"id"`
	State      string     `json:"state"`
	Rate       int        `json:"rate"` // messages a second; 0: as fast as it goes
	Total      int        `json:"total"`
	Sent       int        `json:"sent"`
	DiedAgain  int        `json:"died_again"` // of those sent
	Who        string     `json:"who"`
	Why        string     `json:"why"`
	Error      string     `json:"error"` // why it paused by itself
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

// Over reports whether nothing more will be sent.
func (r Replay) Over() bool { return r.State == Done || r.State == Cancelled }

const (
	fastest    = 10_000 // messages a second that one may ask for
	longestWhy = 500
)

// A Plan is a replay to be.
type Plan struct {
	IDs  []int64
	Rate int
	By   audit.By
	Why  string
}

// Start begins a replay of letters that are dead, or dropped, and returns it:
// its total is how many of them there still were. leat-console sends them.
func (s Store) Start(ctx context.Context, p Plan) (Replay, error) {
	switch {
	case p.Rate < 0 || p.Rate > fastest:
		return Replay{}, Asked("rate: found %d; 0 (no limit) to %d messages a second are allowed", p.Rate, fastest)
	case len(p.Why) > longestWhy:
		return Replay{}, Asked("why: %d bytes; at most %d are allowed", len(p.Why), longestWhy)
	}
	var id int64
	err := postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `INSERT INTO replays (state, rate, who, why) VALUES ('running', $1, $2, $3) RETURNING id`,
			p.Rate, postgres.Plain(p.By.Who), postgres.Plain(p.Why)).Scan(&id)
		if err != nil {
			return fmt.Errorf("begin replay: %w", err)
		}
		tag, err := tx.Exec(ctx, `
			WITH meant AS (
				SELECT id FROM dead_letters WHERE id = ANY($2) AND state IN ('dead', 'dropped') AND origin_queue <> ''
				ORDER BY id FOR UPDATE
			), claimed AS (
				UPDATE dead_letters d SET replay_id = $1, dropped_at = NULL FROM meant WHERE d.id = meant.id RETURNING 1
			)
			UPDATE replays SET total = (SELECT count(*) FROM claimed) WHERE id = $1 AND EXISTS (SELECT 1 FROM claimed)`, id, p.IDs)
		if err != nil {
			return fmt.Errorf("begin replay: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return Asked("none of these letters can be replayed: they are replayed already, or have no stage to go back to")
		}
		return audit.Record(ctx, tx, audit.Entry{
			By: p.By, Action: audit.Replay, Subject: fmt.Sprint("replay ", id), Why: p.Why, Detail: map[string]any{"rate": p.Rate, "ids": some(p.IDs)},
		})
	})
	if err != nil {
		return Replay{}, err
	}
	return s.Replay(ctx, id)
}

// A letter died again if its message did, with the replay that it was sent with.
const replayColumns = `r.id, r.state, r.rate, r.total, r.sent,
	(SELECT count(*) FROM dead_letters p JOIN dead_letters d ON d.stage = p.stage AND d.message_id = coalesce(p.edited_id, p.message_id) AND d.replay = p.replay + 1
		WHERE p.replay_id = r.id),
	r.who, r.why, coalesce(r.error, ''), r.created_at, r.finished_at`

// Replay returns a replay as it is now.
func (s Store) Replay(ctx context.Context, id int64) (Replay, error) {
	rows, err := s.DB.Query(ctx, `SELECT `+replayColumns+` FROM replays r WHERE r.id = $1`, id)
	if err != nil {
		return Replay{}, fmt.Errorf("replay %d: %w", id, postgres.Classify(err))
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Replay])
	if errors.Is(err, pgx.ErrNoRows) {
		return r, none("no replay has the id %d: `leat dead replays` lists them", id)
	}
	return r, postgres.Classify(err)
}

// Replays returns the newest replays.
func (s Store) Replays(ctx context.Context, limit int) ([]Replay, error) {
	rows, err := s.DB.Query(ctx, `SELECT `+replayColumns+` FROM replays r ORDER BY r.id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("replays: %w", postgres.Classify(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Replay])
	if all == nil {
		all = []Replay{}
	}
	return all, postgres.Classify(err)
}

// controls are what can be done to a replay: from which states, to which.
var controls = map[string]struct {
	from []string
	to   string
}{
	audit.Pause:  {[]string{Running}, Paused},
	audit.Resume: {[]string{Paused}, Running},
	audit.Cancel: {[]string{Running, Paused}, Cancelled},
}

// Control pauses, resumes or cancels a replay (the actions of package audit).
// When it returns, what was in hand is sent, and nothing more is unless it was
// resumed. What a cancelled one has not sent is dead again.
func (s Store) Control(ctx context.Context, id int64, action string, by audit.By, why string) (Replay, error) {
	c, known := controls[action]
	if !known {
		return Replay{}, Asked("found %q; a replay can be paused, resumed and cancelled", action)
	}
	err := postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		var state string
		err := tx.QueryRow(ctx, `SELECT state FROM replays WHERE id = $1 FOR UPDATE`, id).Scan(&state) // waits for the step under way
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return none("no replay has the id %d", id)
		case err != nil:
			return fmt.Errorf("replay %d: %w", id, err)
		case !slices.Contains(c.from, state):
			return Asked("replay %d is %s: one to %s is %s", id, state, action, strings.Join(c.from, " or "))
		}
		if _, err := tx.Exec(ctx, `
			UPDATE replays SET state = $2, error = NULL, next_at = now(), finished_at = CASE WHEN $2 = 'cancelled' THEN now() END WHERE id = $1`, id, c.to); err != nil {
			return fmt.Errorf("%s replay %d: %w", action, id, err)
		}
		if c.to == Cancelled {
			if _, err := tx.Exec(ctx, `UPDATE dead_letters SET replay_id = NULL WHERE replay_id = $1 AND replayed_at IS NULL`, id); err != nil {
				return fmt.Errorf("cancel replay %d: %w", id, err)
			}
		}
		return audit.Record(ctx, tx, audit.Entry{By: by, Action: action, Subject: fmt.Sprint("replay ", id), Why: why})
	})
	if err != nil {
		return Replay{}, err
	}
	return s.Replay(ctx, id)
}
