package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Config is what an operator can set of a worker, and why they might.
type Config struct {
	BatchSize   int           `mapstructure:"batch_size"`   // larger: fewer commits, more to redo after a crash
	Slots       int           `mapstructure:"slots"`        // batches handled side by side; more where a stage waits for others
	Prefetch    int           `mapstructure:"prefetch"`     // messages taken from the broker ahead; at least BatchSize times Slots
	MaxAttempts int           `mapstructure:"max_attempts"` // before a message that keeps failing is a dead letter
	Grace       time.Duration `mapstructure:"-"`            // for the batches in hand at a stop
}

const (
	maxStarts    = 5               // the start at which a message that kills its worker is given up
	suspicious   = 2               // deliveries after which a message is handled alone
	quickRetries = 3               // of one message at once: enough for a deadlock
	patience     = time.Minute     // of an outage, before what is held is given back
	idleEvery    = time.Second     // an Idler is called so often, whatever there is to take
	lastWords    = 2 * time.Second // to the ledger, when a session ends
	longest      = 8 << 10         // of a reason: a dead letter's headers have to fit into one frame
)

// A Worker runs one stage until its context is cancelled.
type Worker struct {
	Config
	Stage   string
	Queue   string
	Dead    string // the queue for dead letters; empty: nothing is given up, what fails waits and comes again
	Handler Handler
	Source  Source
	Sink    Sink
	Ledger  Ledger
	Probe   func(context.Context) error // nil when every server that the stage needs answers
	Metrics Metrics
	Idled   func(error)         // told how the Idler's work went; nil: nobody
	Redact  func(string) string // takes the secrets out of what is kept of an error; nil: nothing is taken out
	Log     *zap.Logger

	inHand sync.Map // of each batch and idle turn: when it began
}

// ackLimit is how long the broker waits for an acknowledgement before it gives
// the message to another worker.
const ackLimit = 30 * time.Minute

// Stuck returns an error when something has been in hand for longer than the
// broker waits for it: this process does not get on with it, and holds its locks.
func (w *Worker) Stuck() (err error) {
	w.inHand.Range(func(began, _ any) bool {
		if held := time.Since(*began.(*time.Time)); held > ackLimit {
			err = fmt.Errorf("a batch has been in hand for %s", held.Round(time.Second))
		}
		return err == nil
	})
	return err
}

// take notes that something is in hand until done is called.
func (w *Worker) take() (done func()) {
	began := time.Now()
	w.inHand.Store(&began, nil)
	return func() { w.inHand.Delete(&began) }
}

// Metrics receives what a worker counts.
type Metrics interface {
	Batch(messages int)
	Phase(name string, took time.Duration) // handle, publish, ack, idle
	Retry(class string)                    // of what is tried again
	DeadLetter(class string)
}

// errGiveBack ends a session whose outage lasts: others may hold what it holds.
var errGiveBack = errors.New("the outage lasts: giving back what is held")

// Run consumes until ctx is cancelled. Then it takes no new deliveries,
// finishes the batches in hand within Grace, and returns nil.
func (w *Worker) Run(ctx context.Context) error {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		if err := w.Probe(ctx); err != nil {
			w.Log.Warn("waiting for a server", zap.Error(err))
			pause(ctx, backoff(attempt))
			continue
		}
		deliveries, err := w.Source.Consume(ctx, w.Queue)
		if err != nil {
			w.Log.Warn("cannot consume", zap.String("queue", w.Queue), zap.Error(err))
			pause(ctx, backoff(attempt))
			continue
		}
		attempt = 0
		err = w.session(ctx, deliveries)
		w.Source.Release()
		if ctx.Err() == nil {
			w.Log.Warn("session ended", zap.String("queue", w.Queue), zap.Error(err))
			pause(ctx, backoff(0))
		}
	}
	return nil
}

// session handles deliveries in Slots until their channel closes or a slot
// fails. What it has not acknowledged then, the broker delivers again.
func (w *Worker) session(ctx context.Context, deliveries <-chan Delivery) error {
	work, cancel := withGrace(ctx, w.Grace)
	defer cancel()
	failed, fail := context.WithCancelCause(work)
	defer fail(nil)
	ending, end := context.WithCancel(ctx)
	defer end()

	var slots sync.WaitGroup
	for range max(w.Slots, 1) {
		slots.Go(func() {
			defer end() // one that has ended has seen the end of the session
			if err := w.slot(ending, failed, deliveries); err != nil {
				fail(err)
			}
		})
	}
	slots.Wait()
	return context.Cause(failed)
}

