package rollup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/tree"
)

type input struct {
	event.Changes
	src *source.Source
	job string
}

const (
	allHalves = ""    // a mark of all documents that an object has
	noHalf    = "all" // the half of a document without days
	soon      = time.Second
)

// A target is a document that a mark is for, or all of an object's.
type target struct {
	object int64
	half   string
	job    string
}

// Marks are the days to be written, by document.
type marks struct {
	days  map[target]map[metric.Day]bool
	whole map[target]bool // all days
	roots map[int64]int64
	soon  map[string]bool // jobs whose documents are wanted within a second
}

func (m *marks) add(n *tree.Node, half, job string, days ...metric.Day) {
	t := target{n.ID, half, job}
	if m.days[t] == nil {
		m.days[t] = map[metric.Day]bool{}
	}
	for _, d := range days {
		m.days[t][d] = true
	}
	m.roots[n.ID] = n.Root().ID
}

// addDays marks days of an object and of all that stand above it.
func (m *marks) addDays(n *tree.Node, job string, days []metric.Day) {
	for ; n != nil; n = n.Parent {
		for _, d := range days {
			m.add(n, d.Half(), job, d)
		}
	}
}

// addWhole marks all documents of an object and of all that stand above it.
func (m *marks) addWhole(n *tree.Node, job string) {
	for ; n != nil; n = n.Parent {
		m.add(n, allHalves, job)
		m.whole[target{n.ID, allHalves, job}] = true
	}
}

// addSelf marks what an object's own fields are in: all its documents, and the
// one without days where its type has that.
func (m *marks) addSelf(n *tree.Node, src *source.Source, job string) {
	m.add(n, allHalves, job)
	if t, ok := src.Type(n.Type); ok && !t.RollsUp {
		m.add(n, noHalf, job)
	}
}

// marks says what a batch of changes concerns.
func (s *Stage) marks(ctx context.Context, tx pgx.Tx, inputs []input) (*marks, error) {
	m := &marks{days: map[target]map[metric.Day]bool{}, whole: map[target]bool{}, roots: map[int64]int64{}, soon: map[string]bool{}}
	ids := map[int64]bool{}
	for _, in := range inputs {
		for _, c := range in.Objects {
			ids[c.ID] = true
			if c.Moved && c.From != 0 {
				ids[c.From] = true
			}
		}
	}
	nodes, err := tree.Up(ctx, tx, slices.Collect(maps.Keys(ids)))
	if err != nil {
		return nil, err
	}
	for _, in := range inputs {
		m.soon[in.job] = in.src.Stats.Kind == source.KindCount
		var moved []event.Change
		for _, c := range in.Objects {
			n := nodes[c.ID]
			if n == nil {
				continue // it was taken out meanwhile, with its documents
			}
			m.addDays(n, in.job, c.Days)
			if c.Self {
				m.addSelf(n, in.src, in.job)
			}
			if c.Moved {
				moved = append(moved, c)
			}
		}
		if err := m.addMoved(ctx, tx, in, moved, nodes); err != nil {
			return nil, fmt.Errorf("mark what moved: %w", err)
		}
	}
	return m, nil
}

// addMoved marks, for objects that moved, the new ancestors for all days of what
// moved, and the paths of all that stands below. Of the old ancestors it marks
// everything: what else stood below them then may have moved on meanwhile, and
// the days that it took along are not known any more.
func (m *marks) addMoved(ctx context.Context, tx pgx.Tx, in input, moved []event.Change, nodes map[int64]*tree.Node) error {
	if len(moved) == 0 {
		return nil
	}
	tops := make([]int64, len(moved))
	for i, c := range moved {
		tops[i] = c.ID
	}
	parentOf, err := tree.Down(ctx, tx, tops)
	if err != nil {
		return err
	}
	below, err := tree.Up(ctx, tx, slices.Collect(maps.Keys(parentOf)))
	if err != nil {
		return err
	}
	for id := range parentOf {
		m.addSelf(below[id], in.src, in.job)
	}
	for _, c := range moved {
		days, err := daysBelow(ctx, tx, c.ID) // a query for each: objects that move are rare, and seldom many
		if err != nil {
			return err
		}
		m.addDays(nodes[c.ID], in.job, days)
		m.addWhole(nodes[c.From], in.job)
	}
	return nil
}

// daysBelow returns the days on which an object or one below it has stats.
func daysBelow(ctx context.Context, tx pgx.Tx, id int64) ([]metric.Day, error) {
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE down AS (
			SELECT id FROM objects WHERE id = $1
			UNION
			SELECT o.id FROM down JOIN objects o ON o.parent_id = down.id
		)
		SELECT DISTINCT s.day - DATE '1970-01-01' FROM down JOIN stats s ON s.object_id = down.id`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[metric.Day])
}

// insertMarks writes the rows of dirty. They have no unique key: nobody waits
// for anybody.
func insertMarks(ctx context.Context, tx pgx.Tx, m *marks, within time.Duration) error {
	if len(m.days) == 0 {
		return nil
	}
	targets := slices.SortedFunc(maps.Keys(m.days), func(a, b target) int {
		return cmp.Or(cmp.Compare(m.roots[a.object], m.roots[b.object]), cmp.Compare(a.object, b.object), cmp.Compare(a.half, b.half), cmp.Compare(a.job, b.job))
	})
	type row struct {
		Object int64        `json:"object"`
		Root   int64        `json:"root"`
		Half   string       `json:"half"`
		Days   []metric.Day `json:"days"`
		Job    string       `json:"job"`
		Whole  bool         `json:"whole"`
		Within float64      `json:"within"` // seconds
	}
	rows := make([]row, len(targets))
	for i, t := range targets {
		rows[i] = row{t.object, m.roots[t.object], t.half, slices.Sorted(maps.Keys(m.days[t])), t.job, m.whole[t], within.Seconds()}
		if m.soon[t.job] {
			rows[i].Within = min(within, soon).Seconds()
		}
	}
	body, err := json.Marshal(rows)
	if err != nil {
		return pipeline.Permanent(err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO dirty (object_id, root_id, half, days, job_id, due)
		SELECT object, root, half, CASE WHEN NOT whole THEN coalesce(days, '{}') END, job, now() + within * interval '1 second'
		FROM jsonb_to_recordset($1::jsonb) AS r(object bigint, root bigint, half text, days date[], job uuid, whole boolean, within float8)`, string(body))
	return err
}
