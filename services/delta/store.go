package delta

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// read inserts the objects that are not known, locks those that the parts
// describe or hold stats of, and reads what Decide needs. The locks come before
// the reads of the ledger and of the stats, each of which is a statement of its
// own: it sees all that was committed before the lock was had.
func read(ctx context.Context, tx pgx.Tx, parts []*Part) (State, error) {
	objects, err := resolve(ctx, tx, parts)
	if err != nil {
		return State{}, fmt.Errorf("objects: %w", err)
	}
	state := State{Objects: objects}
	if err := lock(ctx, tx, parts, state.Objects); err != nil {
		return State{}, fmt.Errorf("lock objects: %w", err)
	}
	if state.Rows, err = readRows(ctx, tx, parts, objects); err != nil {
		return State{}, fmt.Errorf("read stats: %w", err)
	}
	if state.Newer, err = readNewer(ctx, tx, parts, state); err != nil {
		return State{}, fmt.Errorf("read what newer parts saw: %w", err)
	}
	if state.Events, err = insertEvents(ctx, tx, parts); err != nil {
		return State{}, fmt.Errorf("events: %w", err)
	}
	return state, nil
}

// A mention is an object as the newest part of a batch that describes it, or
// else any that names it, has it.
type mention struct {
	part  *Part
	index int
}

func (m mention) described() bool { return m.part.Objects[m.index].Described }

func mentions(parts []*Part) map[ObjectKey]mention {
	all := map[ObjectKey]mention{}
	for _, p := range parts {
		for i, o := range p.Objects {
			known, ok := all[p.key(i)]
			better := o.Described && (!known.described0() || p.ObservedAt.After(known.part.ObservedAt))
			if !ok || better || (!known.described() && o.Parent > 0) {
				all[p.key(i)] = mention{p, i}
			}
		}
	}
	return all
}

func (m mention) described0() bool { return m.part != nil && m.described() }

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
		if err := insertLevel(ctx, tx, levels[depth], named, objects); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

