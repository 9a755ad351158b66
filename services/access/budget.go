// Package access is how workers of all stages reach the outside world as one:
// what may be asked of a host, whoever asks, and what it is shown.
//
// In: a source file's rate and auth. Out: leave to ask, signed requests.
package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// A Budget is what may be asked of a host with one credential, by all processes
// together.
type Budget struct {
	DB     *pgxpool.Pool
	Name   string       // of the source, the host, and the account where each has its own credential
	Holder string       // who asks; one request of each may be under way
	Rate   *source.Rate // nil: as fast as it goes
}

// Away says that nothing may be asked for longer than anybody should wait.
type Away struct {
	Wait time.Duration // one of pipeline.Waits
	Why  string        // for people, where the host said so; empty: it is only not the asker's turn
}

const (
	Pace      = time.Second            // so long who asks waits for the moment
	look      = 100 * time.Millisecond // between looks whether another request was answered
	leaseTime = 30 * time.Minute       // after which a request has surely ended
)

// A state is a budget's row of PostgreSQL, which whoever asks holds for a moment.
type state struct {
	Answered []time.Time // when the last requests were, the oldest first
	Line     time.Time   // the turn of who stands in line last
	Cool     time.Time   // until then nothing is asked
	Why      string
	Sent     int // requests of others that were not answered yet
	Running  int // those whose answer is read included
}

// take decides whether a request may go now. If not, it says how long to wait
// where that is short, or sends the asker away until its turn. Who has no turn
// gets one; turns are as far apart as requests are to be on average.
func (b *state) take(r *source.Rate, now, turn time.Time) (wait time.Duration, its time.Time, away *Away) {
	if now.Before(b.Cool) {
		return 0, turn, &Away{Wait: pipeline.WaitWithin(b.Cool.Sub(now)), Why: b.Why}
	}
	if r == nil {
		return 0, turn, nil
	}
	if turn.After(now.Add(Pace)) {
		return 0, turn, &Away{Wait: pipeline.WaitWithin(turn.Sub(now))}
	}
	if wait = b.free(r, now); wait == 0 {
		return 0, turn, nil
	}
	if turn.IsZero() && r.Requests > 0 {
		if b.Line.Before(now) {
			b.Line = now
		}
		b.Line = b.Line.Add(r.Per / time.Duration(r.Requests))
		turn = b.Line
	}
	if turn.After(now.Add(Pace)) || wait > Pace {
		return 0, turn, &Away{Wait: pipeline.WaitWithin(max(turn.Sub(now), wait))}
	}
	return wait, turn, nil
}

// free is when a request may go at the earliest; 0: now. The source counts a
// request when it arrives, which is some time between its going out and its
// answer: one that was not answered may arrive just now.
func (b *state) free(r *source.Rate, now time.Time) time.Duration {
	if r.Concurrency > 0 && b.Running >= r.Concurrency {
		return look
	}
	if r.Requests == 0 {
		return 0
	}
	recent := b.Answered
	for len(recent) > 0 && !recent[0].Add(r.Window()).After(now) {
		recent = recent[1:]
	}
	switch over := b.Sent + len(recent) - r.Burst; {
	case over < 0:
		return 0
	case over < len(recent):
		return recent[over].Add(r.Window()).Sub(now)
	}
	return look
}

// Take takes one request out of the budget, if it may go now: when wait is 0 and
// away is nil. Else the asker comes back after a short wait, or is away; it has
// its turn by then.
func (b Budget) Take(ctx context.Context, turn time.Time) (wait time.Duration, its time.Time, away *Away, err error) {
	if b.Rate == nil {
		s, now, err := read(ctx, b.DB, b.Name, "")
		if err == nil || errors.Is(err, pgx.ErrNoRows) {
			wait, its, away = s.take(nil, now, turn)
			return wait, its, away, nil
		}
		return 0, turn, nil, postgres.Classify(err)
	}
	err = postgres.InTx(ctx, b.DB, func(tx pgx.Tx) error {
		s, now, err := b.lock(ctx, tx)
		if err != nil {
			return err
		}
		line := s.Line
		if wait, its, away = s.take(b.Rate, now, turn); wait == 0 && away == nil {
			return b.lease(ctx, tx)
		}
		if !s.Line.Equal(line) {
			_, err = tx.Exec(ctx, `UPDATE budgets SET line = $2 WHERE name = $1`, b.Name, s.Line)
		}
		return err
	})
	return wait, its, away, err
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// read returns a budget as it is when the lock is held, and PostgreSQL's clock then.
func read(ctx context.Context, db querier, name, lock string) (s state, now time.Time, err error) {
	err = db.QueryRow(ctx, `
		WITH held AS (SELECT * FROM budgets WHERE name = $1 `+lock+`)
		SELECT answered, line, cool, why, clock_timestamp() FROM held`, name).Scan(&s.Answered, &s.Line, &s.Cool, &s.Why, &now)
	return s, now, err
}

// lock returns a budget that nobody else takes from meanwhile. The requests of
// others are counted by a statement of their own: one that waited for the lock
// does not see what was done until then.
func (b Budget) lock(ctx context.Context, tx pgx.Tx) (s state, now time.Time, err error) {
	s, now, err = read(ctx, tx, b.Name, "FOR UPDATE")
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := tx.Exec(ctx, `INSERT INTO budgets (name) VALUES ($1) ON CONFLICT DO NOTHING`, b.Name); err != nil {
			return s, now, err
		}
		s, now, err = read(ctx, tx, b.Name, "FOR UPDATE")
	}
	if err != nil {
		return s, now, err
	}
	err = tx.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE NOT answered), count(*) FROM budget_leases
		WHERE name = $1 AND message_id <> $2 AND until > now()`, b.Name, b.Holder).Scan(&s.Sent, &s.Running)
	return s, now, err
}

// lease notes that a request goes out. It is its holder's: a worker that dies
// leaves it to who asks the same next.
func (b Budget) lease(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO budget_leases (name, message_id, until) VALUES ($1, $2, now() + $3 * interval '1 second')
		ON CONFLICT (name, message_id) DO UPDATE SET until = excluded.until, answered = false`, b.Name, b.Holder, leaseTime.Seconds())
	return err
}

// Answered notes that a request has arrived, since there is an answer.
func (b Budget) Answered(ctx context.Context) error {
	if b.Rate == nil {
		return nil
	}
	_, err := b.DB.Exec(ctx, `
		WITH mine AS (
			UPDATE budget_leases SET answered = true WHERE name = $1 AND message_id = $2 AND NOT answered RETURNING name
		)
		UPDATE budgets SET answered = (answered || clock_timestamp())[greatest(1, cardinality(answered) + 2 - $3):]
		WHERE name = (SELECT name FROM mine)`, b.Name, b.Holder, max(b.Rate.Burst, 1))
	return postgres.Classify(err)
}

// Release notes that a request has ended, answered or not, whether its context
// has ended or not.
func (b Budget) Release(ctx context.Context) error {
	if b.Rate == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Pace)
	defer cancel()
	err := b.Answered(ctx)
	if err == nil {
		_, err = b.DB.Exec(ctx, `DELETE FROM budget_leases WHERE name = $1 AND message_id = $2`, b.Name, b.Holder)
	}
	if err != nil {
		return fmt.Errorf("a request counts as running for a while: %w", err)
	}
	return nil
}
