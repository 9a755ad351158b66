package rollup

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/tree"
)

// A DocumentForecast is a document that would be written.
type DocumentForecast struct {
	ID   string
	New  bool         // it does not stand yet
	Days []metric.Day // that would be written; none: its fields alone
	All  bool         // all of its days would
}

// Foresee says which documents would be written after changes that a transaction
// has made, by the rules that mark them; it computes none.
func Foresee(ctx context.Context, tx pgx.Tx, src *source.Source, changes []event.Change) ([]DocumentForecast, error) {
	var s Stage
	m, err := s.marks(ctx, tx, []input{{Changes: event.Changes{Source: src.Name, Objects: changes}, src: src}})
	if err != nil {
		return nil, err
	}
	var rows []dirtyRow
	var objects []int64
	for t, at := range m.of {
		slices.Sort(at.days)
		rows = append(rows, dirtyRow{Object: t.object, Half: t.half, Self: at.self, Days: slices.Compact(at.days), All: at.whole})
		objects = append(objects, t.object)
	}
	known, err := knownHalves(ctx, tx, objects)
	if err != nil {
		return nil, err
	}
	nodes, err := tree.Up(ctx, tx, objects)
	if err != nil {
		return nil, err
	}
	wants, _ := expand(rows, known)
	documents := make([]DocumentForecast, len(wants))
	for i, w := range wants {
		d := Document{Node: nodes[w.Object], Half: w.Half}
		documents[i] = DocumentForecast{d.ID(), !slices.Contains(known[w.Object], w.Half), w.Days, w.All}
	}
	return documents, nil
}