func selectIDs(ctx context.Context, tx pgx.Tx, keys []ObjectKey) (map[ObjectKey]*Object, error) {
	sources, types, names := columns(keys)
	rows, err := tx.Query(ctx, `
		SELECT o.id, o.source, o.type, o.key
		FROM unnest($1::text[], $2::text[], $3::text[]) AS k(source, type, key)
		JOIN objects o ON o.source = k.source AND o.type = k.type AND o.key = k.key`, sources, types, names)
	if err != nil {
		return nil, err
	}
	found := make(map[ObjectKey]*Object, len(keys))
	var key ObjectKey
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id, &key.Source, &key.Type, &key.Key}, func() error {
		found[key] = &Object{ID: id}
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
func insertLevel(ctx context.Context, tx pgx.Tx, keys []ObjectKey, named map[ObjectKey]mention, objects map[ObjectKey]*Object) error {
	slices.SortFunc(keys, func(a, b ObjectKey) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
	})
	var (
		sources, types, names = columns(keys)
		parents               = make([]*int64, len(keys))
		depths                = make([]int, len(keys))
		titles, attrs         = make([]string, len(keys)), make([]string, len(keys))
		times                 = make([]pgtype.Timestamptz, len(keys))
		made                  = make(map[ObjectKey]*Object, len(keys))
	)
	for i, key := range keys {
		m := named[key]
		told := m.part.Objects[m.index]
		o := &Object{Name: key.Key, Attrs: []byte("{}"), inserted: true}
		if parent, ok := m.part.parentKey(m.index); ok {
			o.ParentID = objects[parent].ID
			parents[i] = &o.ParentID
		}
		times[i] = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
		if told.Described {
			o.Name, o.Attrs, o.ObservedAt, o.Described = told.Name, canonical(told.Attrs), m.part.ObservedAt, true
			times[i] = pgtype.Timestamptz{Time: o.ObservedAt, Valid: true}
		}
		depths[i], titles[i], attrs[i] = m.part.depth[m.index], o.Name, string(o.Attrs)
		made[key] = o
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO objects (source, type, key, parent_id, depth, name, attrs, observed_at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::smallint[], $6::text[], $7::jsonb[], $8::timestamptz[])
		ON CONFLICT DO NOTHING
		RETURNING id, source, type, key`, sources, types, names, parents, depths, titles, attrs, times)
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

// lock locks, in the order of their ids, the objects that the parts describe or
// hold stats of, and reads them. Those that are only named as parents stay free.
func lock(ctx context.Context, tx pgx.Tx, parts []*Part, objects map[ObjectKey]*Object) error {
	byID := map[int64]*Object{}
	want := func(o *Object) {
		if !o.inserted {
			byID[o.ID] = o
		}
	}
	for _, p := range parts {
		for i, o := range p.Objects {
			if o.Described {
				want(objects[p.key(i)])
			}
		}
		for _, st := range p.Stats {
			want(objects[p.key(st.Object)])
		}
	}
	if len(byID) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `
		SELECT id, coalesce(parent_id, 0), name, attrs, observed_at FROM objects
		WHERE id = ANY($1) ORDER BY id
		FOR NO KEY UPDATE`, slices.Sorted(maps.Keys(byID)))
	if err != nil {
		return err
	}
	var o Object
	var at pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{&o.ID, &o.ParentID, &o.Name, &o.Attrs, &at}, func() error {
		o.Attrs = canonical(o.Attrs)
		o.Described = at.InfinityModifier == pgtype.Finite
		o.ObservedAt = at.Time
		*byID[o.ID] = o
		o.Attrs = nil
		return nil
	})
	return err
}

// readRows reads all stats of the objects and days that the parts name, but
// those of objects that were made just now.
func readRows(ctx context.Context, tx pgx.Tx, parts []*Part, objects map[ObjectKey]*Object) (map[RowKey]*Row, error) {
	type objectDay struct {
		object int64
		day    metric.Day
	}
	wanted := map[objectDay]bool{}
	for _, p := range parts {
		for _, st := range p.Stats {
			if o := objects[p.key(st.Object)]; !o.inserted {
				wanted[objectDay{o.ID, st.Day}] = true
			}
		}
	}
	found := map[RowKey]*Row{}
	if len(wanted) == 0 {
		return found, nil
	}
	var ids []int64
	var days []metric.Day
	for k := range wanted {
		ids, days = append(ids, k.object), append(days, k.day)
	}
	rows, err := tx.Query(ctx, `
		SELECT s.object_id, s.day - DATE '1970-01-01', s.rule, s.dims, s.metrics, s.hours, s.hours_at, s.observed_at
		FROM unnest($1::bigint[], $2::int[]) AS k(object_id, day)
		JOIN stats s ON s.object_id = k.object_id AND s.day = DATE '1970-01-01' + k.day
		WHERE s.day BETWEEN DATE '1970-01-01' + $3::int AND DATE '1970-01-01' + $4::int`,
		ids, days, slices.Min(days), slices.Max(days))
	if err != nil {
		return nil, err
	}
	var names metric.Names
	var r Row
	var metrics, hours, hoursAt []byte
	_, err = pgx.ForEachRow(rows, []any{&r.Object, &r.Day, &r.Rule, &r.Dims, &metrics, &hours, &hoursAt, &r.ObservedAt}, func() (err error) {
		row := Row{RowKey: r.RowKey, ObservedAt: r.ObservedAt}
		if row.Metrics, err = names.Read(metrics); err != nil {
			return err
		}
		if hours != nil {
			if err := json.Unmarshal(hours, &row.Hours); err != nil {
				return err
			}
		}
		if hoursAt != nil {
			if err := json.Unmarshal(hoursAt, &row.HoursAt); err != nil {
				return err
			}
		}
		found[row.RowKey] = &row
		return nil
	})
	return found, err
}

// readNewer returns when the things that the parts hold were last seen by parts
// that are no older and did not have to write them. A part older than the ledger reaches
// cannot be put in order. A row of the ledger is only opened where the objects
// that it saw may be the part's: the parts of one answer seldom share any.
func readNewer(ctx context.Context, tx pgx.Tx, parts []*Part, state State) (map[int64]time.Time, error) {
	var (
		sources    []string
		times      []time.Time
		lows, high []int64
	)
	for _, p := range parts {
		at := p.ObservedAt
		if p.absentZero {
			at = p.AnswerAt().Add(-time.Microsecond) // the other parts of this answer too
		}
		lo, hi := p.seenObjects(state)
		sources, times, lows, high = append(sources, p.Source), append(times, at), append(lows, lo), append(high, hi)
	}
	if err := checkHorizon(ctx, tx, sources, times); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		WITH part AS (
			SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[]) AS p(source, at, lo, hi)
		), newer AS (
			SELECT l.observed_at, l.seen FROM ledger l
			WHERE l.source = ANY($1) AND l.observed_at >= (SELECT min(at) FROM part) AND l.seen IS NOT NULL AND EXISTS (
				SELECT 1 FROM part p WHERE p.source = l.source AND p.at <= l.observed_at AND p.lo <= l.seen_to AND p.hi >= l.seen_from)
		)
		SELECT max(n.observed_at), h FROM newer n, unnest(n.seen) AS h
		JOIN unnest($5::bigint[]) AS k(h) USING (h)
		GROUP BY h`, sources, times, lows, high, digests(parts, state))
	if err != nil {
		return nil, err
	}
	newer := map[int64]time.Time{}
	var at time.Time
	var h int64
	_, err = pgx.ForEachRow(rows, []any{&at, &h}, func() error { newer[h] = at; return nil })
	return newer, err
}

