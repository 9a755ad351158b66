// Package annotate keeps the tags of objects: what the rules of their source
// file say of their fields and of those above them.
//
// In: changes. Out: the same changes with the objects whose tags differ now, to
// rollup; and to itself the descendants whose rules look upward, objects whose
// tags failed and are tried again, and those that ask too much for one message.
package annotate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
)

// Name is the stage's name in the ledger.
const Name = "annotate"

// Stage implements pipeline.Handler.
type Stage struct {
	DB      *pgxpool.Pool
	Sources *catalog.Catalog
	Self    string                   // its own queue
	Next    string                   // the queue of rollup
	Lookups *Lookups                 // asks for http()
	Count   func(what string, n int) // told of what was committed; nil: nobody
	Log     *zap.Logger
}

// idsPerMessage bounds what annotate sends to itself.
const idsPerMessage = 1000

// Handle runs the annotators outside any transaction (some wait for others), and
// writes what they said after the inputs were read again under the locks of the
// tags: an object that changed meanwhile is annotated once more.
func (s *Stage) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	changes, err := pipeline.DecodeAll[event.Changes](in)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]event.Changes, len(in))
	versions := make(map[string]catalog.Version)
	wanted := map[int64]catalog.Version{}
	for i, c := range changes {
		version, err := s.Sources.Version(ctx, c.Version)
		if err != nil {
			return nil, err
		}
		byID[in[i].ID], versions[c.Version] = c, version
		want(wanted, c, version)
	}
	g, err := s.guess(ctx, changes, wanted)
	if err != nil {
		return nil, err
	}
	pipeline.Point("annotated")
	var results []postgres.Result
	out, err := postgres.Once(ctx, s.DB, Name, in, func(tx pgx.Tx, fresh pipeline.Batch) ([]postgres.Result, error) {
		wanted := map[int64]catalog.Version{}
		for _, d := range fresh {
			want(wanted, byID[d.ID], versions[byID[d.ID].Version])
		}
		for id := range g.deferred {
			delete(wanted, id)
		}
		said, err := s.write(ctx, tx, wanted, g)
		if err != nil {
			return nil, err
		}
		results = make([]postgres.Result, len(fresh))
		again := tries{}
		for i, d := range fresh {
			c := byID[d.ID]
			o := outcome{Envelope: d.Envelope, Changes: c, src: versions[c.Version].Source, said: said, deferred: g.deferred}
			if results[i], err = s.result(ctx, tx, o); err != nil {
				return nil, err
			}
			again.collect(i, o)
		}
		return results, again.emit(s.Self, fresh, results)
	})
	if err == nil {
		postgres.Report(s.Count, results)
		s.tell(g)
	}
	return out, err
}

// want collects the objects whose tags may differ, under the newest version that
// names them.
func want(wanted map[int64]catalog.Version, c event.Changes, version catalog.Version) {
	for _, o := range c.Objects {
		if (o.Self || o.Above) && !version.FirstUsed.Before(wanted[o.ID].FirstUsed) {
			wanted[o.ID] = version
		}
	}
}

// tell logs why tags failed, each reason once for all objects of a batch.
func (s *Stage) tell(g *guess) {
	reasons := map[string]int{}
	for _, note := range g.notes {
		for tag, f := range note.Failed {
			if f.unasked == "" {
				reasons[tag+": "+f.Reason]++
			}
		}
	}
	for reason, objects := range reasons {
		s.Log.Warn("annotator failed", zap.String("reason", reason), zap.Int("objects", objects))
	}
}

// said is what was written of objects, or stood there already.
type said struct {
	notes   map[int64]Annotation
	changed map[int64]bool // whether their tags did
	retry   map[int64]bool // whether they are to be tried again
}

