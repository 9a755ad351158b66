package console_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/deadletter"
)

// 10,000 letters are replayed by three consoles while new ones arrive: exactly
// those, once each.
func TestAReplayIsExactlyItsSnapshot(t *testing.T) {
	h := newHouse(t)
	n := 10_000
	if testing.Short() {
		n = 1_000
	}
	h.publish(deadOnes("old", n)...)
	h.start(3)
	h.untilFiled(n)

	arriving, stop := context.WithCancel(t.Context())
	arrived := make(chan int)
	go func() {
		i := 0
		for every := time.NewTicker(10 * time.Millisecond); arriving.Err() == nil; i++ {
			<-every.C
			if err := h.broker.Publish(context.WithoutCancel(arriving), deadOnes(fmt.Sprint("new", i, "-"), 20)); err != nil {
				t.Error(err)
			}
		}
		arrived <- 20 * i
	}()
	r := h.replay(deadletter.Filter{}, 0)
	h.until("new letters to be filed during the replay", func() bool { return h.count(`SELECT count(*) FROM dead_letters`) > r.Total+100 })
	end := h.untilDone(r.ID)
	stop()
	all := n + <-arrived
	h.untilFiled(all)
	if end.State != deadletter.Done || end.Sent != r.Total || r.Total < n {
		t.Errorf("replay %+v, began with %d", end, r.Total)
	}
	sent := map[string]int{}
	for _, d := range h.drain(rabbit.Delta) {
		sent[d.MessageId]++
	}
	if len(sent) != r.Total {
		t.Errorf("%d messages went back, want %d", len(sent), r.Total)
	}
	for _, d := range h.list(deadletter.Filter{State: deadletter.All}) {
		want := 0
		if d.ReplayID != nil {
			want = 1
		}
		if sent[d.MessageID] != want {
			t.Fatalf("%s (%s) was sent %d times, want %d", d.MessageID, d.State, sent[d.MessageID], want)
		}
	}
	if left := h.count(`SELECT count(*) FROM dead_letters WHERE state = 'dead'`); left != all-r.Total {
		t.Errorf("%d are dead still, want %d", left, all-r.Total)
	}
}

// What goes back is the message as it was, with a mark of who and why.
func TestWhatGoesBack(t *testing.T) {
	h := newHouse(t)
	e := dead("m")
	e.Replay, e.Job = 1, "0198f1c2-0000-7000-8000-000000000001"
	h.publish(e)
	died := h.drain(rabbit.Dead)[0]
	died.Headers["x-delivery-count"], died.Headers["x-death"] = int64(3), []any{amqp.Table{"queue": rabbit.Delta, "reason": "delivery_limit"}} // as the broker adds them
	h.publishAsItIs(rabbit.Dead, died)
	h.start(1)
	h.untilFiled(1)
	h.untilDone(h.replay(deadletter.Filter{}, 0).ID)
	got := h.drain(rabbit.Delta)
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	d := got[0]
	want := amqp.Table{"cause": "c", "key": "k", "replay": int64(2), "replayed_by": "tester@host", "replay_why": "a test", "traceparent": "p"}
	if fmt.Sprint(d.Headers) != fmt.Sprint(want) {
		t.Errorf("headers %v, want %v", d.Headers, want)
	}
	if d.MessageId != "m" || d.Type != e.Kind || d.CorrelationId != e.Job || !d.Timestamp.Equal(e.At) || d.Priority != 5 || string(d.Body) != string(e.Body) {
		t.Errorf("went back as %+v", d)
	}
}

// A dyingSink publishes, and dies before it says so.
type dyingSink struct {
	pipeline.Sink
	left atomic.Int64
}

var errDied = errors.New("died")

func (s *dyingSink) Publish(ctx context.Context, out []pipeline.Envelope) error {
	if err := s.Sink.Publish(ctx, out); err != nil {
		return err
	}
	if s.left.Add(-1) < 0 {
		return errDied
	}
	return nil
}

// A sender that dies between publishing and marking is followed by another, which
// goes on where the marks end: what went twice has one id and one replay number.
func TestAReplayGoesOnAfterACrash(t *testing.T) {
	h := newHouse(t)
	h.file(deadOnes("m", 1200)...)
	r := h.replay(deadletter.Filter{}, 0)
	dying := &dyingSink{Sink: h.broker}
	dying.left.Store(1)
	first := deadletter.Sender{DB: h.db, Sink: dying}
	if sent, _, err := first.Step(t.Context()); sent == 0 || err != nil {
		t.Fatalf("first step: %d, %v", sent, err)
	}
	if _, _, err := first.Step(t.Context()); !errors.Is(err, errDied) {
		t.Fatalf("second step: %v", err)
	}
	if now := h.replayNow(r.ID); now.State != deadletter.Running || now.Sent != 500 {
		t.Errorf("after the crash: %+v", now)
	}
	h.start(1)
	if end := h.untilDone(r.ID); end.Sent != 1200 || end.State != deadletter.Done {
		t.Errorf("at the end: %+v", end)
	}
	ids := map[string]int{}
	for _, d := range h.drain(rabbit.Delta) {
		ids[d.MessageId]++
		if d.Headers["replay"] != int64(1) {
			t.Fatalf("%s has replay %v", d.MessageId, d.Headers["replay"])
		}
	}
	twice := 0
	for _, n := range ids {
		if n == 2 {
			twice++
		}
	}
	if len(ids) != 1200 || twice != 500 {
		t.Errorf("%d messages, %d of them twice; want 1200, and the 500 of the crash twice", len(ids), twice)
	}
}

