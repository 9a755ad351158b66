package console_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/deadletter"
	"github.com/leatflow/leat/services/fetch"
)

// Several consoles get the same letters, more than once: each is one row.
func TestALetterIsFiledOnce(t *testing.T) {
	h := newHouse(t)
	letters := deadOnes("m", 300)
	h.publish(letters...)
	h.publish(letters...)
	big := dead("big")
	big.Body = []byte(`{"source":"ads","pad":"` + strings.Repeat("x", 1<<20) + `"}`) // travels compressed
	h.start(2)
	h.publish(letters...)
	h.publish(big)
	h.untilFiled(301)
	h.until("the queue to be empty", func() bool { return len(h.drain(rabbit.Dead)) == 0 })
	if n := h.count(`SELECT count(*) FROM dead_letters`); n != 301 {
		t.Errorf("%d rows, want 301", n)
	}
	if n := h.count(`SELECT count(*) FROM dead_letters WHERE message_id = 'big' AND body = $1`, []byte(big.Body)); n != 1 {
		t.Error("the body was not kept as it was before it was compressed")
	}
	d := h.list(deadletter.Filter{})[300]
	if d.State != "dead" || d.Stage != "delta" || d.Class != "permanent" || d.Source != "ads" || d.Error != "no object 12" || d.Attempts != 4 ||
		!d.DiedAt.Equal(time.Date(2026, 11, 20, 10, 0, 0, 5e8, time.UTC)) || d.Group == "" {
		t.Errorf("filed as %+v", d)
	}
}

// What people publish by hand, and what breaks rules, is filed like the rest.
func TestAnythingCanBeFiled(t *testing.T) {
	h := newHouse(t)
	odd := []pipeline.Envelope{
		{Queue: rabbit.Dead, Kind: event.KindJob, At: time.Now()},
		{Queue: rabbit.Dead, Kind: event.KindJob, At: time.Now(), Body: []byte("\x00\xff not text")},
		{Queue: rabbit.Dead, ID: "nul\x00", Kind: "k\x00", At: time.Now(), Key: "\x00", Body: []byte(`{"source":"a\u0000b"}`),
			Headers: map[string]string{"error": "a\x00b\xff", "error_class": strings.Repeat("c", 300), "stage": strings.Repeat("s", 5000), "a\x00": "b", "attempts": "-9", "died_at": "x"}},
		{Queue: rabbit.Dead, ID: "late", Kind: event.KindJob, At: time.Date(200_000, 1, 1, 0, 0, 0, 0, time.UTC), Body: []byte(`{"source":7}`),
			Headers: map[string]string{"died_at": "9999-12-31T23:59:59-23:59", "origin_queue": "somewhere", "attempts": "99999999999999999999"}},
		{Queue: rabbit.Dead, ID: "job", Kind: event.KindJob, At: time.Now(), Job: "no uuid", Body: []byte(`[]`)},
	}
	h.publish(odd...)
	h.start(1)
	h.untilFiled(len(odd))
	if n := len(h.drain("leat.wait.10m")); n != 0 {
		t.Errorf("%d letters could not be filed and wait", n)
	}
	ids, err := h.store.IDs(t.Context(), deadletter.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Start(t.Context(), deadletter.Plan{IDs: ids, By: tester}); err == nil || !strings.Contains(err.Error(), "no stage to go back to") {
		t.Errorf("replay of letters that have no stage: %v", err)
	}
}

func TestGroupsFiltersAndPages(t *testing.T) {
	h := newHouse(t)
	job := "0198f1c2-0000-7000-8000-000000000001"
	vary := func(id string, change func(*pipeline.Envelope)) pipeline.Envelope {
		e := dead(id)
		change(&e)
		return e
	}
	sent := pipeline.Envelope{ID: "nightly", Kind: event.KindJob, Queue: rabbit.Dead, At: time.Now(), Body: []byte(`{"source":"adz"}`),
		Headers: map[string]string{"error": `source: found "adz"`, "error_class": "permanent", "stage": "fetch", "origin_queue": rabbit.Fetch, "died_at": "2026-11-22T00:00:00Z"}}
	h.file(
		vary("a", func(e *pipeline.Envelope) { e.Headers["error"] = "no object 1" }),
		vary("b", func(e *pipeline.Envelope) { e.Headers["error"] = "no object 2"; e.Job = job }),
		vary("c", func(e *pipeline.Envelope) {
			e.Headers["error"] = "no object 3"
			e.Headers["died_at"] = "2026-11-21T00:00:00Z"
		}),
		vary("d", func(e *pipeline.Envelope) {
			e.Headers["error"], e.Headers["error_class"] = "started 5 times", "crashed"
		}),
		sent,
	)
	groups, err := h.store.Groups(t.Context(), deadletter.Filter{}, 10)
	if err != nil || len(groups) != 3 || groups[0].Count != 3 || groups[0].Shape != "no object N" {
		t.Fatalf("groups %+v, %v; want three, the first of three", groups, err)
	}
	if g := groups[0]; !g.First.Equal(time.Date(2026, 11, 20, 10, 0, 0, 5e8, time.UTC)) || !g.Last.Equal(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("first %s, last %s", g.First, g.Last)
	}
	since := time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC)
	for what, test := range map[string]struct {
		f    deadletter.Filter
		want string
	}{
		"stage":       {deadletter.Filter{Stage: "fetch"}, "nightly"},
		"class":       {deadletter.Filter{Class: "crashed"}, "d"},
		"source":      {deadletter.Filter{Source: "adz"}, "nightly"},
		"job":         {deadletter.Filter{Job: job}, "b"},
		"of a sender": {deadletter.Filter{Job: fetch.JobID("adz", "nightly")}, "nightly"},
		"group":       {deadletter.Filter{Group: groups[0].Group[:8]}, "a b c"},
		"since":       {deadletter.Filter{Since: &since}, "c nightly"},
		"state":       {deadletter.Filter{State: "dropped"}, ""},
		"all":         {deadletter.Filter{State: "all"}, "a b c d nightly"},
	} {
		var ids []string
		for _, d := range h.list(test.f) {
			ids = append(ids, d.MessageID)
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != test.want {
			t.Errorf("by %s: %q, want %q", what, got, test.want)
		}
	}
	page, err := h.store.List(t.Context(), deadletter.Filter{}, 0, 2)
	if err != nil || len(page) != 2 {
		t.Fatalf("page %v, %v", page, err)
	}
	rest, err := h.store.List(t.Context(), deadletter.Filter{}, page[1].ID, 10)
	if err != nil || len(rest) != 3 || rest[0].ID >= page[1].ID {
		t.Errorf("the next page %v, %v; want three more", rest, err)
	}
}
