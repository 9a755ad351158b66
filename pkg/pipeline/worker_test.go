package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

func TestWorkerDoesWhatAnErrorSays(t *testing.T) {
	type envelopes = []pipeline.Envelope
	failing := func(times int, err error) func(pipeline.Batch) (envelopes, error) {
		return func(in pipeline.Batch) (envelopes, error) {
			if times--; times >= 0 {
				return nil, err
			}
			return echo(in), nil
		}
	}
	onlyFor := func(id string, err error) func(pipeline.Batch) (envelopes, error) {
		return func(in pipeline.Batch) (envelopes, error) {
			if has(in, id) {
				return nil, err
			}
			return echo(in), nil
		}
	}
	breaking := func(times int, act, id string, err error) func(string, pipeline.Envelope) error {
		return func(a string, e pipeline.Envelope) error {
			if own := a == "publish" && e.Queue == "q"; own || a != act || e.ID != id || times == 0 {
				return nil
			}
			times--
			return err
		}
	}

	tests := []struct {
		name        string
		handle      func(in pipeline.Batch) (envelopes, error)
		breaks      func(act string, e pipeline.Envelope) error
		sent, dead  string
		retries     map[string]int // by class, at least
		sessionEnds bool
	}{
		{
			name:   "outputs are published, then inputs acknowledged",
			handle: func(in pipeline.Batch) (envelopes, error) { return echo(in), nil },
			sent:   "a' b' c' d' e'",
		},
		{
			name:   "a batch without outputs is acknowledged",
			handle: func(pipeline.Batch) (envelopes, error) { return nil, nil },
		},
		{
			name:   "of a batch only the poison dies",
			handle: onlyFor("b", fmt.Errorf("handle: %w", pipeline.Permanent(errors.New("bad")))),
			sent:   "a' c' d' e'", dead: "b",
		},
		{
			name: "a panic is poison too",
			handle: func(in pipeline.Batch) (envelopes, error) {
				if has(in, "e") {
					panic("boom")
				}
				return echo(in), nil
			},
			sent: "a' b' c' d'", dead: "e",
		},
		{
			name:   "an outage uses up no attempts",
			handle: failing(20, fmt.Errorf("read: %w", pipeline.Unavailable(errors.New("connection refused")))),
			sent:   "a' b' c' d' e'", retries: map[string]int{"retry unavailable": 7}, sessionEnds: true,
		},
		{
			name:   "what fails once is tried again at once",
			handle: failing(1, errOdd),
			sent:   "a' b' c' d' e'",
		},
		{
			name:   "what goes on failing dies, and it alone",
			handle: onlyFor("d", errOdd),
			sent:   "a' b' c' e'", dead: "d", retries: map[string]int{"retry failed": 2},
		},
		{
			name:   "what the broker does not take is published again, and acknowledged after it",
			handle: func(in pipeline.Batch) (envelopes, error) { return echo(in), nil },
			breaks: breaking(3, "publish", "c'", pipeline.Unavailable(errors.New("nacked"))),
			sent:   "a' a' a' a' b' b' b' b' c' d' e'", retries: map[string]int{"retry unavailable": 3},
		},
		{
			name:   "what can never be published kills its input",
			handle: func(in pipeline.Batch) (envelopes, error) { return echo(in), nil },
			breaks: breaking(-1, "publish", "a'", pipeline.Permanent(errors.New("too long"))),
			sent:   "b' c' d' e'", dead: "a",
		},
		{
			name:   "an acknowledgement that fails ends the session, and all comes again",
			handle: func(in pipeline.Batch) (envelopes, error) { return echo(in), nil },
			breaks: breaking(1, "ack", "a", errors.New("channel closed")),
			sent:   "a' a' b' b' c' c' d' d' e' e'", sessionEnds: true,
		},
		{
			name:   "a dead letter that the broker does not take is published again",
			handle: onlyFor("b", pipeline.Permanent(errors.New("bad"))),
			breaks: breaking(3, "publish", "b", pipeline.Unavailable(errors.New("nacked"))),
			sent:   "a' c' d' e'", dead: "b", retries: map[string]int{"retry unavailable": 3},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := build(t, handler(func(_ context.Context, in pipeline.Batch) (envelopes, error) { return tt.handle(in) }))
				b.Break = tt.breaks
				b.together(t, "a", "b", "c", "d", "e")
				after(time.Hour)
				b.stop(t)

				wantIDs(t, "published", b.in("next"), tt.sent)
				wantIDs(t, "dead", b.in("dead"), tt.dead)
				wantIDs(t, "left in the queue", b.in("q"), "")
				for id := range strings.FieldsSeq(tt.sent) {
					b.wantOrder(t, "publish "+id+" to next", "ack "+strings.TrimSuffix(id, "'"))
				}
				for id := range strings.FieldsSeq(tt.dead) {
					b.wantOrder(t, "bury "+id, "publish "+id+" to dead", "ack "+id)
				}
				for class, n := range tt.retries {
					if got := b.metrics.all()[class]; got < n {
						t.Errorf("%s: %d, want at least %d", class, got, n)
					}
				}
				if ended := b.times("release") > 1; ended != tt.sessionEnds { // the last is the stop's
					t.Errorf("session ended before the stop: %v, want %v", ended, tt.sessionEnds)
				}
			})
		})
	}
}