func TestARateIsKept(t *testing.T) {
	h := newHouse(t)
	h.file(deadOnes("m", 60)...)
	h.start(2)
	begun := time.Now()
	r := h.replay(deadletter.Filter{}, 20)
	h.untilDone(r.ID)
	if took := time.Since(begun); took < 2*time.Second || took > 8*time.Second {
		t.Errorf("60 letters at 20 a second took %s, want about 3 s", took)
	}
}

func TestAReplayIsPausedResumedAndCancelled(t *testing.T) {
	h := newHouse(t)
	h.file(deadOnes("m", 1000)...)
	h.start(2)
	r := h.replay(deadletter.Filter{}, 100)
	h.until("some to be sent", func() bool { return h.replayNow(r.ID).Sent > 0 })
	control := func(action string) deadletter.Replay {
		t.Helper()
		now, err := h.store.Control(t.Context(), r.ID, action, tester, "because")
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	paused := control(audit.Pause)
	h.file(dead("other"))
	h.untilDone(h.replay(deadletter.Filter{}, 0).ID) // the consoles are at work
	if now := h.replayNow(r.ID); now.Sent != paused.Sent || now.State != deadletter.Paused {
		t.Errorf("paused at %+v, now %+v", paused, now)
	}
	if _, err := h.store.Control(t.Context(), r.ID, audit.Pause, tester, ""); !errors.Is(err, deadletter.ErrAsked) {
		t.Errorf("paused twice: %v", err)
	}
	control(audit.Resume)
	h.until("more to be sent", func() bool { return h.replayNow(r.ID).Sent > paused.Sent })
	end := control(audit.Cancel)
	if left := h.count(`SELECT count(*) FROM dead_letters WHERE state = 'dead'`); left != 1000-end.Sent {
		t.Errorf("%d are dead again, %d were sent", left, end.Sent)
	}
	if got := len(h.drain(rabbit.Delta)); got != end.Sent+1 {
		t.Errorf("%d messages went back, want %d", got, end.Sent+1)
	}
	if got, want := h.actions(), "cancel pause replay replay resume"; got != want {
		t.Errorf("audit has %q, want %q", got, want)
	}
	r = h.replay(deadletter.Filter{}, 0) // what was cancelled can be replayed
	if got := h.untilDone(r.ID).Sent; got != 1000-end.Sent {
		t.Errorf("%d were sent then", got)
	}
}

// actions are what audit has of the tester, sorted.
func (h *house) actions() string {
	h.t.Helper()
	rows, err := audit.List(h.t.Context(), h.db, audit.Filter{Limit: 1000})
	if err != nil {
		h.t.Fatal(err)
	}
	var all []string
	for _, r := range rows {
		if r.Who != tester.Who || r.Via != tester.Via {
			h.t.Errorf("audit says %s by %s", r.Who, r.Via)
		}
		all = append(all, r.Action)
	}
	slices.Sort(all)
	text := fmt.Sprint(all)
	return text[1 : len(text)-1]
}

// A message that dies again is a letter of its own, linked to the first.
func TestADeathAgainIsLinkedToTheFirst(t *testing.T) {
	h := newHouse(t)
	h.file(dead("m"), dead("other"))
	h.start(1)
	first := h.list(deadletter.Filter{})
	slices.SortFunc(first, func(a, b deadletter.Letter) int { return int(a.ID - b.ID) })
	r := h.replay(deadletter.Filter{IDs: []int64{first[0].ID}}, 0)
	h.untilDone(r.ID)
	for replay := 1; replay <= 2; replay++ {
		again := dead(first[0].MessageID)
		again.Replay = replay
		h.publish(again, again)
		h.untilFiled(2 + replay)
	}
	shown, err := h.store.Show(t.Context(), h.list(deadletter.Filter{})[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.Deaths) != 3 || shown.FirstID == nil || *shown.FirstID != first[0].ID {
		t.Errorf("shown %+v; want three deaths, and the first", shown)
	}
	if now := h.replayNow(r.ID); now.DiedAgain != 1 {
		t.Errorf("%d of the replay died again, want 1", now.DiedAgain)
	}
}

func TestDroppedLettersStay(t *testing.T) {
	h := newHouse(t)
	h.file(deadOnes("m", 3)...)
	ids, err := h.store.IDs(t.Context(), deadletter.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Drop(t.Context(), ids[:2], tester, ""); !errors.Is(err, deadletter.ErrAsked) {
		t.Errorf("dropped without a reason: %v", err)
	}
	if n, err := h.store.Drop(t.Context(), ids[:2], tester, "old"); n != 2 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if got := len(h.list(deadletter.Filter{State: deadletter.Dropped})); got != 2 {
		t.Errorf("%d are dropped", got)
	}
	if r := h.replay(deadletter.Filter{}, 0); r.Total != 1 {
		t.Errorf("a replay of the dead has %d letters, want 1", r.Total)
	}
	if r := h.replay(deadletter.Filter{State: deadletter.Dropped}, 0); r.Total != 2 {
		t.Errorf("a replay of the dropped has %d letters, want 2", r.Total)
	}
	if got, want := h.actions(), "drop replay replay"; got != want {
		t.Errorf("audit has %q, want %q", got, want)
	}
}