// checkHorizon refuses parts that are older than the ledger of their source reaches.
func checkHorizon(ctx context.Context, tx pgx.Tx, sources []string, times []time.Time) error {
	var name string
	var at, horizon time.Time
	err := tx.QueryRow(ctx, `
		SELECT h.source, p.at, h.observed_at
		FROM unnest($1::text[], $2::timestamptz[]) AS p(source, at)
		JOIN horizons h ON h.source = p.source AND h.observed_at > p.at
		LIMIT 1`, sources, times).Scan(&name, &at, &horizon)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return pipeline.Permanent(fmt.Errorf("observed_at %s is older than the ledger of source %s reaches (%s): fetch these days again",
		at.Format(time.RFC3339), name, horizon.Format(time.RFC3339)))
}

// seenObjects returns the lowest and the highest id of the objects that a part
// may have seen.
func (p *Part) seenObjects(state State) (lo, hi int64) {
	lo = math.MaxInt64
	for i, o := range p.Objects {
		if o.Described {
			id := state.Objects[p.key(i)].ID
			lo, hi = min(lo, id), max(hi, id)
		}
	}
	for _, st := range p.Stats {
		id := state.Objects[p.key(st.Object)].ID
		lo, hi = min(lo, id), max(hi, id)
	}
	return lo, hi
}

// digests returns the names in the ledger of all that parts may change, and of
// what may have been seen in its place.
func digests(parts []*Part, state State) []int64 {
	var keys []int64
	groups := map[group]string{} // the dimensions' names
	whole := map[group]bool{}
	for _, p := range parts {
		for i, o := range p.Objects {
			if o.Described {
				keys = append(keys, seenObject(state.Objects[p.key(i)].ID))
			}
		}
		if p.kind == source.KindCount {
			continue // events are told apart by their ids
		}
		for _, st := range p.Stats {
			key := RowKey{state.Objects[p.key(st.Object)].ID, st.Day, st.Rule, st.Dims}
			keys = append(keys, key.seen(hourOf(st)))
			names := dimNames(st.Dims)
			if known, ok := groups[key.group()]; ok && known != names {
				names = mixed
			}
			groups[key.group()] = names
			whole[key.group()] = whole[key.group()] || p.absentZero
		}
	}
	for g, is := range whole {
		if is {
			keys = append(keys, g.seen())
		}
	}
	for key, row := range state.Rows {
		if names, ok := groups[key.group()]; ok && (whole[key.group()] || names != dimNames(key.Dims)) {
			keys = append(keys, row.sights()...)
		}
	}
	return keys
}

// mixed is no list of names.
const mixed = "="

