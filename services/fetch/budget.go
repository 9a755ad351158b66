package fetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// A budget is what may be asked of a host with one credential. It is a row of
// PostgreSQL that whoever asks holds for a moment.
type budget struct {
	Answered []time.Time // when the last requests were, the oldest first
	Line     time.Time   // the turn of who stands in line last
	Cool     time.Time   // until then nothing is asked
	Why      string
	Sent     int // requests of others that were not answered yet
	Running  int // those whose answer is read included
}

// A parked slice is put back into the queue: nobody holds it meanwhile.
type parked struct {
	wait time.Duration
	turn time.Time // when it may ask, if it stands in line
	why  string    // for people; empty: it is only not its turn
}

func (p parked) Error() string { return "to be asked later: " + p.why }

const (
	pace      = time.Second            // so long a slice waits for its moment in the worker's hands
	look      = 100 * time.Millisecond // between looks whether another request was answered
	leaseTime = 30 * time.Minute       // after which a request has surely ended
)

// take decides whether a request may go now. If not, it says how long to wait
// where that is short, or parks the slice until its turn. Who has no turn gets
// one; turns are as far apart as requests are to be on average.
func (b *budget) take(r *source.Rate, now, turn time.Time) (wait time.Duration, its time.Time, away *parked) {
	if now.Before(b.Cool) {
		return 0, turn, &parked{wait: pipeline.WaitWithin(b.Cool.Sub(now)), why: b.Why}
	}
	if r == nil {
		return 0, turn, nil
	}
	if turn.After(now.Add(pace)) {
		return 0, turn, &parked{wait: pipeline.WaitWithin(turn.Sub(now)), turn: turn}
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
	if turn.After(now.Add(pace)) || wait > pace {
		return 0, turn, &parked{wait: pipeline.WaitWithin(max(turn.Sub(now), wait)), turn: turn}
	}
	return wait, turn, nil
}

// free is when a request may go at the earliest; 0: now. The source counts a
// request when it arrives, which is some time between its going out and its
// answer: one that was not answered may arrive just now.
func (b *budget) free(r *source.Rate, now time.Time) time.Duration {
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

// budgetOf names the budget that a request is of.
func budgetOf(t task, u *url.URL) string {
	name := t.src.Name + " " + u.Host
	if t.src.HTTP.Auth.PerAccount() {
		name += " " + t.slice.Account
	}
	return name
}

const turnHeader = "turn"

// await waits until a slice may ask, or returns a parked error.
func (s *Stage) await(ctx context.Context, t task, u *url.URL) error {
	if u.Scheme == "file" {
		return nil
	}
	turn, _ := time.Parse(time.RFC3339Nano, t.Headers[turnHeader]) // zero: it has none
	held := s.pacing.Add(1) <= int32(s.Slots/2)                    // the other slots go on, with other budgets too
	defer s.pacing.Add(-1)
	for until := time.Now().Add(pace); ; {
		wait, its, away, err := s.spend(ctx, t, budgetOf(t, u), turn)
		turn = its
		switch {
		case err != nil:
			return err
		case away != nil:
			return *away
		case wait == 0:
			return nil
		case !held || time.Now().Add(wait).After(until):
			return parked{wait: pipeline.WaitWithin(wait), turn: turn}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// spend takes one request out of a budget, if there is one.
func (s *Stage) spend(ctx context.Context, t task, name string, turn time.Time) (wait time.Duration, its time.Time, away *parked, err error) {
	rate := t.src.HTTP.Rate
	if rate == nil {
		b, now, err := readBudget(ctx, s.DB, name, "")
		if err == nil || errors.Is(err, pgx.ErrNoRows) {
			wait, its, away = b.take(nil, now, turn)
			return wait, its, away, nil
		}
		return 0, turn, nil, postgres.Classify(err)
	}
	err = postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		b, now, err := lockBudget(ctx, tx, t, name)
		if err != nil {
			return err
		}
		line := b.Line
		if wait, its, away = b.take(rate, now, turn); wait == 0 && away == nil {
			return lease(ctx, tx, t, name)
		}
		if !b.Line.Equal(line) {
			_, err = tx.Exec(ctx, `UPDATE budgets SET line = $2 WHERE name = $1`, name, b.Line)
		}
		return err
	})
	return wait, its, away, err
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readBudget returns a budget as it is when the lock is held, and PostgreSQL's clock then.
func readBudget(ctx context.Context, db querier, name, lock string) (b budget, now time.Time, err error) {
	err = db.QueryRow(ctx, `
		WITH held AS (SELECT * FROM budgets WHERE name = $1 `+lock+`)
		SELECT answered, line, cool, why, clock_timestamp() FROM held`, name).Scan(&b.Answered, &b.Line, &b.Cool, &b.Why, &now)
	return b, now, err
}

// lockBudget returns a budget that nobody else takes from meanwhile. The requests
// of others are counted by a statement of their own: one that waited for the lock
// does not see what was done until then.
func lockBudget(ctx context.Context, tx pgx.Tx, t task, name string) (b budget, now time.Time, err error) {
	b, now, err = readBudget(ctx, tx, name, "FOR UPDATE")
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := tx.Exec(ctx, `INSERT INTO budgets (name) VALUES ($1) ON CONFLICT DO NOTHING`, name); err != nil {
			return b, now, err
		}
		b, now, err = readBudget(ctx, tx, name, "FOR UPDATE")
	}
	if err != nil {
		return b, now, err
	}
	err = tx.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE NOT answered), count(*) FROM budget_leases
		WHERE name = $1 AND message_id <> $2 AND until > now()`, name, t.ID).Scan(&b.Sent, &b.Running)
	return b, now, err
}

// lease notes that a request goes out. It is its message's: a worker that dies
// leaves it to who takes the message next.
func lease(ctx context.Context, tx pgx.Tx, t task, name string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO budget_leases (name, message_id, until) VALUES ($1, $2, now() + $3 * interval '1 second')
		ON CONFLICT (name, message_id) DO UPDATE SET until = excluded.until, answered = false`, name, t.ID, leaseTime.Seconds())
	return err
}

// answered notes that a request has arrived, since there is an answer.
func (s *Stage) answered(ctx context.Context, t task, u *url.URL) error {
	if t.src.HTTP.Rate == nil {
		return nil
	}
	_, err := s.DB.Exec(ctx, `
		WITH mine AS (
			UPDATE budget_leases SET answered = true WHERE name = $1 AND message_id = $2 AND NOT answered RETURNING name
		)
		UPDATE budgets SET answered = (answered || clock_timestamp())[greatest(1, cardinality(answered) + 2 - $3):]
		WHERE name = (SELECT name FROM mine)`, budgetOf(t, u), t.ID, max(t.src.HTTP.Rate.Burst, 1))
	return postgres.Classify(err)
}

// release notes that a request has ended, answered or not.
func (s *Stage) release(ctx context.Context, t task, u *url.URL) {
	if t.src.HTTP.Rate == nil || u.Scheme == "file" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pace)
	defer cancel()
	err := s.answered(ctx, t, u)
	if err == nil {
		_, err = s.DB.Exec(ctx, `DELETE FROM budget_leases WHERE name = $1 AND message_id = $2`, budgetOf(t, u), t.ID)
	}
	if err != nil {
		s.Log.Warn("a request counts as running for a while", zap.String("id", t.ID), zap.Error(err))
	}
}

