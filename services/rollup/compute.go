package rollup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/tree"
)

// A Want asks for a document of an object: some days of a half-year, all of
// them, or (half "all") a document without days.
type Want struct {
	Object int64
	Half   string
	Days   []metric.Day
	All    bool
}

// Compute reads what documents should hold, from rows as they are now. Of an
// object that is not there it returns none. The rows of parents and children are
// read once; a document whose days have no rows and whose half-year has none
// either is Gone.
func Compute(ctx context.Context, q tree.Querier, spec func(sourceName string) (*source.Source, error), wants []Want) ([]*Document, error) {
	c := computer{spec: spec, docs: map[int64][]*Document{}, lists: map[int64][]*Document{}, renderers: map[string]*renderer{}, parentOf: map[int64]int64{}}
	if err := c.build(ctx, q, wants); err != nil {
		return nil, err
	}
	if err := c.sum(ctx, q); err != nil {
		return nil, postgres.Classify(fmt.Errorf("sum stats: %w", err))
	}
	if err := c.findGone(ctx, q); err != nil {
		return nil, postgres.Classify(fmt.Errorf("look for stats: %w", err))
	}
	return c.all, nil
}

type computer struct {
	spec     func(string) (*source.Source, error)
	all      []*Document
	docs     map[int64][]*Document // by object
	parentOf map[int64]int64       // of those below them
	lists    map[int64][]*Document // by object: what its rows are added to

	renderers map[string]*renderer // by source
	places    metricPlaces
	memory    memory
	names     metric.Names
}

// build makes the documents, without their sums.
func (c *computer) build(ctx context.Context, q tree.Querier, wants []Want) error {
	ids := make([]int64, len(wants))
	for i, w := range wants {
		ids[i] = w.Object
	}
	nodes, err := tree.Up(ctx, q, ids)
	if err != nil {
		return err
	}
	tags, err := readTags(ctx, q, ids)
	if err != nil {
		return postgres.Classify(fmt.Errorf("read tags: %w", err))
	}
	var tops []int64
	for _, w := range wants {
		node := nodes[w.Object]
		if node == nil {
			continue
		}
		d := &Document{Node: node, Half: w.Half, All: w.All, Days: make(map[metric.Day]*Day, len(w.Days))}
		if last := len(c.all) - 1; last >= 0 && c.all[last].Node == node {
			d.about = c.all[last].about
		} else {
			d.about = about(node, tags[w.Object])
		}
		if d.render, err = c.renderer(node.Source); err != nil {
			return err
		}
		if w.Half != noHalf {
			if d.first, d.last, err = metric.HalfDays(w.Half); err != nil {
				return pipeline.Permanent(err)
			}
		}
		for _, day := range w.Days {
			d.Days[day] = c.memory.day()
		}
		c.all = append(c.all, d)
		d.Gone = w.Half == noHalf && c.rollsUp(node)
		if w.Half != noHalf {
			c.docs[w.Object] = append(c.docs[w.Object], d)
			tops = append(tops, w.Object)
		}
	}
	if len(tops) > 0 {
		c.parentOf, err = tree.Down(ctx, q, tops)
	}
	return err
}

// rollsUp reports whether an object's documents are of half-years.
func (c *computer) rollsUp(n *tree.Node) bool {
	src, err := c.spec(n.Source)
	if err != nil {
		return false // the renderer has asked already, and got it
	}
	t, ok := src.Type(n.Type)
	return ok && t.RollsUp
}

func (c *computer) renderer(sourceName string) (*renderer, error) {
	if r := c.renderers[sourceName]; r != nil {
		return r, nil
	}
	src, err := c.spec(sourceName)
	if err != nil {
		return nil, err
	}
	r := &renderer{metricPlaces: &c.places, spec: &src.Rollup, projected: map[string]string{}}
	c.renderers[sourceName] = r
	return r, nil
}

// above returns the documents that a row of an object is added to: its own and
// those of its ancestors.
func (c *computer) above(object int64) []*Document {
	if docs, ok := c.lists[object]; ok {
		return docs
	}
	docs := c.docs[object]
	if parent, ok := c.parentOf[object]; ok {
		docs = slices.Concat(docs, c.above(parent))
	}
	c.lists[object] = docs
	return docs
}

// A span is the days of an object in one half-year whose stats are read: a bit
// for each day from the first of the half-year on.
type span struct {
	first, lo, hi metric.Day
	days          [longestHalf]byte
}

const longestHalf = (184 + 7) / 8 // bytes

// A reading is a span's object and half-year.
type reading struct {
	object int64
	first  metric.Day
}

// spans returns what to read, so that each row is read once whatever it is added to.
func (c *computer) spans() map[reading]*span {
	spans := map[reading]*span{}
	add := func(object int64) {
		for _, d := range c.above(object) {
			if !d.All && len(d.Days) == 0 {
				continue
			}
			s := spans[reading{object, d.first}]
			if s == nil {
				s = &span{first: d.first, lo: d.last, hi: d.first}
				spans[reading{object, d.first}] = s
			}
			s.add(d)
		}
	}
	for object := range c.docs {
		add(object)
	}
	for object := range c.parentOf {
		add(object)
	}
	return spans
}

// add adds the days that a document asks for.
func (s *span) add(d *Document) {
	if d.All {
		for day := d.first; day <= d.last; day++ {
			s.set(day)
		}
		return
	}
	for day := range d.Days {
		s.set(day)
	}
}

func (s *span) set(day metric.Day) {
	s.lo, s.hi = min(s.lo, day), max(s.hi, day)
	i := day - s.first
	s.days[i/8] |= 1 << (i % 8)
}

