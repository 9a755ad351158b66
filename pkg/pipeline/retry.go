package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// settle decides what becomes of one message that failed: back through a
// waiting queue, or a dead letter.
func (w *Worker) settle(ctx context.Context, d Delivery, cause error) error {
	wait, later := isLater(cause)
	again := d.Envelope
	switch {
	case w.Dead == "" && !later && !IsUnavailable(cause): // there is nowhere to give it up to
		again.Waited++
		again.Wait = Waits[len(Waits)-1]
	case IsPermanent(cause):
		return w.bury(ctx, d, Death{Class: ClassPermanent, Reason: cause.Error(), Attempts: d.Attempt + 1})
	case later, IsUnavailable(cause):
		again.Waited++
		again.Wait = longEnough(wait, again.Waited)
	case d.Attempt+1 >= w.MaxAttempts:
		return w.bury(ctx, d, Death{Class: ClassFailed, Reason: cause.Error(), Attempts: d.Attempt + 1})
	default:
		again.Attempt++
		again.Wait = retries[min(again.Attempt/2, len(retries)-1)]
	}
	back := Setback{Class: Class(cause), Reason: w.plain(cause.Error()), Attempts: again.Attempt}
	w.Metrics.Retry(back.Class)
	w.Log.Warn("later", zap.String("id", d.ID), zap.String("job", d.Job), zap.String("class", back.Class), zap.Duration("wait", again.Wait),
		zap.Int("attempt", again.Attempt), zap.Int("waited", again.Waited), zap.Error(cause))
	if err := w.insist(ctx, func() error { return w.Ledger.Waits(ctx, d.Envelope, back) }); err != nil {
		return err
	}
	return w.replace(ctx, d, again)
}

// park puts a message for which a server is away, though all servers say that they
// are there, into a waiting queue: it uses up no attempt, and others go on. What
// else is held goes back, so that no worker spends more than one such wait at a
// time; in a batch the one at fault is not known before it is handled alone.
func (w *Worker) park(ctx context.Context, in Batch, outage error) error {
	if len(in) > 1 || !errors.Is(outage, errGiveBack) || w.Probe(ctx) != nil {
		return outage
	}
	return errors.Join(outage, w.settle(ctx, in[0], outage))
}

// bury commits the death, publishes the dead letter, and acknowledges. A death
// that the ledger cannot hold is published all the same.
func (w *Worker) bury(ctx context.Context, d Delivery, death Death) error {
	death.Reason = w.plain(death.Reason)
	death.Reason = strings.ToValidUTF8(death.Reason[:min(len(death.Reason), longest)], "�")
	switch err := w.insist(ctx, func() error { return w.Ledger.Dead(ctx, d.Envelope, death) }); {
	case ctx.Err() != nil || errors.Is(err, errGiveBack):
		return err
	case err != nil:
		w.Log.Error("dead letter not in the ledger", zap.String("id", d.ID), zap.Error(err))
	}
	w.Metrics.DeadLetter(death.Class)
	w.Log.Error("dead letter", zap.String("id", d.ID), zap.String("job", d.Job), zap.String("class", death.Class), zap.String("reason", death.Reason))
	letter := d.Envelope
	letter.Queue = w.Dead
	letter.Headers = maps.Clone(d.Headers)
	if letter.Headers == nil {
		letter.Headers = map[string]string{}
	}
	maps.Copy(letter.Headers, map[string]string{
		HeaderError: death.Reason, HeaderClass: death.Class, HeaderStage: w.Stage, HeaderAttempts: strconv.Itoa(death.Attempts),
		HeaderDiedAt: time.Now().UTC().Format(time.RFC3339Nano), HeaderOrigin: d.Queue,
	})
	return w.replace(ctx, d, letter)
}

// plain is a reason without secrets: it is kept where many people may read it.
func (w *Worker) plain(reason string) string {
	if w.Redact == nil {
		return reason
	}
	return w.Redact(reason)
}

// replace publishes e in place of d.
func (w *Worker) replace(ctx context.Context, d Delivery, e Envelope) error {
	if err := w.insist(ctx, func() error { return w.Sink.Publish(ctx, []Envelope{e}) }); err != nil {
		return err
	}
	return w.ack(Batch{d})
}

// insist calls f until it returns something other than an outage. When the
// outage outlasts patience, it returns errGiveBack. Errors of other kinds are
// the caller's, but for those of a single small write, which end the session.
func (w *Worker) insist(ctx context.Context, f func() error) error {
	since := time.Now()
	for try := 0; ; try++ {
		err := f()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !IsUnavailable(err):
			return err
		case time.Since(since) > patience:
			return fmt.Errorf("%w: %w", errGiveBack, err)
		}
		w.Metrics.Retry(ClassUnavailable)
		w.Log.Warn("a server is away", zap.Int("try", try), zap.Error(err))
		pause(ctx, backoff(try))
	}
}

// recovered calls f and makes a panic a Permanent error.
func recovered[T any](f func() (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = Permanent(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	return f()
}

func waits(err error) bool {
	_, ok := isLater(err)
	return ok
}

// retries are the waits after a failure: a second later it would be the same.
var retries = Waits[1:]

// longEnough picks the shortest of retries that is at least wait; who has waited
// often waits longer.
func longEnough(wait time.Duration, waited int) time.Duration {
	shortest := min(waited/10, len(retries)-1)
	for _, w := range retries[shortest:] {
		if w >= wait {
			return w
		}
	}
	return retries[len(retries)-1]
}

// backoff doubles from 100ms to 30s, with half of it random.
func backoff(attempt int) time.Duration {
	d := min(100*time.Millisecond<<min(max(attempt, 0), 12), 30*time.Second)
	return d/2 + rand.N(d/2)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