// insertEvents keeps the ids of the parts' events and returns those that were
// not known.
func insertEvents(ctx context.Context, tx pgx.Tx, parts []*Part) (map[string]bool, error) {
	type kept struct {
		source string
		hash   []byte
		day    metric.Day
	}
	var all []kept
	for _, p := range parts {
		if p.kind != source.KindCount {
			continue
		}
		for _, st := range p.Stats {
			all = append(all, kept{p.Source, eventHash(p.Source, st.ID), st.Day})
		}
	}
	fresh := map[string]bool{}
	if len(all) == 0 {
		return fresh, nil
	}
	slices.SortFunc(all, func(a, b kept) int {
		return cmp.Or(cmp.Compare(a.source, b.source), bytes.Compare(a.hash, b.hash), cmp.Compare(a.day, b.day))
	})
	var sources []string
	var hashes [][]byte
	var days []metric.Day
	for _, e := range all {
		sources, hashes, days = append(sources, e.source), append(hashes, e.hash), append(days, e.day)
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO events (source, event_id, day)
		SELECT source, id, DATE '1970-01-01' + day FROM unnest($1::text[], $2::bytea[], $3::int[]) AS e(source, id, day)
		ON CONFLICT DO NOTHING
		RETURNING event_id`, sources, hashes, days)
	if err != nil {
		return nil, err
	}
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&hash}, func() error { fresh[string(hash)] = true; return nil })
	return fresh, err
}

// write writes a plan: one statement a table.
func write(ctx context.Context, tx pgx.Tx, plan Plan) error {
	if err := updateObjects(ctx, tx, plan.Objects); err != nil {
		return fmt.Errorf("write objects: %w", err)
	}
	if err := removeRows(ctx, tx, plan.Removed); err != nil {
		return fmt.Errorf("remove stats: %w", err)
	}
	if err := upsertRows(ctx, tx, plan.Rows); err != nil {
		return fmt.Errorf("write stats: %w", err)
	}
	return nil
}

func updateObjects(ctx context.Context, tx pgx.Tx, objects []*Object) error {
	if len(objects) == 0 {
		return nil
	}
	var (
		ids, parents []int64
		names, attrs []string
		times        []time.Time
	)
	for _, o := range objects {
		ids, parents = append(ids, o.ID), append(parents, o.ParentID)
		names, attrs, times = append(names, o.Name), append(attrs, string(o.Attrs)), append(times, o.ObservedAt)
	}
	_, err := tx.Exec(ctx, `
		UPDATE objects o SET parent_id = nullif(u.parent_id, 0), name = u.name, attrs = u.attrs,
			observed_at = u.observed_at, changed_at = now()
		FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::jsonb[], $5::timestamptz[])
			AS u(id, parent_id, name, attrs, observed_at)
		WHERE o.id = u.id`, ids, parents, names, attrs, times)
	return err
}

func removeRows(ctx context.Context, tx pgx.Tx, keys []RowKey) error {
	if len(keys) == 0 {
		return nil
	}
	var (
		ids         []int64
		days        []metric.Day
		rules, dims []string
	)
	for _, k := range keys {
		ids, days, rules, dims = append(ids, k.Object), append(days, k.Day), append(rules, k.Rule), append(dims, k.Dims)
	}
	_, err := tx.Exec(ctx, `
		DELETE FROM stats s
		USING unnest($1::bigint[], $2::int[], $3::text[], $4::text[]) AS k(object_id, day, rule, dims)
		WHERE s.object_id = k.object_id AND s.day = DATE '1970-01-01' + k.day AND s.rule = k.rule AND s.dims = k.dims`,
		ids, days, rules, dims)
	return err
}

func upsertRows(ctx context.Context, tx pgx.Tx, rows []*Row) error {
	if len(rows) == 0 {
		return nil
	}
	n := len(rows)
	var (
		ids                  = make([]int64, n)
		days                 = make([]metric.Day, n)
		rules, dims, metrics = make([]string, n), make([]string, n), make([]string, n)
		hours, hoursAt       = make([]*string, n), make([]*string, n)
		times                = make([]time.Time, n)
	)
	for i, r := range rows {
		ids[i], days[i], rules[i], dims[i], times[i] = r.Object, r.Day, r.Rule, r.Dims, r.ObservedAt
		metrics[i] = string(r.Metrics.AppendJSON(nil))
		var err error
		if hours[i], err = jsonOf(r.Hours); err != nil {
			return err
		}
		if hoursAt[i], err = jsonOf(r.HoursAt); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO stats (object_id, day, rule, dims, metrics, hours, hours_at, observed_at)
		SELECT u.object_id, DATE '1970-01-01' + u.day, u.rule, u.dims, u.metrics, u.hours, u.hours_at, u.observed_at
		FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::jsonb[], $8::timestamptz[])
			AS u(object_id, day, rule, dims, metrics, hours, hours_at, observed_at)
		ON CONFLICT (object_id, day, rule, dims) DO UPDATE SET
			metrics = excluded.metrics, hours = excluded.hours, hours_at = excluded.hours_at, observed_at = excluded.observed_at`,
		ids, days, rules, dims, metrics, hours, hoursAt, times)
	return err
}

// jsonOf returns m as JSON, nil where there is none.
func jsonOf[V any](m map[int]V) (*string, error) {
	if len(m) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(m)
	s := string(b)
	return &s, err
}

// canonical returns a JSON object's one spelling here, whoever wrote it.
func canonical(attrs []byte) []byte {
	if len(attrs) == 0 {
		return []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(attrs))
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

// makeMonth makes the partition of stats that begins at month, if it is missing.
func makeMonth(ctx context.Context, db *pgxpool.Pool, month metric.Day) error {
	name := "stats_" + month.Time().Format("2006_01")
	next := firstOfMonth(month + 31)
	return postgres.InTx(ctx, db, func(tx pgx.Tx) error {
		// One maker at a time: two would each find the partition missing.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('leat.stats'))`); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&exists); err != nil || exists {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			CREATE TABLE %[1]s (LIKE stats INCLUDING ALL);
			ALTER TABLE stats ATTACH PARTITION %[1]s FOR VALUES FROM ('%[2]s') TO ('%[3]s')`, name, month, next))
		return err
	})
}