// sum adds the rows up.
func (c *computer) sum(ctx context.Context, q tree.Querier) error {
	c.places.byName = map[string]int{}
	var ids []int64
	var firsts, lows, highs []metric.Day
	var days [][]byte
	for at, s := range c.spans() {
		ids, firsts, lows, highs, days = append(ids, at.object), append(firsts, s.first), append(lows, s.lo), append(highs, s.hi), append(days, s.days[:])
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := q.Query(ctx, `
		SELECT s.object_id, s.day - DATE '1970-01-01', s.dims, s.metrics, s.hours
		FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::bytea[]) AS w(id, first, lo, hi, days)
		JOIN stats s ON s.object_id = w.id AND s.day BETWEEN DATE '1970-01-01' + w.lo AND DATE '1970-01-01' + w.hi
		AND CASE WHEN s.day BETWEEN DATE '1970-01-01' + w.lo AND DATE '1970-01-01' + w.hi THEN get_bit(w.days, s.day - DATE '1970-01-01' - w.first) END = 1
		WHERE s.day BETWEEN DATE '1970-01-01' + $6::int AND DATE '1970-01-01' + $7::int`,
		ids, firsts, lows, highs, days, slices.Min(lows), slices.Max(highs))
	if err != nil {
		return err
	}
	var st stat
	var dims, metrics, hours pgtype.DriverBytes // not copied
	_, err = pgx.ForEachRow(rows, []any{&st.Object, &st.Day, &dims, &metrics, &hours}, func() error {
		return c.add(&st, dims, metrics, hours)
	})
	for _, r := range c.renderers {
		r.order = c.places.sorted()
	}
	return err
}

// add adds a row to the days that ask for it.
func (c *computer) add(st *stat, dims, metrics, hours []byte) (err error) {
	docs := c.above(st.Object)
	if len(docs) == 0 {
		return nil
	}
	spec := docs[0].render.spec // all of a tree are of one source
	if st.Metrics, err = c.place(st.Metrics[:0], metrics, spec); err != nil {
		return err
	}
	if st.Hours = nil; hours != nil && spec.Hours {
		if st.Hours, err = c.placeHours(hours, spec); err != nil {
			return err
		}
	}
	st.by = docs[0].render.project(dims)
	for _, d := range docs {
		day := d.Days[st.Day]
		if day == nil && d.All && d.first <= st.Day && st.Day <= d.last {
			day = c.memory.day()
			d.Days[st.Day] = day
		}
		if day != nil {
			day.add(st, d.Node.ID == st.Object, spec, &c.memory)
		}
	}
	return nil
}

// place reads metrics and gives each its place.
func (c *computer) place(out []placed, text []byte, spec *source.Rollup) ([]placed, error) {
	set, err := c.names.Read(text)
	for _, m := range set {
		out = append(out, placed{c.places.of(m.Name), m.Value, slices.Contains(spec.NotSummed, m.Name)})
	}
	return out, err
}

func (c *computer) placeHours(text []byte, spec *source.Rollup) ([]placedHour, error) {
	var hours map[int]json.RawMessage
	if err := json.Unmarshal(text, &hours); err != nil {
		return nil, err
	}
	out := make([]placedHour, 0, len(hours))
	for h, text := range hours {
		metrics, err := c.place(nil, text, spec)
		if err != nil {
			return nil, err
		}
		out = append(out, placedHour{h, metrics})
	}
	return out, nil
}

// findGone finds the documents that should not be: those of a half-year without
// any row of the object and of those below it.
func (c *computer) findGone(ctx context.Context, q tree.Querier) error {
	var indexes []int
	var ids []int64
	var lows, highs []metric.Day
	for i, d := range c.all {
		if d.Half == noHalf || slices.ContainsFunc(slices.Collect(maps.Values(d.Days)), func(day *Day) bool { return day.rows > 0 }) {
			continue
		}
		d.Gone = true
		for _, object := range c.below(d.Node.ID) {
			indexes, ids, lows, highs = append(indexes, i), append(ids, object), append(lows, d.first), append(highs, d.last)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := q.Query(ctx, `
		SELECT DISTINCT w.i FROM unnest($1::int[], $2::bigint[], $3::int[], $4::int[]) AS w(i, id, lo, hi)
		WHERE EXISTS (
			SELECT 1 FROM stats s
			WHERE s.object_id = w.id AND s.day BETWEEN DATE '1970-01-01' + w.lo AND DATE '1970-01-01' + w.hi)`,
		indexes, ids, lows, highs)
	if err != nil {
		return err
	}
	var i int
	_, err = pgx.ForEachRow(rows, []any{&i}, func() error { c.all[i].Gone = false; return nil })
	return err
}

// below returns an object and all below it.
func (c *computer) below(top int64) []int64 {
	ids := []int64{top}
	for object := range c.parentOf {
		for p, ok := c.parentOf[object]; ok; p, ok = c.parentOf[p] {
			if p == top {
				ids = append(ids, object)
				break
			}
		}
	}
	return ids
}

func readTags(ctx context.Context, q tree.Querier, ids []int64) (map[int64]map[string]any, error) {
	rows, err := q.Query(ctx, `SELECT object_id, tags FROM tags WHERE object_id = ANY($1)`, ids)
	if err != nil {
		return nil, err
	}
	tags := make(map[int64]map[string]any, len(ids))
	var id int64
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			return fmt.Errorf("tags of object %d: %w", id, err)
		}
		tags[id] = m
		return nil
	})
	return tags, err
}