// together starts a worker and has these messages come to it as one batch: they
// gather while it is busy with the message "gate".
func (b *house) together(t *testing.T, ids ...string) {
	h := b.Handler
	b.Handler = handler(func(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
		if has(in, "gate") {
			time.Sleep(time.Second)
			return nil, nil
		}
		return h.Handle(ctx, in)
	})
	b.start(t, "gate")
	synctest.Wait()
	b.put(t, ids...)
}

func TestABatchIsHalvedUntilThePoisonStandsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled []string
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			handled = append(handled, strings.Join(in.IDs(), ""))
			if has(in, "c") {
				return nil, pipeline.Permanent(errors.New("bad"))
			}
			return nil, nil
		}))
		b.together(t, "a", "b", "c", "d", "e", "f", "g", "h")
		after(time.Minute)
		b.stop(t)
		wantIDs(t, "handled", handled, "abcdefgh abcd ab cd c d efgh")
		wantIDs(t, "dead", b.in("dead"), "c")
		wantIDs(t, "acknowledged", b.acked(), "a b c d e f g gate h")
	})
}

func TestABatchHoldsNoMoreThanItsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled []string
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			handled = append(handled, strings.Join(in.IDs(), ""))
			return nil, nil
		}))
		b.BatchSize = 3
		b.together(t, "a", "b", "c", "d", "e", "f", "g")
		after(time.Minute)
		b.stop(t)
		wantIDs(t, "handled", handled, "abc def g")
	})
}

