package rollup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/tree"
)

type input struct {
	event.Changes
	src *source.Source
	job string
}

const (
	byDays = ""    // the half of a mark whose days say which documents are meant
	noHalf = "all" // the half of a document without days
	soon   = time.Second
)

// A target is what a row of dirty is for.
type target struct {
	object int64
	half   string // byDays or noHalf
	job    string
}

// A mark is what is to be written of a target.
type mark struct {
	days  []metric.Day // as they come: in any order, and more than once
	self  bool         // the object's own fields, which all its documents have
	whole bool         // all days of all its documents
}

// Marks are what a batch of changes concerns.
type marks struct {
	of    map[target]*mark
	roots map[int64]int64
	soon  map[string]bool // jobs whose documents are wanted within a second
}

func (m *marks) at(n *tree.Node, half, job string) *mark {
	t := target{n.ID, half, job}
	at := m.of[t]
	if at == nil {
		at = &mark{}
		m.of[t] = at
		m.roots[n.ID] = n.Root().ID
	}
	return at
}

// addDays marks days of an object and of all that stand above it.
func (m *marks) addDays(n *tree.Node, job string, days []metric.Day) {
	if len(days) == 0 {
		return
	}
	for ; n != nil; n = n.Parent {
		at := m.at(n, byDays, job)
		at.days = append(at.days, days...)
	}
}

// addWhole marks all documents of an object and of all that stand above it.
func (m *marks) addWhole(n *tree.Node, job string) {
	for ; n != nil; n = n.Parent {
		m.at(n, byDays, job).whole = true
	}
}

// addSelf marks what an object's own fields are in: all its documents, and the
// one without days where its type has that.
func (m *marks) addSelf(n *tree.Node, src *source.Source, job string) {
	m.at(n, byDays, job).self = true
	if t, ok := src.Type(n.Type); ok && !t.RollsUp {
		m.at(n, noHalf, job)
	}
}

// marks says what a batch of changes concerns.
func (s *Stage) marks(ctx context.Context, tx pgx.Tx, inputs []input) (*marks, error) {
	m := &marks{of: map[target]*mark{}, roots: map[int64]int64{}, soon: map[string]bool{}}
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
		m.soon[in.job] = in.src.Stats.Kind == source.KindCount || in.src.Live()
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

// insertMarks writes the rows of dirty. Nothing but their number is unique:
// nobody waits for anybody.
func insertMarks(ctx context.Context, tx pgx.Tx, m *marks, within time.Duration) error {
	if len(m.of) == 0 {
		return nil
	}
	targets := slices.SortedFunc(maps.Keys(m.of), func(a, b target) int {
		return cmp.Or(cmp.Compare(m.roots[a.object], m.roots[b.object]), cmp.Compare(a.object, b.object), cmp.Compare(a.half, b.half), cmp.Compare(a.job, b.job))
	})
	n := len(targets)
	var (
		objects, roots = make([]int64, n), make([]int64, n)
		halves, jobs   = make([]string, n), make([]string, n)
		selves, soons  = make([]bool, n), make([]bool, n)
		days           = make([]*string, n)
	)
	for i, t := range targets {
		at := m.of[t]
		objects[i], roots[i], halves[i], jobs[i] = t.object, m.roots[t.object], t.half, t.job
		selves[i], soons[i], days[i] = at.self, m.soon[t.job], at.text()
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO dirty (object_id, root_id, half, self, days, job_id, due)
		SELECT object, root, half, self, days::int[], job, now() + CASE WHEN soon THEN $8::interval ELSE $9::interval END
		FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::boolean[], $5::text[], $6::uuid[], $7::boolean[])
			AS m(object, root, half, self, days, job, soon)`,
		objects, roots, halves, selves, days, jobs, soons, min(within, soon), within)
	return err
}

// text is the mark's days as an array of PostgreSQL, each once; nil for all.
func (m *mark) text() *string {
	if m.whole {
		return nil
	}
	slices.Sort(m.days)
	b := []byte{'{'}
	for i, day := range slices.Compact(m.days) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(day), 10)
	}
	text := string(append(b, '}'))
	return &text
}
