package delta

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/tree"
)

// A mention is an object as a part has it.
type mention struct {
	part  *Part
	index int
}

func (m mention) told() event.Object { return m.part.Objects[m.index] }

// betterThan reports whether m says more of an object than n: it describes it,
// and later, or it at least names its parent.
func (m mention) betterThan(n mention) bool {
	switch {
	case m.told().Described && n.told().Described:
		return m.part.ObservedAt.After(n.part.ObservedAt)
	case m.told().Described != n.told().Described:
		return m.told().Described
	}
	return m.told().Parent > 0
}

// mentions returns of each object the best mention in a batch.
func mentions(parts []*Part) map[ObjectKey]mention {
	all := map[ObjectKey]mention{}
	for _, p := range parts {
		for i := range p.Objects {
			m := mention{p, i}
			if known, ok := all[p.key(i)]; !ok || m.betterThan(known) {
				all[p.key(i)] = m
			}
		}
	}
	return all
}

// resolve returns all objects that the parts name; those that are not known are
// inserted, level by level, with what the parts say of them.
func resolve(ctx context.Context, tx pgx.Tx, parts []*Part) (map[ObjectKey]*Object, error) {
	named := mentions(parts)
	objects, err := selectIDs(ctx, tx, slices.Collect(maps.Keys(named)))
	if err != nil {
		return nil, err
	}
	levels := map[int][]ObjectKey{}
	for key, m := range named {
		if objects[key] == nil {
			depth := m.part.depth[m.index]
			levels[depth] = append(levels[depth], key)
		}
	}
	for _, depth := range slices.Sorted(maps.Keys(levels)) {
		if err := insertLevel(ctx, tx, levels[depth], named, objects, true); err != nil {
			return nil, err
		}
	}
	bind(parts, objects)
	return objects, nil
}

// makeParents inserts the parents that are not known in a transaction of its
// own. Neighbouring parts share them, and whoever inserts them in its writing
// transaction holds up all others until its end. They are there as the parts
// describe them, and stay to be announced: that follows in the writing
// transaction of whoever describes them, this batch or, if it dies here, another.
func makeParents(ctx context.Context, db *pgxpool.Pool, parts []*Part) error {
	named := mentions(parts)
	isParent := map[ObjectKey]bool{}
	for _, p := range parts {
		for i := range p.Objects {
			if key, ok := p.parentKey(i); ok {
				isParent[key] = true
			}
		}
	}
	objects, err := selectIDs(ctx, db, slices.Collect(maps.Keys(isParent)))
	if err != nil {
		return postgres.Classify(err)
	}
	levels := map[int][]ObjectKey{}
	for key := range isParent {
		if m := named[key]; objects[key] == nil {
			levels[m.part.depth[m.index]] = append(levels[m.part.depth[m.index]], key)
		}
	}
	if len(levels) == 0 {
		return nil
	}
	return postgres.InTx(ctx, db, func(tx pgx.Tx) error {
		// The writing transaction's commit waits for this one's log too; and nothing
		// is lost if neither is kept.
		if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
		for _, depth := range slices.Sorted(maps.Keys(levels)) {
			if err := insertLevel(ctx, tx, levels[depth], named, objects, false); err != nil {
				return err
			}
		}
		return nil
	})
}

// bind gives the parts their objects.
func bind(parts []*Part, objects map[ObjectKey]*Object) {
	for _, p := range parts {
		p.objects = make([]*Object, len(p.Objects))
		for i := range p.Objects {
			p.objects[i] = objects[p.key(i)]
		}
	}
}