func TestADeadLetterSaysWhyItDied(t *testing.T) {
	tests := []struct {
		name            string
		err             error
		class, attempts string
		reason          string // its beginning
	}{
		{"permanent", fmt.Errorf("decode: %w", pipeline.Permanent(errors.New("no brace"))), "permanent", "1", "decode: no brace"},
		{"failed too often", errOdd, "failed", "3", "odd"},
		{"panic", nil, "permanent", "1", "panic: boom\ngoroutine"},
		{"a reason as long as a document", pipeline.Permanent(errors.New(strings.Repeat("ä", 1<<20))), "permanent", "1", "ää"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := build(t, handler(func(context.Context, pipeline.Batch) ([]pipeline.Envelope, error) {
					if tt.err == nil {
						panic("boom")
					}
					return nil, tt.err
				}))
				sent := pipeline.Envelope{
					ID: "a", Kind: "leat.part.v1", Queue: "q", Key: "key", Cause: "cause", Job: "job", Priority: 5, Replay: 2,
					At: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Body: []byte("not JSON \x00\xff"),
				}
				if err := b.Publish(t.Context(), []pipeline.Envelope{sent}); err != nil {
					t.Fatal(err)
				}
				b.start(t)
				after(time.Hour)
				b.stop(t)

				letters := b.Queued("dead")
				if len(letters) != 1 {
					t.Fatalf("%d dead letters, want one", len(letters))
				}
				got := letters[0]
				if string(got.Body) != string(sent.Body) {
					t.Errorf("body %q, want that of the message", got.Body)
				}
				died, err := time.Parse(time.RFC3339, got.Headers["died_at"])
				if err != nil || time.Since(died) > time.Hour {
					t.Errorf("died_at %q, want the time of death", got.Headers["died_at"])
				}
				reason := got.Headers["error"]
				if !strings.HasPrefix(reason, tt.reason) || len(reason) > 9<<10 {
					t.Errorf("error: %d bytes, %.80q, want %q and at most 9 KiB", len(reason), reason, tt.reason)
				}
				delete(got.Headers, "died_at")
				delete(got.Headers, "error")
				want := map[string]string{"error_class": tt.class, "stage": "stage", "attempts": tt.attempts, "origin_queue": "q"}
				if !maps.Equal(got.Headers, want) {
					t.Errorf("headers %v, want %v", got.Headers, want)
				}
				sent.Queue, sent.Attempt = "dead", got.Attempt
				got.Headers, got.Body, sent.Body = nil, nil, nil
				if fmt.Sprint(got) != fmt.Sprint(sent) {
					t.Errorf("letter %+v, want %+v", got, sent)
				}
				if d := b.ledger.deaths["a"]; d.Reason != reason || d.Class != tt.class || fmt.Sprint(d.Attempts) != tt.attempts {
					t.Errorf("the ledger has %.80v, want what the letter says", d)
				}
			})
		})
	}
}

// Who files the dead letters has nowhere to give one up to.
func TestWithoutAQueueForDeadLettersWhatFailsWaitsAndComesAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"permanent": func() error { return pipeline.Permanent(errors.New("bad")) },
		"any other": func() error { return errOdd },
		"panic":     func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failed atomic.Int64
				b := build(t, handler(func(context.Context, pipeline.Batch) ([]pipeline.Envelope, error) {
					if failed.Add(1) <= 20 {
						return nil, fail()
					}
					return nil, nil
				}))
				b.Dead, b.MaxAttempts = "", 1
				b.start(t, "a")
				after(4 * time.Hour)
				b.stop(t)
				if n := failed.Load(); n != 21 {
					t.Errorf("handled %d times, want 21", n)
				}
				if len(b.ledger.deaths) > 0 || len(b.in("q")) > 0 {
					t.Errorf("deaths %v, left %v; want it done at last", b.ledger.deaths, b.in("q"))
				}
			})
		})
	}
}

// What a message carries besides is in its dead letter too.
func TestADeadLetterKeepsTheMessagesHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(context.Context, pipeline.Batch) ([]pipeline.Envelope, error) {
			return nil, pipeline.Permanent(errors.New("bad"))
		}))
		sent := pipeline.Envelope{ID: "a", Queue: "q", Headers: map[string]string{"traceparent": "p", "replayed_by": "ada"}}
		if err := b.Publish(t.Context(), []pipeline.Envelope{sent}); err != nil {
			t.Fatal(err)
		}
		b.start(t)
		after(time.Minute)
		b.stop(t)
		letters := b.Queued("dead")
		if len(letters) != 1 || letters[0].Headers["traceparent"] != "p" || letters[0].Headers["replayed_by"] != "ada" || letters[0].Headers["error"] != "bad" {
			t.Errorf("letters %+v", letters)
		}
		if len(sent.Headers) != 2 {
			t.Errorf("the message's own headers are %v now", sent.Headers)
		}
	})
}

func TestADeathThatTheLedgerCannotHoldIsPublishedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(context.Context, pipeline.Batch) ([]pipeline.Envelope, error) {
			return nil, pipeline.Permanent(errors.New("bad"))
		}))
		b.ledger.deadErr = func(string) error { return pipeline.Permanent(errors.New("invalid byte sequence")) }
		b.start(t, "a")
		after(time.Minute)
		b.stop(t)
		wantIDs(t, "dead", b.in("dead"), "a")
		wantIDs(t, "acknowledged", b.acked(), "a")
	})
}

func TestADeathWaitsForTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(context.Context, pipeline.Batch) ([]pipeline.Envelope, error) {
			return nil, pipeline.Permanent(errors.New("bad"))
		}))
		var down atomic.Bool
		down.Store(true)
		b.ledger.deadErr = func(string) error {
			if down.Load() {
				return pipeline.Unavailable(errors.New("connection refused"))
			}
			return nil
		}
		b.start(t, "a")
		after(10 * time.Minute)
		wantIDs(t, "dead while the ledger is away", b.in("dead"), "")
		wantIDs(t, "kept by the broker", b.in("q"), "a")
		down.Store(false)
		after(10 * time.Minute)
		b.stop(t)
		wantIDs(t, "dead", b.in("dead"), "a")
		b.wantOrder(t, "bury a", "publish a to dead", "ack a")
	})
}

// A try is one call of a handler with one message.
type try struct {
	at      time.Duration
	attempt int
	waited  int
}

// tries runs a worker with one message that always fails with err.
func tries(t *testing.T, maxAttempts int, during time.Duration, err error) (all []try) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			all = append(all, try{time.Since(start).Truncate(time.Second), in[0].Attempt, in[0].Waited})
			return nil, err
		}))
		b.MaxAttempts = maxAttempts
		b.start(t, "a")
		after(during)
		b.stop(t)
	})
	return all
}

func TestWhatFailsIsTriedThreeTimesAtOnceAndThenLessAndLessOften(t *testing.T) {
	var pauses []time.Duration
	counts := map[int]int{}
	all := tries(t, 6, 24*time.Hour, errOdd)
	for i, tr := range all {
		counts[tr.attempt]++
		if tr.waited != 0 {
			t.Errorf("waited %d, want 0: the message itself failed", tr.waited)
		}
		if i > 0 && tr.attempt != all[i-1].attempt {
			pauses = append(pauses, (tr.at - all[i-1].at).Round(10*time.Second))
		}
	}
	if want := map[int]int{0: 3, 1: 3, 2: 3, 3: 3, 4: 3, 5: 3}; !maps.Equal(counts, want) {
		t.Errorf("calls by attempt %v, want %v", counts, want)
	}
	if want := []time.Duration{10 * time.Second, time.Minute, time.Minute, 10 * time.Minute, 10 * time.Minute}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
}

func TestWhatIsPacedIsTriedOnceAnAttempt(t *testing.T) {
	all := tries(t, 4, 24*time.Hour, fmt.Errorf("ask: %w", pipeline.Paced(errOdd)))
	for i, tr := range all {
		if tr.attempt != i || tr.waited != 0 {
			t.Errorf("try %d: attempt %d, waited %d, want %d and 0", i, tr.attempt, tr.waited, i)
		}
	}
	if len(all) != 4 {
		t.Errorf("%d tries, want 4", len(all))
	}
}

func TestLaterWaitsWithoutUsingUpAttempts(t *testing.T) {
	tests := []struct {
		ask                      time.Duration
		first, eleventh, twenty1 time.Duration
	}{
		{0, 10 * time.Second, time.Minute, 10 * time.Minute},
		{10 * time.Second, 10 * time.Second, time.Minute, 10 * time.Minute},
		{11 * time.Second, time.Minute, time.Minute, 10 * time.Minute},
		{5 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute},
		{time.Hour, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.ask.String(), func(t *testing.T) {
			all := tries(t, 2, 12*time.Hour, fmt.Errorf("ask: %w", pipeline.Later(errors.New("429"), tt.ask)))
			if len(all) < 25 {
				t.Fatalf("%d tries, want it to go on for ever", len(all))
			}
			for i, tr := range all {
				if tr.attempt != 0 || tr.waited != i {
					t.Fatalf("try %d: attempt %d, waited %d, want 0 and %d", i, tr.attempt, tr.waited, i)
				}
			}
			for i, want := range map[int]time.Duration{1: tt.first, 11: tt.eleventh, 21: tt.twenty1} {
				if got := all[i].at - all[i-1].at; got != want {
					t.Errorf("wait %d took %s, want %s", i, got, want)
				}
			}
		})
	}
}

func TestALongOutageGivesBackAndProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		var handled, probed atomic.Int64
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			handled.Add(1)
			if in[0].Attempt+in[0].Waited > 0 {
				t.Errorf("%s: attempt %d, waited %d after an outage", in[0].ID, in[0].Attempt, in[0].Waited)
			}
			if down.Load() {
				return nil, pipeline.Unavailable(errors.New("connection refused"))
			}
			return echo(in), nil
		}))
		b.Probe = func(context.Context) error {
			if n := probed.Add(1); down.Load() && n > 1 {
				return errors.New("connection refused")
			}
			return nil
		}
		b.start(t, "a", "b", "c")

		after(50 * time.Second)
		if n := b.times("release"); n != 0 {
			t.Error("gave back within a minute")
		}
		after(time.Minute)
		if b.times("release") != 1 {
			t.Errorf("gave back %d times in two minutes, want once", b.times("release"))
		}
		tried, asked := handled.Load(), probed.Load()
		after(time.Hour)
		if handled.Load() != tried {
			t.Errorf("took messages %d times while the server was away", handled.Load()-tried)
		}
		if n := probed.Load() - asked; n < 100 || n > 400 {
			t.Errorf("asked %d times in an hour, want every 15 to 30 seconds", n)
		}
		down.Store(false)
		after(time.Minute)
		b.stop(t)
		wantIDs(t, "published", b.in("next"), "a' b' c'")
		wantIDs(t, "dead", b.in("dead"), "")
	})
}

func TestWhatCameBackTwiceIsHandledAloneAfterItsStartIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled []string
		b := build(t, nil)
		b.Handler = handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			b.Note("handle " + strings.Join(in.IDs(), "+"))
			handled = append(handled, strings.Join(in.IDs(), "+"))
			return echo(in), nil
		})
		b.put(t, "a", "b")
		deliverTwiceInVain(t, b)
		b.start(t, "c", "d")
		after(time.Minute)
		b.stop(t)
		b.wantOrder(t, "start a", "handle a", "ack a")
		b.wantOrder(t, "start b", "handle b", "ack b")
		for _, batch := range handled {
			if strings.ContainsAny(batch, "ab") && len(batch) > 1 {
				t.Errorf("handled %s together", batch)
			}
		}
		if b.ledger.starts["c"] != 0 || b.times("returned a") != 0 {
			t.Errorf("starts %v, want none of c; a is done, so nothing has to say that it returned", b.ledger.starts)
		}
		wantIDs(t, "published", b.in("next"), "a' b' c' d'")
	})
}

// deliverTwiceInVain hands over what is in the queue and takes it back.
func deliverTwiceInVain(t *testing.T, b *house) {
	t.Helper()
	for range 2 {
		deliveries, err := b.Consume(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.Release()
		for range deliveries {
		}
	}
}

func TestTheFifthStartIsADeathWithoutAnother(t *testing.T) {
	for _, tt := range []struct {
		before  int
		handled bool
	}{{3, true}, {4, false}, {9, false}} {
		t.Run(fmt.Sprintf("%d starts before", tt.before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handled := false
				b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
					handled = handled || has(in, "a")
					return echo(in), nil
				}))
				b.ledger.starts["a"] = tt.before
				b.put(t, "a")
				deliverTwiceInVain(t, b)
				b.start(t, "b")
				after(time.Minute)
				b.stop(t)
				if handled != tt.handled {
					t.Errorf("handled: %v, want %v", handled, tt.handled)
				}
				if class := b.ledger.deaths["a"].Class; !tt.handled && class != "crashed" {
					t.Errorf("class %q, want crashed", class)
				}
				wantIDs(t, "acknowledged", b.acked(), "a b")
			})
		})
	}
}

