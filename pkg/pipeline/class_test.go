package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

// Each class has its name in the metrics, the ledger and the dead letter, and one
// message of it holds nobody up.
func TestEveryClassByName(t *testing.T) {
	tests := []struct {
		class    string
		err      error
		starts   int  // before the first
		dies     bool // after so many
		attempts int
	}{
		{pipeline.ClassPermanent, pipeline.Permanent(errors.New("bad")), 0, true, 1},
		{pipeline.ClassFailed, errOdd, 0, true, 3},
		{pipeline.ClassFailed, pipeline.Paced(errOdd), 0, true, 3},
		{pipeline.ClassCrashed, nil, 4, true, 5},
		{pipeline.ClassUnavailable, pipeline.Unavailable(errors.New("it alone meets an outage")), 0, false, 0},
		{pipeline.ClassUnavailable, pipeline.Later(errors.New("the source is away"), time.Minute), 0, false, 0},
		{pipeline.ClassRateLimited, pipeline.RateLimited(errors.New("429"), time.Minute), 0, false, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %T", tt.class, tt.err), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
					if has(in, "bad") {
						return nil, tt.err
					}
					return echo(in), nil
				}))
				b.ledger.starts["bad"] = tt.starts
				b.put(t, "a", "bad", "c")
				if tt.starts > 0 {
					deliverTwiceInVain(t, b)
				}
				b.start(t)
				after(5 * time.Minute)
				wantIDs(t, "done meanwhile", b.in("next"), "a' c'")
				after(24 * time.Hour)
				b.stop(t)

				death, dead := b.ledger.deaths["bad"]
				if dead != tt.dies {
					t.Fatalf("dead: %v, want %v", dead, tt.dies)
				}
				if dead {
					letter := b.Queued("dead")[0]
					if death.Class != tt.class || death.Attempts != tt.attempts || letter.Headers["error_class"] != tt.class || letter.Headers["attempts"] != fmt.Sprint(tt.attempts) {
						t.Errorf("death %+v, letter %v; want class %s after %d", death, letter.Headers, tt.class, tt.attempts)
					}
				} else if back := b.ledger.setbacks["bad"]; back.Class != tt.class || back.Attempts != tt.attempts || back.Reason == "" {
					t.Errorf("setback %+v, want class %s and %d attempts", back, tt.class, tt.attempts)
				}
				counted := map[bool]string{true: "dead ", false: "retry "}[tt.dies] + tt.class
				if n := b.metrics.all()[counted]; n == 0 {
					t.Errorf("metrics %v, want %s", b.metrics.all(), counted)
				}
			})
		})
	}
}

func TestAStartFromWhichNobodyCameBackIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) { return echo(in), nil }))
		b.ledger.starts["a"] = 2
		b.put(t, "a")
		deliverTwiceInVain(t, b)
		b.start(t)
		after(time.Minute)
		b.stop(t)
		if n := b.metrics.all()["retry crashed"]; n != 1 {
			t.Errorf("metrics %v, want one crash", b.metrics.all())
		}
	})
}

// While all servers are there, a message that meets an outage all the same waits
// in a waiting queue: the worker goes on after a minute of it alone.
func TestAMessageThatAloneMeetsAnOutageIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held time.Duration
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			if has(in, "bad") {
				return nil, pipeline.Unavailable(errors.New("out of memory"))
			}
			return echo(in), nil
		}))
		start := time.Now()
		b.Break = func(act string, e pipeline.Envelope) error {
			if act == "publish" && e.ID == "bad" && held == 0 && e.Waited == 1 {
				held = time.Since(start)
				if e.Attempt != 0 {
					t.Errorf("attempt %d, want none used up", e.Attempt)
				}
			}
			return nil
		}
		b.start(t, "bad")
		after(10 * time.Minute)
		b.put(t, "later")
		after(3 * time.Minute) // the other may just have come back, and be in hand
		wantIDs(t, "done while it waits", b.in("next"), "later'")
		b.stop(t)
		if held < time.Minute || held > 2*time.Minute {
			t.Errorf("it was parked after %s, want somewhat more than a minute", held)
		}
	})
}