// slot handles one batch after another until stop or the end of the deliveries.
func (w *Worker) slot(stop, ctx context.Context, deliveries <-chan Delivery) error {
	idler, _ := w.Handler.(Idler)
	idle := time.NewTimer(0)
	defer idle.Stop()
	idled := time.Now()
	for stop.Err() == nil { // select picks any case that is ready, a delivery too
		if idler != nil && time.Since(idled) > idleEvery {
			idle.Reset(w.idle(ctx, idler))
			idled = time.Now()
		}
		select {
		case <-stop.Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		case d, ok := <-deliveries:
			if !ok {
				return nil
			}
			in := w.fill(d, deliveries)
			for i := range in {
				in[i].Ending = stop.Done()
			}
			if err := w.batch(ctx, in); err != nil {
				return err
			}
			if idler != nil && len(deliveries) == 0 {
				idle.Reset(0)
			}
		case <-idle.C:
			if idler != nil {
				idle.Reset(w.idle(ctx, idler))
				idled = time.Now()
			}
		}
	}
	return nil
}

// idle calls the idler and returns when to call it next.
func (w *Worker) idle(ctx context.Context, idler Idler) time.Duration {
	defer w.take()()
	start := time.Now()
	pause, err := recovered(func() (time.Duration, error) { return idler.Idle(ctx) })
	w.Metrics.Phase("idle", time.Since(start))
	if w.Idled != nil && ctx.Err() == nil {
		w.Idled(err)
	}
	if err != nil && ctx.Err() == nil {
		w.Metrics.Retry(Class(err))
		w.Log.Warn("idle work", zap.Error(err))
		return idleEvery
	}
	return min(pause, idleEvery)
}

// fill makes a batch of first and what else is already there. It never waits:
// while a batch is handled the next one gathers in the prefetch.
func (w *Worker) fill(first Delivery, deliveries <-chan Delivery) Batch {
	batch := Batch{first}
	for len(batch) < w.BatchSize {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return batch
			}
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// batch does a batch, those alone that may have killed a worker before.
func (w *Worker) batch(ctx context.Context, in Batch) error {
	defer w.take()()
	w.Metrics.Batch(len(in))
	plain := in[:0:0]
	for i, d := range in {
		if d.Deliveries < suspicious {
			plain = append(plain, d)
			continue
		}
		if err := w.guarded(ctx, in[i:i+1]); err != nil {
			return err
		}
	}
	if len(plain) == 0 {
		return nil
	}
	return w.do(ctx, plain)
}

// guarded does one message after its start is on record, so that one which
// kills every process that takes it is found out.
func (w *Worker) guarded(ctx context.Context, in Batch) error {
	var starts int
	err := w.insist(ctx, func() (err error) {
		starts, err = w.Ledger.Start(ctx, in[0].Envelope)
		return err
	})
	switch {
	case IsPermanent(err): // the ledger refuses the message itself
		return w.settle(ctx, in[0], err)
	case err != nil:
		return err
	case starts >= maxStarts:
		return w.bury(ctx, in[0], Death{Class: ClassCrashed, Attempts: starts, Reason: fmt.Sprintf("started %d times, and the worker never came back from it", starts)})
	}
	if starts > 1 {
		w.Metrics.Retry(ClassCrashed)
	}
	if err := w.do(ctx, in); err != nil { // it goes back, and the worker lives: this start did not kill it
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		return errors.Join(err, w.Ledger.Returned(last, in[0].Envelope))
	}
	return nil
}

// do handles, publishes and acknowledges a batch, trying again as its error
// asks.
func (w *Worker) do(ctx context.Context, in Batch) error {
	for try := 1; ; try++ {
		var err error
		if outage := w.insist(ctx, func() error {
			if err = w.attempt(ctx, in); IsUnavailable(err) {
				return err
			}
			return nil
		}); outage != nil {
			return w.park(ctx, in, outage)
		}
		switch {
		case err == nil:
			return w.ack(in)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case len(in) > 1:
			return w.halves(ctx, in)
		case IsPermanent(err), waits(err), isPaced(err), try >= quickRetries:
			return w.settle(ctx, in[0], err)
		}
		pause(ctx, backoff(0))
	}
}

func (w *Worker) halves(ctx context.Context, in Batch) error {
	half := len(in) / 2
	if err := w.do(ctx, in[:half]); err != nil {
		return err
	}
	return w.do(ctx, in[half:])
}

// attempt handles a batch and publishes what follows.
func (w *Worker) attempt(ctx context.Context, in Batch) error {
	start := time.Now()
	out, err := recovered(func() ([]Envelope, error) { return w.Handler.Handle(ctx, in) })
	w.Metrics.Phase("handle", time.Since(start))
	if err != nil || len(out) == 0 {
		return err
	}
	Point("handled")
	start = time.Now()
	err = w.Sink.Publish(ctx, out)
	w.Metrics.Phase("publish", time.Since(start))
	return err
}

func (w *Worker) ack(in Batch) error {
	start := time.Now()
	defer func() { w.Metrics.Phase("ack", time.Since(start)) }()
	Point("published")
	for _, d := range in {
		if err := d.Ack(); err != nil {
			return fmt.Errorf("ack %s: %w", d.ID, err)
		}
		Point("acknowledged")
	}
	return nil
}

// withGrace returns a context that outlives ctx by d.
func withGrace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return work, func() { stop(); cancel() }
}
