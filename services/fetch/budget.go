package fetch

import (
	"context"
	"maps"
	"net/url"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/access"
)

// A parked slice is put back into the queue: nobody holds it meanwhile.
type parked struct {
	wait  time.Duration
	turn  time.Time // when it may ask, if it stands in line
	after time.Time // when it is worth asking
	held  int       // how often others have held it up, this time included
	class string    // of why
	why   string    // for people; empty: it is only not its turn
}

func (p parked) Error() string { return "to be asked later: " + p.why }

// asksNobody reports whether an address leads to no source.
func asksNobody(u *url.URL) bool { return u.Scheme == "file" || u.Scheme == "archive" }

// budget is what a slice's request is taken out of.
func (s *Stage) budget(t task, u *url.URL) access.Budget {
	name := t.src.Name + " " + u.Host
	if t.src.HTTP.Auth.PerAccount() {
		name += " " + t.slice.Account
	}
	if t.src.OwnHTTP() {
		name += " " + t.slice.Feed
	}
	return access.Budget{DB: s.DB, Name: name, Holder: t.ID, Rate: t.src.HTTP.Rate}
}

const turnHeader = "turn"

// await waits until a slice may ask, or returns a parked error.
func (s *Stage) await(ctx context.Context, t task, u *url.URL) error {
	if asksNobody(u) {
		return nil
	}
	turn, _ := time.Parse(time.RFC3339Nano, t.Headers[turnHeader]) // zero: it has none
	held := s.pacing.Add(1) <= int32(s.Slots/2)                    // the other slots go on, with other budgets too
	defer s.pacing.Add(-1)
	for until := time.Now().Add(access.Pace); ; {
		wait, its, away, err := s.budget(t, u).Take(ctx, turn)
		turn = its
		switch {
		case err != nil:
			return err
		case away != nil:
			return parked{wait: away.Wait, turn: turn, class: pipeline.ClassRateLimited, why: away.Why}
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

// release notes that a request has ended, answered or not.
func (s *Stage) release(ctx context.Context, t task, u *url.URL) {
	if asksNobody(u) {
		return
	}
	if err := s.budget(t, u).Release(ctx); err != nil {
		s.Log.Warn("release", zap.String("id", t.ID), zap.Error(err))
	}
}

// park puts a slice back into the queue.
func (s *Stage) park(ctx context.Context, t task, p parked) ([]pipeline.Envelope, error) {
	again := t.Envelope
	again.Queue, again.Wait, again.Headers = s.Self, p.wait, map[string]string{}
	maps.Copy(again.Headers, t.Headers)
	delete(again.Headers, turnHeader)
	delete(again.Headers, heldHeader)
	if !p.turn.IsZero() {
		again.Headers[turnHeader] = p.turn.Format(time.RFC3339Nano)
	}
	if !p.after.IsZero() {
		again.Headers[afterHeader] = p.after.Format(time.RFC3339Nano)
	}
	if p.held > 0 {
		again.Headers[heldHeader] = strconv.Itoa(p.held)
	}
	if p.why == "" {
		return []pipeline.Envelope{again}, nil
	}
	ledger := postgres.Ledger{DB: s.DB, Stage: Name}
	return []pipeline.Envelope{again}, ledger.Waits(ctx, t.Envelope, pipeline.Setback{Class: p.class, Reason: p.why, Attempts: t.Attempt})
}