// heed notes that there is an answer, and has nobody ask with this credential
// until the time that it says, if it does.
func (s *Stage) heed(ctx context.Context, t task, u *url.URL, r *http.Response) error {
	if err := s.answered(ctx, t, u); err != nil {
		return err
	}
	wait := coolDown(r.StatusCode, r.Header, time.Now())
	if wait <= 0 {
		return nil
	}
	why := fmt.Sprintf("%s answered %s; nothing is asked of it so for %s", shown(u, t.src), r.Status, wait.Round(time.Second))
	_, err := s.DB.Exec(ctx, `
		INSERT INTO budgets AS b (name, cool, why) VALUES ($1, clock_timestamp() + $2 * interval '1 second', $3)
		ON CONFLICT (name) DO UPDATE SET cool = excluded.cool, why = excluded.why WHERE b.cool < excluded.cool`,
		budgetOf(t, u), wait.Seconds(), why)
	return postgres.Classify(err)
}

const longestCoolDown = 24 * time.Hour

// coolDown is how long nothing is to be asked, by what an answer's status and
// header say, whether it is an answer or a refusal.
func coolDown(status int, h http.Header, now time.Time) time.Duration {
	wait := time.Duration(0)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && h.Get("Retry-After") != "" {
		wait = retryAfter(h.Get("Retry-After"))
	}
	for _, prefix := range []string{"X-RateLimit-", "RateLimit-", "X-Rate-Limit-"} {
		if h.Get(prefix+"Remaining") != "0" {
			continue
		}
		reset, err := strconv.ParseFloat(h.Get(prefix+"Reset"), 64)
		if err != nil {
			continue
		}
		if reset > 1e9 { // a moment, and not a time
			reset -= float64(now.UnixMilli()) / 1000
		}
		wait = max(wait, time.Duration(min(reset, longestCoolDown.Seconds())*float64(time.Second)))
	}
	return min(wait, longestCoolDown)
}

// park puts a slice back into the queue.
func (s *Stage) park(ctx context.Context, t task, p parked) ([]pipeline.Envelope, error) {
	again := t.Envelope
	again.Queue, again.Wait, again.Headers = s.Self, p.wait, maps.Clone(t.Headers)
	delete(again.Headers, turnHeader)
	if !p.turn.IsZero() {
		if again.Headers == nil {
			again.Headers = map[string]string{}
		}
		again.Headers[turnHeader] = p.turn.Format(time.RFC3339Nano)
	}
	if p.why == "" {
		return []pipeline.Envelope{again}, nil
	}
	ledger := postgres.Ledger{DB: s.DB, Stage: Name}
	return []pipeline.Envelope{again}, ledger.Waits(ctx, t.Envelope, pipeline.Setback{Class: pipeline.ClassRateLimited, Reason: p.why})
}