// selectIDs returns the objects that are known. Each is looked up in the index
// (LIMIT keeps the planner to it): for a join, all objects would be scanned.
func selectIDs(ctx context.Context, q tree.Querier, keys []ObjectKey) (map[ObjectKey]*Object, error) {
	sources, types, names := columns(keys)
	rows, err := q.Query(ctx, `
		SELECT o.id, o.source, o.type, o.key, o.announced, isfinite(o.observed_at)
		FROM unnest($1::text[], $2::text[], $3::text[]) AS k(source, type, key),
		LATERAL (SELECT * FROM objects o WHERE o.source = k.source AND o.type = k.type AND o.key = k.key LIMIT 1) AS o`, sources, types, names)
	if err != nil {
		return nil, err
	}
	found := make(map[ObjectKey]*Object, len(keys))
	var key ObjectKey
	var o Object
	_, err = pgx.ForEachRow(rows, []any{&o.ID, &key.Source, &key.Type, &key.Key, &o.announced, &o.Described}, func() error {
		found[key] = &Object{ID: o.ID, announced: o.announced, Described: o.Described}
		return nil
	})
	return found, err
}

func columns(keys []ObjectKey) (sources, types, names []string) {
	for _, k := range keys {
		sources, types, names = append(sources, k.Source), append(types, k.Type), append(names, k.Key)
	}
	return sources, types, names
}