func TestAStartThatReturnedDoesNotCount(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		breaks func(act string, e pipeline.Envelope) error
	}{
		{"it failed", errOdd, nil},
		{"it waits", pipeline.Later(errors.New("429"), 0), nil},
		{"an outage gave it back", pipeline.Unavailable(errors.New("connection refused")), nil},
		{"its acknowledgement failed", nil, func(act string, _ pipeline.Envelope) error {
			if act == "ack" {
				return errors.New("channel closed")
			}
			return nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
					return nil, tt.err
				}))
				b.MaxAttempts = 1 << 20
				b.put(t, "a")
				deliverTwiceInVain(t, b)
				b.Break = tt.breaks
				b.start(t)
				after(15 * time.Minute) // of outages too: more than five starts
				b.stop(t)
				b.wantOrder(t, "start a", "returned a")
				wantIDs(t, "dead", b.in("dead"), "")
			})
		})
	}
}

func TestAStopThatCutsAStartShortDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(ctx context.Context, _ pipeline.Batch) ([]pipeline.Envelope, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		b.put(t, "a")
		deliverTwiceInVain(t, b)
		b.start(t)
		after(time.Second)
		b.stop(t)
		b.wantOrder(t, "start a", "returned a")
	})
}

func TestAMessageThatTheLedgerRefusesDiesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) { return echo(in), nil }))
		b.ledger.startErr = func(id string) error {
			if id == "a" {
				return pipeline.Permanent(errors.New("invalid byte sequence for encoding"))
			}
			return nil
		}
		b.put(t, "a", "b")
		deliverTwiceInVain(t, b)
		b.start(t, "c")
		after(time.Minute)
		b.stop(t)
		wantIDs(t, "dead", b.in("dead"), "a")
		wantIDs(t, "published", b.in("next"), "b' c'")
	})
}

func TestSlotsRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			time.Sleep(time.Second)
			return echo(in), nil
		}))
		b.Slots, b.BatchSize = 3, 1
		b.start(t, "a", "b", "c", "d", "e", "f")
		var took time.Duration
		for len(b.acked()) < 6 {
			after(100 * time.Millisecond)
			took = time.Since(start)
		}
		b.stop(t)
		if took.Round(time.Second) != 2*time.Second {
			t.Errorf("six seconds of work in three slots took %s, want 2s", took)
		}
	})
}

func TestASlotThatFailsEndsTheSessionOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cut atomic.Bool
		b := build(t, handler(func(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
			if !cut.Load() && has(in, "slow") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return echo(in), nil
		}))
		b.Slots, b.BatchSize = 2, 1
		b.Break = func(act string, e pipeline.Envelope) error {
			if act == "ack" && !cut.Swap(true) {
				return errors.New("channel closed")
			}
			return nil
		}
		b.start(t, "slow", "a")
		after(time.Minute)
		b.stop(t)
		wantIDs(t, "acknowledged", b.acked(), "a slow")
	})
}

func TestAWorkerOutlivesABrokerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(_ context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) { return echo(in), nil }))
		b.Queue = "later"
		b.start(t)
		after(10 * time.Minute)
		b.stop(t)
		if n := b.times("release"); n != 0 {
			t.Errorf("%d sessions without a queue", n)
		}

		b = build(t, b.Handler)
		b.start(t, "a")
		synctest.Wait()
		for range 5 {
			b.Release() // the connection is cut
			after(time.Second)
			b.put(t, fmt.Sprint("after ", b.times("release")))
			after(time.Second)
		}
		b.stop(t)
		wantIDs(t, "left in the queue", b.in("q"), "")
	})
}

func TestABatchThatIsHeldForTooLongIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := build(t, handler(func(ctx context.Context, _ pipeline.Batch) ([]pipeline.Envelope, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		b.start(t, "a")
		after(29 * time.Minute)
		if err := b.Stuck(); err != nil {
			t.Errorf("after 29 minutes: %v", err)
		}
		after(2 * time.Minute)
		if err := b.Stuck(); err == nil {
			t.Error("after 31 minutes nothing is stuck")
		}
		b.stop(t)
		if err := b.Stuck(); err != nil {
			t.Errorf("after the stop: %v", err)
		}
	})
}