// write locks the tags, annotates again what changed since the guess, and
// writes what differs.
func (s *Stage) write(ctx context.Context, tx pgx.Tx, wanted map[int64]catalog.Version, g *guess) (*said, error) {
	ids := make([]int64, 0, len(wanted))
	for id := range wanted {
		if _, ok := g.notes[id]; ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	stored, err := lock(ctx, tx, ids)
	if err != nil {
		return nil, fmt.Errorf("lock tags: %w", err)
	}
	now, err := g.again(ctx, tx, wanted)
	if err != nil {
		return nil, err
	}
	out := &said{notes: now, changed: make(map[int64]bool, len(now)), retry: map[int64]bool{}}
	var rows []tagRow
	for _, id := range ids {
		a, there := now[id]
		if old, was := stored[id]; there && !old.stands(a, wanted[id].FirstUsed) {
			row := newRow(id, a, old, was, wanted[id].FirstUsed)
			out.changed[id], out.retry[id] = row.changed, row.Retry
			if !was || !row.same(old) {
				rows = append(rows, row)
			}
		}
	}
	cleared, err := clearTags(ctx, tx, wanted, now)
	if err != nil {
		return nil, fmt.Errorf("clear tags: %w", err)
	}
	for _, id := range cleared {
		out.changed[id], now[id] = true, Annotation{}
	}
	return out, save(ctx, tx, rows)
}

// again annotates objects as they are now, but for those whose inputs are those of
// the guess. Nobody is asked within a transaction: what needs that fails, and is
// tried again.
func (g *guess) again(ctx context.Context, tx pgx.Tx, wanted map[int64]catalog.Version) (map[int64]Annotation, error) {
	subjects, err := read(ctx, tx, wanted)
	if err != nil {
		return nil, err
	}
	now := make(map[int64]Annotation, len(subjects))
	for id, s := range subjects {
		if note, ok := g.notes[id]; ok && bytes.Equal(note.Inputs, s.inputs) {
			now[id] = note
		} else if now[id], err = s.annotate(g.known[s.version.Name]); err != nil {
			return nil, err
		}
	}
	return now, nil
}

// An outcome is what an input and all others of its batch came to.
type outcome struct {
	pipeline.Envelope
	event.Changes
	*said
	src      *source.Source
	deferred map[int64]bool
}

// result says what follows from one input.
func (s *Stage) result(ctx context.Context, tx pgx.Tx, of outcome) (postgres.Result, error) {
	r := postgres.Result{Source: of.Source, Counts: map[string]int{}}
	next := event.Changes{Source: of.Source, Version: of.Version}
	var differ, later []event.Change // differ: the tags of their descendants may too
	for _, o := range of.Objects {
		if of.deferred[o.ID] && (o.Self || o.Above) {
			later = append(later, o)
			continue
		}
		if o.Self && !o.New {
			differ = append(differ, o)
		}
		if note, ok := of.notes[o.ID]; ok && (o.Self || o.Above) {
			r.Counts[map[bool]string{true: "tags.changed", false: "tags.unchanged"}[of.changed[o.ID]]]++
			_, final := note.passing()
			r.Counts["tags.failed"] += final
			o.Self = o.Self || of.changed[o.ID]
			delete(of.changed, o.ID) // counted by the first input that names it
		}
		if o.Above = false; o.Self || len(o.Days) > 0 {
			next.Objects = append(next.Objects, o)
		}
	}
	if len(next.Objects) > 0 {
		out, err := of.Emit(s.Next, "", next)
		if err != nil {
			return r, err
		}
		r.Outputs = append(r.Outputs, out)
	}
	apart, err := s.apart(of, later)
	if err != nil {
		return r, err
	}
	below, err := s.descendants(ctx, tx, of.Envelope, of.Changes, of.src, differ)
	r.Outputs = append(append(r.Outputs, apart...), below...)
	return r, err
}

// apart returns the messages of objects that are annotated later, so many in each
// that a worker asks for all of them at once.
func (s *Stage) apart(of outcome, later []event.Change) (out []pipeline.Envelope, err error) {
	for some := range slices.Chunk(later, share) {
		e, err := of.Emit(s.Self, "apart/"+strconv.Itoa(len(out)), event.Changes{Source: of.Source, Version: of.Version, Try: of.Try, Objects: some})
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// descendants returns the messages that annotate sends to itself: the objects
// below those that differ whose rules look up to them. An object that is new as
// it is has none that were annotated without it.
func (s *Stage) descendants(ctx context.Context, tx pgx.Tx, e pipeline.Envelope, c event.Changes, src *source.Source, differ []event.Change) ([]pipeline.Envelope, error) {
	if len(differ) == 0 || !looksUp(src) {
		return nil, nil
	}
	ids, err := below(ctx, tx, src, differ)
	if err != nil {
		return nil, fmt.Errorf("descendants: %w", err)
	}
	var out []pipeline.Envelope
	for chunk := range slices.Chunk(ids, idsPerMessage) {
		again := event.Changes{Source: c.Source, Version: c.Version}
		for _, id := range chunk {
			again.Objects = append(again.Objects, event.Change{ID: id, Above: true})
		}
		envelope, err := e.Emit(s.Self, strconv.Itoa(len(out)), again)
		if err != nil {
			return nil, err
		}
		out = append(out, envelope)
	}
	return out, nil
}

func looksUp(src *source.Source) bool {
	return slices.ContainsFunc(src.Types(), func(t *source.Type) bool { return len(src.LooksUp(t.Name)) > 0 })
}