// insertLevel inserts the objects of one depth in the order of their keys, so
// that two workers that insert the same ones do not wait for each other in a
// circle. An insert that another worker was first with returns no id.
func insertLevel(ctx context.Context, tx pgx.Tx, keys []ObjectKey, named map[ObjectKey]mention, objects map[ObjectKey]*Object, announced bool) error {
	slices.SortFunc(keys, func(a, b ObjectKey) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
	})
	var (
		sources, types, names = columns(keys)
		parents               = make([]*int64, len(keys))
		depths                = make([]int, len(keys))
		titles, attrs         = make([]string, len(keys)), make([]string, len(keys))
		tolds                 = make([]*int64, len(keys))
		times                 = make([]pgtype.Timestamptz, len(keys))
		feeds                 = make([]*string, len(keys))
		made                  = make(map[ObjectKey]*Object, len(keys))
	)
	for i, key := range keys {
		m := named[key]
		told := m.told()
		o := &Object{Name: key.Key, Attrs: []byte("{}"), inserted: true, announced: true}
		if parent, ok := m.part.parentKey(m.index); ok {
			o.ParentID = objects[parent].ID
			parents[i] = &o.ParentID
		}
		times[i] = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
		if told.Described {
			m.describe(o)
			times[i] = pgtype.Timestamptz{Time: o.ObservedAt, Valid: true}
			tolds[i] = o.told.column()
			var err error
			if feeds[i], err = o.said.column(); err != nil {
				return err
			}
		}
		depths[i], titles[i], attrs[i] = m.part.depth[m.index], o.Name, string(o.Attrs)
		made[key] = o
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO objects (source, type, key, parent_id, depth, name, attrs, observed_at, told, feeds, announced)
		SELECT u.*, $11 FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::smallint[], $6::text[], $7::jsonb[], $8::timestamptz[], $9::bigint[], $10::jsonb[]) AS u
		ON CONFLICT DO NOTHING
		RETURNING id, source, type, key`, sources, types, names, parents, depths, titles, attrs, times, tolds, feeds, announced)
	if err != nil {
		return err
	}
	var key ObjectKey
	var id int64
	if _, err = pgx.ForEachRow(rows, []any{&id, &key.Source, &key.Type, &key.Key}, func() error {
		objects[key] = made[key]
		objects[key].ID = id
		return nil
	}); err != nil {
		return err
	}
	var taken []ObjectKey
	for _, key := range keys {
		if objects[key] == nil {
			taken = append(taken, key)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	others, err := selectIDs(ctx, tx, taken)
	maps.Copy(objects, others)
	return err
}

// describe makes of an object what the mention says.
func (m mention) describe(o *Object) {
	told := m.told()
	o.Name, o.Attrs, o.ObservedAt, o.Described = told.Name, objectText(told.Attrs), m.part.ObservedAt, true
	if m.part.Feed == "" {
		o.told = m.part.tellObject(m.index)
		return
	}
	o.said = chorus{m.part.Feed: sayingOf(&told, o.ParentID, o.ObservedAt)}
}

// lock locks, in the order of their ids, the objects that the parts describe or
// hold stats of, and reads them. Those that are only named as parents stay free.
func lock(ctx context.Context, tx pgx.Tx, parts []*Part) error {
	byID := map[int64]*Object{}
	want := func(o *Object) {
		if !o.inserted {
			byID[o.ID] = o
		}
	}
	for _, p := range parts {
		for i, o := range p.Objects {
			if o.Described || p.objects[i].toAnnounce(o.Described) {
				want(p.objects[i])
			}
		}
		for _, d := range p.dates {
			want(p.objects[d.object])
		}
	}
	if len(byID) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `
		SELECT id, coalesce(parent_id, 0), name, attrs, observed_at, coalesce(told, 0), announced, feeds FROM objects
		WHERE id = ANY($1) ORDER BY id
		FOR NO KEY UPDATE`, slices.Sorted(maps.Keys(byID)))
	if err != nil {
		return err
	}
	var o Object
	var at pgtype.Timestamptz
	var digest int64
	var feeds []byte
	_, err = pgx.ForEachRow(rows, []any{&o.ID, &o.ParentID, &o.Name, &o.Attrs, &at, &digest, &o.announced, &feeds}, func() (err error) {
		if o.said, err = readChorus(feeds); err != nil {
			return fmt.Errorf("feeds of object %d: %w", o.ID, err)
		}
		o.Described = at.InfinityModifier == pgtype.Finite
		o.ObservedAt = at.Time
		o.told = told(digest)
		*byID[o.ID] = o
		o.Attrs, feeds = nil, nil
		return nil
	})
	return err
}

func updateObjects(ctx context.Context, tx pgx.Tx, objects []*Object) error {
	if len(objects) == 0 {
		return nil
	}
	var (
		ids, parents []int64
		names, attrs []string
		times        []time.Time
		tolds        []*int64
		changed      []bool
		feeds        []*string
	)
	for _, o := range objects {
		ids, parents = append(ids, o.ID), append(parents, o.ParentID)
		names, attrs, times = append(names, o.Name), append(attrs, string(o.Attrs)), append(times, o.ObservedAt)
		tolds, changed = append(tolds, o.told.column()), append(changed, o.touched)
		said, err := o.said.column()
		if err != nil {
			return err
		}
		feeds = append(feeds, said)
	}
	_, err := tx.Exec(ctx, `
		UPDATE objects o SET feeds = u.feeds, parent_id = CASE WHEN u.feeds IS NULL THEN nullif(u.parent_id, 0)
				ELSE (SELECT p.id FROM objects p WHERE p.id = u.parent_id) END, -- what a feed said long ago may be dropped by now
			name = u.name, attrs = u.attrs,
			observed_at = u.observed_at, told = u.told, announced = true, changed_at = CASE WHEN u.changed THEN now() ELSE o.changed_at END
		FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::bigint[], $7::boolean[], $8::jsonb[])
			AS u(id, parent_id, name, attrs, observed_at, told, changed, feeds)
		WHERE o.id = u.id`, ids, parents, names, attrs, times, tolds, changed, feeds)
	return err
}

// column is a digest as a column holds it.
func (t told) column() *int64 {
	if t == 0 {
		return nil
	}
	n := int64(t)
	return &n
}

// objectText is what attributes are where there are none.
func objectText(attrs []byte) []byte {
	if len(attrs) == 0 {
		return []byte("{}")
	}
	return attrs
}

// canonical returns a JSON object's one spelling here, whoever wrote it.
func canonical(attrs []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(objectText(attrs)))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return attrs // not what this program wrote: it differs, and is written anew
	}
	b, err := json.Marshal(v)
	if err != nil {
		return attrs
	}
	return b
}
