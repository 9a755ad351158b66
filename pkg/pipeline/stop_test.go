package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

func TestAStopFinishesTheBatchInHandAndTakesNoMore(t *testing.T) {
	for range 20 { // a select that takes on or not by chance would pass once
		synctest.Test(t, func(t *testing.T) {
			b := build(t, handler(func(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
				time.Sleep(5 * time.Second)
				return echo(in), ctx.Err()
			}))
			b.BatchSize = 1
			b.start(t, "a", "b", "c")
			after(time.Second)
			b.stop(t)
			wantIDs(t, "acknowledged", b.acked(), "a")
			wantIDs(t, "published", b.in("next"), "a'")
			wantIDs(t, "left in the queue", b.in("q"), "b c")
		})
	}
}

// What takes minutes is told when somebody waits for it: at a stop, and when the
// session is over, whose messages others have by then.
func TestWhatTakesMinutesIsToldToPutItselfBack(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, b *house){
		"a stop":               func(t *testing.T, b *house) { b.stop(t) },
		"the session is over":  func(_ *testing.T, b *house) { b.Release() },
		"another slot's error": func(t *testing.T, b *house) { b.put(t, "bad") },
	} {
		synctest.Test(t, func(t *testing.T) {
			told := 0
			b := build(t, handler(func(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
				if has(in, "bad") {
					return nil, nil
				}
				select {
				case <-in[0].Ending:
					told++
				case <-ctx.Done():
					told++
				}
				return nil, nil
			}))
			b.BatchSize, b.Slots = 1, 2
			b.Break = func(act string, e pipeline.Envelope) error {
				if act == "ack" && e.ID == "bad" {
					return errors.New("the channel is closed")
				}
				return nil
			}
			b.start(t, "a")
			after(time.Minute)
			if told > 0 {
				t.Errorf("%s: told before", what)
			}
			end(t, b)
			after(time.Second)
			if told == 0 {
				t.Errorf("%s: not told", what)
			}
		})
	}
}

func TestAStopCutsTheWorkShortAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(ctx context.Context, _ pipeline.Batch) ([]pipeline.Envelope, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		b.start(t, "a")
		after(time.Second)
		stopped := time.Now()
		b.stop(t)
		if took := time.Since(stopped); took != b.Grace {
			t.Errorf("the stop took %s, want Grace, %s", took, b.Grace)
		}
		wantIDs(t, "acknowledged", b.acked(), "")
		wantIDs(t, "left in the queue", b.in("q"), "a")
		wantIDs(t, "dead", b.in("dead"), "")
	})
}

func TestAStopDoesNotWaitWhenThereIsNothingInHand(t *testing.T) {
	away := errors.New("connection refused")
	tests := []struct {
		name  string
		probe func(context.Context) error
		queue string
	}{
		{"nothing to take", func(context.Context) error { return nil }, "q"},
		{"a server is away", func(context.Context) error { return away }, "q"},
		{"the queue is away", func(context.Context) error { return nil }, "nowhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := build(t, handler(nil))
				b.Probe, b.Queue = tt.probe, tt.queue
				b.start(t)
				after(time.Hour)
				stopped := time.Now()
				b.stop(t)
				if took := time.Since(stopped); took > 0 {
					t.Errorf("the stop took %s", took)
				}
			})
		})
	}
}

// An idler is a handler with work of its own.
type idler struct {
	pipeline.Handler
	idle func() (time.Duration, error)
}

func (i idler) Idle(context.Context) (time.Duration, error) { return i.idle() }

// gaps runs an idler for 20 seconds and returns the longest time between two
// calls of idle.
func gaps(t *testing.T, messages int, idle func() (time.Duration, error), handle time.Duration) (longest time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		last := time.Now()
		b := build(t, idler{
			handler(func(context.Context, pipeline.Batch) ([]pipeline.Envelope, error) {
				time.Sleep(handle)
				return nil, nil
			}),
			func() (time.Duration, error) {
				longest = max(longest, time.Since(last))
				last = time.Now()
				return idle()
			},
		})
		b.BatchSize = 1
		ids := make([]string, messages)
		for i := range ids {
			ids[i] = "m"
		}
		b.start(t, ids...)
		after(20 * time.Second)
		b.stop(t)
		longest = max(longest, time.Since(last))
	})
	return longest
}

func TestIdleIsCalledOften(t *testing.T) {
	nothing := func() (time.Duration, error) { return 100 * time.Millisecond, nil }
	long := func() (time.Duration, error) { return time.Hour, nil }
	tests := []struct {
		name     string
		messages int
		handle   time.Duration
		idle     func() (time.Duration, error)
		within   time.Duration
	}{
		{"when there is nothing to take", 0, 0, nothing, 100 * time.Millisecond},
		{"once a second, whatever pause it asks for", 0, 0, long, time.Second},
		{"under load, at least once a second", 1000, 300 * time.Millisecond, nothing, 1300 * time.Millisecond},
		{"when a message takes long, after it", 1000, 5 * time.Second, nothing, 5 * time.Second},
		{"a second after it failed", 0, 0, func() (time.Duration, error) { return 0, errors.New("connection refused") }, time.Second},
		{"a second after it panicked", 0, 0, func() (time.Duration, error) { panic("boom") }, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 10 {
				if got := gaps(t, tt.messages, tt.idle, tt.handle); got > tt.within {
					t.Fatalf("%s without a call, want %s at most", got, tt.within)
				}
			}
		})
	}
}

func TestIdleIsCalledAgainAtOnceWhileThereIsMore(t *testing.T) {
	calls := 0
	var at []time.Time
	gaps(t, 0, func() (time.Duration, error) {
		calls++
		at = append(at, time.Now())
		if calls < 1000 {
			return 0, nil
		}
		return time.Second, nil
	}, 0)
	if len(at) < 1000 || at[999] != at[0] {
		t.Errorf("%d calls, want 1,000 of them without a pause", len(at))
	}
}
