package fetch

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/leatflow/leat/pkg/pipeline"
)

// A worker that is killed at a slice leaves that one alone to be done again, and
// its request too only if the answer was not kept yet.
func TestAKilledWorkerRepeatsOneSlice(t *testing.T) {
	for moment, again := range map[string]int{"before its answer is kept": 1, "while it is cut": 0} {
		b := newBench(t)
		b.source("", "report: {path: '/r?d={from}', slice: 1d, lookback: 5d}")
		slices := b.slicesOf(backfill)
		ctx, kill := context.WithCancel(t.Context())
		b.answer = func(w http.ResponseWriter, r *http.Request) {
			if again > 0 && len(b.requests) == 3 {
				kill()
			}
			fmt.Fprintf(w, `{"ads":[{"id":"a1","date":%q,"clicks":3}]}`, r.URL.Query().Get("d"))
		}
		for i, e := range slices[:3] {
			if i == 2 && again == 0 {
				b.sink.fails = 1
			}
			if _, err := b.Handle(ctx, pipeline.Batch{{Envelope: e}}); (err != nil) != (i == 2) {
				t.Fatalf("%s: slice %d: %v", moment, i, err)
			}
		}
		kill()
		for _, e := range slices { // the first two were never acknowledged either
			b.must(e)
		}
		ids := map[string]bool{}
		for _, part := range b.sink.all() {
			ids[part.ID] = true
		}
		if b.asked() != 5+again || len(ids) != 5 {
			t.Errorf("%s: asked %d times for 5 slices, %d parts", moment, b.asked(), len(ids))
		}
	}
}
