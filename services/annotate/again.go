package annotate

import (
	"slices"
	"strconv"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

// Tries is how often a tag is tried that fails for a reason that may pass: over
// half an hour. Then it stays failed, until its object changes or somebody asks
// for it.
const Tries = 13

// waitAfter is how long a failed try is waited: three times each of Waits.
func waitAfter(try int) time.Duration { return pipeline.Waits[min(try/3, len(pipeline.Waits)-1)] }

// A series is what the objects to be tried again have in common: one message is
// enough for all of a batch.
type series struct {
	job, version string
	try          int
}

// tries are the objects of a batch that are to be tried again.
type tries map[series]*retry

type retry struct {
	input   int     // the first of the series, from which the messages follow
	failed  []int64 // a try was used up
	unasked []int64 // it was not
	tags    int     // of the failed
	wait    time.Duration
}

// collect adds the objects of an input, each of which the first that names it takes.
func (t tries) collect(input int, of outcome) {
	key := series{of.Job, of.Version, of.Try}
	for _, o := range of.Objects {
		if !of.retry[o.ID] || !o.Self && !o.Above {
			continue
		}
		delete(of.retry, o.ID)
		r := t[key]
		if r == nil {
			r = &retry{input: input}
			t[key] = r
		}
		r.add(o.ID, of.notes[o.ID])
	}
}

func (r *retry) add(id int64, note Annotation) {
	passing, _ := note.passing()
	for _, f := range note.Failed {
		if f.Passes && f.late == nil && f.unasked == "" {
			r.failed, r.tags = append(r.failed, id), r.tags+passing
			return
		}
		if f.late != nil {
			r.wait = max(r.wait, f.late.wait)
		}
	}
	r.unasked = append(r.unasked, id)
}

// emit adds the messages to the results of the inputs that they follow from.
func (t tries) emit(self string, in pipeline.Batch, results []postgres.Result) error {
	for key, r := range t {
		result := &results[r.input]
		what := "tags.retried"
		if key.try+1 >= Tries {
			what = "tags.failed"
		} else if err := r.send(self, "again", in[r.input], result, r.failed, key.try+1, waitAfter(key.try)); err != nil {
			return err
		}
		if r.tags > 0 {
			result.Counts[what] += r.tags
		}
		if err := r.send(self, "unasked", in[r.input], result, r.unasked, key.try, max(r.wait, pipeline.Waits[0])); err != nil {
			return err
		}
	}
	return nil
}

func (r *retry) send(self, key string, from pipeline.Delivery, result *postgres.Result, ids []int64, try int, wait time.Duration) error {
	c, err := pipeline.Decode[event.Changes](from.Envelope)
	if err != nil {
		return err
	}
	slices.Sort(ids)
	n := 0
	for some := range slices.Chunk(ids, idsPerMessage) {
		again := event.Changes{Source: c.Source, Version: c.Version, Try: try}
		for _, id := range some {
			again.Objects = append(again.Objects, event.Change{ID: id, Above: true})
		}
		e, err := from.Emit(self, key+"/"+strconv.Itoa(n), again)
		if err != nil {
			return err
		}
		e.Wait = wait
		result.Outputs = append(result.Outputs, e)
		n++
	}
	return nil
}
