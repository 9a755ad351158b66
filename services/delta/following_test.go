package delta

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

func TestWhatFollowsFromABatchIsOneMessageWhicheverIsDeliveredAgain(t *testing.T) {
	b := newBench(t, total)
	texts := []string{`12:00; !a1 in=c1; a1 clicks=3`, `12:00; a1 clicks=3`, `12:01; !a2 in=c1; a2 clicks=4`, `12:02; !a3 in=c1; a3 clicks=5`}
	out := b.handle(texts...)
	if len(out) != 1 {
		t.Fatalf("%d messages, want 1", len(out))
	}
	changes, err := pipeline.Decode[event.Changes](out[0])
	if err != nil {
		t.Fatal(err)
	}
	want := b.text(`SELECT array_agg(id ORDER BY id)::text FROM objects`)
	var ids []int64
	for _, c := range changes.Objects {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	if got := fmt.Sprint(slices.Compact(ids)); strings.NewReplacer("[", "{", "]", "}", " ", ",").Replace(got) != want {
		t.Errorf("the message names %s, the batch changed %s", got, want)
	}

	var again []pipeline.Envelope // the worker died before it published, and others get the parts one by one
	for _, text := range texts {
		again = append(again, b.handle(text)...)
	}
	if len(again) != 1 || again[0].ID != out[0].ID || !sameJSON(again[0].Body, out[0].Body) {
		t.Errorf("delivered again: %+v, the first time %+v", again, out)
	}

	job := b.job
	b.job = b.newJob()
	other := b.batch(`13:00; a1 clicks=7`)
	b.job = job
	if out, err := b.stage().Handle(t.Context(), append(b.batch(`13:00; a2 clicks=8`), other...)); err != nil || len(out) != 2 {
		t.Errorf("two jobs: %d messages, %v", len(out), err)
	}
}
