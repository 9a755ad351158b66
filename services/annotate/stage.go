// Package annotate keeps the tags of objects: what the rules of their source
// file say of their fields and of those above them.
//
// In: changes. Out: the same changes with the objects whose tags differ now, to
// rollup; and to itself the descendants whose rules look upward.
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
	"github.com/leatflow/leat/services/tree"
)

// Name is the stage's name in the ledger.
const Name = "annotate"

// Stage implements pipeline.Handler.
type Stage struct {
	DB      *pgxpool.Pool
	Sources *catalog.Catalog
	Self    string                   // its own queue
	Next    string                   // the queue of rollup
	Count   func(what string, n int) // told of what was committed; nil: nobody
	Log     *zap.Logger
}

// idsPerMessage bounds what annotate sends to itself.
const idsPerMessage = 1000

// Handle runs the annotators outside any transaction (they may take long), and
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
	guess, err := Annotate(ctx, s.DB, wanted, nil, s.warn)
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
		tagged, annotated, err := s.write(ctx, tx, wanted, guess)
		if err != nil {
			return nil, err
		}
		results = make([]postgres.Result, len(fresh))
		for i, d := range fresh {
			c := byID[d.ID]
			if results[i], err = s.result(ctx, tx, d.Envelope, c, versions[c.Version].Source, tagged, annotated); err != nil {
				return nil, err
			}
		}
		return results, nil
	})
	if err == nil {
		postgres.Report(s.Count, results)
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

func (s *Stage) warn(node *tree.Node, tag string, err error) {
	s.Log.Warn("annotator failed", zap.String("source", node.Source), zap.String("object", node.Type+"/"+node.Key), zap.String("tag", tag), zap.Error(err))
}

// write locks the tags, annotates again what changed since the guess, and
// writes what differs. It reports of each object whether its tags changed.
func (s *Stage) write(ctx context.Context, tx pgx.Tx, wanted map[int64]catalog.Version, guess map[int64]Annotation) (map[int64]bool, map[int64]Annotation, error) {
	ids := make([]int64, 0, len(wanted))
	for id := range wanted {
		if _, ok := guess[id]; ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	stored, err := lock(ctx, tx, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("lock tags: %w", err)
	}
	now, err := Annotate(ctx, tx, wanted, guess, s.warn)
	if err != nil {
		return nil, nil, err
	}
	var rows []tagRow
	changed := make(map[int64]bool, len(now))
	for _, id := range ids {
		a := now[id]
		old, there := stored[id]
		if a.Inputs == nil || bytes.Equal(a.Inputs, old.Inputs) || old.VersionAt.After(wanted[id].FirstUsed) {
			continue
		}
		changed[id] = !bytes.Equal(a.Tags, old.Tags) && (there || string(a.Tags) != NoTags)
		rows = append(rows, tagRow{Kept{a.Tags, a.Inputs, wanted[id].FirstUsed}, id, changed[id], !there})
	}
	cleared, err := clearTags(ctx, tx, wanted, guess)
	if err != nil {
		return nil, nil, fmt.Errorf("clear tags: %w", err)
	}
	for _, id := range cleared {
		changed[id], now[id] = true, Annotation{}
	}
	return changed, now, save(ctx, tx, rows)
}

// result says what follows from one input.
func (s *Stage) result(ctx context.Context, tx pgx.Tx, e pipeline.Envelope, c event.Changes, src *source.Source,
	tagged map[int64]bool, annotated map[int64]Annotation) (postgres.Result, error) {
	r := postgres.Result{Source: c.Source, Counts: map[string]int{}}
	next := event.Changes{Source: c.Source, Version: c.Version}
	var differ []event.Change // whose descendants' tags may differ too
	for _, o := range c.Objects {
		if o.Self && !o.New {
			differ = append(differ, o)
		}
		if _, ok := annotated[o.ID]; ok && (o.Self || o.Above) {
			r.Counts[map[bool]string{true: "tags.changed", false: "tags.unchanged"}[tagged[o.ID]]]++
			r.Counts["tags.failed"] += annotated[o.ID].Failed
			o.Self = o.Self || tagged[o.ID]
			delete(tagged, o.ID) // counted by the first input that names it
		}
		if o.Above = false; o.Self || len(o.Days) > 0 {
			next.Objects = append(next.Objects, o)
		}
	}
	if len(next.Objects) > 0 {
		out, err := e.Emit(s.Next, "", next)
		if err != nil {
			return r, err
		}
		r.Outputs = append(r.Outputs, out)
	}
	below, err := s.descendants(ctx, tx, e, c, src, differ)
	r.Outputs = append(r.Outputs, below...)
	return r, err
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
