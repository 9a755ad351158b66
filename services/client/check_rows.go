package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/metric"
)

// An object is what a document is named after.
type object struct {
	id        int64
	typ, key  string
	changedAt time.Time
}

// prefix is what the _id of its documents begins with.
func (o object) prefix() string { return o.typ + "/" + o.key }

func scanObject(row pgx.CollectableRow) (o object, err error) {
	err = row.Scan(&o.id, &o.typ, &o.key, &o.changedAt)
	return o, err
}

// objectsOf returns the objects that documents belong to, by type/key.
func (k *check) objectsOf(ctx context.Context, name string, ids []string) (map[string]object, error) {
	var types, keys []string
	for _, id := range ids {
		prefix, _ := cutHalf(id)
		typ, key, _ := strings.Cut(prefix, "/")
		types, keys = append(types, typ), append(keys, key)
	}
	rows, err := k.db.Query(ctx, `
		SELECT DISTINCT o.* FROM unnest($2::text[], $3::text[]) AS d(type, key), LATERAL (
			SELECT id, type, key, changed_at FROM objects WHERE source = $1 AND type = d.type AND key = d.key OFFSET 0) AS o`, name, types, keys)
	if err != nil {
		return nil, err
	}
	objects, err := pgx.CollectRows(rows, scanObject)
	byPrefix := make(map[string]object, len(objects))
	for _, o := range objects {
		byPrefix[o.prefix()] = o
	}
	return byPrefix, err
}

// A half is a half-year and its days.
type half struct {
	name        string
	first, last metric.Day
}

// statHalves returns the half-years that stats has any day of.
func (k *check) statHalves(ctx context.Context) ([]half, error) {
	rows, err := k.db.Query(ctx, `SELECT DISTINCT to_char(day, 'YYYY') || 'H' || (extract(month FROM day)::int + 5) / 6 FROM stats`)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	halves := make([]half, len(names))
	for i, name := range names {
		first, last, err := metric.HalfDays(name)
		if err != nil {
			return nil, err
		}
		halves[i] = half{name, first, last}
	}
	return halves, nil
}

// wanted returns the halves that objects should have documents for: those in
// which they, or any below them, have stats; "all" where the type has none.
func (k *check) wanted(ctx context.Context, name string, objects []object) (map[int64]map[string]bool, error) {
	wanted := make(map[int64]map[string]bool, len(objects))
	if len(objects) == 0 {
		return wanted, nil
	}
	src, err := k.latest(ctx)(name)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(objects))
	for i, o := range objects {
		ids[i] = o.id
		wanted[o.id] = map[string]bool{}
		if !rollsUp(src, o.typ) {
			wanted[o.id][allTime] = true
		}
	}
	var names []string
	var firsts, lasts []metric.Day
	for _, h := range k.halves {
		names, firsts, lasts = append(names, h.name), append(firsts, h.first), append(lasts, h.last)
	}
	rows, err := k.db.Query(ctx, `
		WITH RECURSIVE down AS (
			SELECT id AS top, id FROM unnest($1::bigint[]) AS t(id)
			UNION
			SELECT down.top, o.id FROM down, LATERAL (SELECT id FROM objects WHERE parent_id = down.id OFFSET 0) AS o -- by the index, not by a scan
		)
		SELECT DISTINCT down.top, h.name FROM down, unnest($2::text[], $3::int[], $4::int[]) AS h(name, lo, hi), LATERAL (
			SELECT 1 FROM stats s
			WHERE s.object_id = down.id AND s.day BETWEEN DATE '1970-01-01' + h.lo AND DATE '1970-01-01' + h.hi
			LIMIT 1) AS any_stat`, ids, names, firsts, lasts)
	if err != nil {
		return nil, err
	}
	var id int64
	var half string
	_, err = pgx.ForEachRow(rows, []any{&id, &half}, func() error { wanted[id][half] = true; return nil })
	return wanted, err
}

// documentsOf returns the documents of objects: those that they should have, and
// those that the table documents has of them.
func (k *check) documentsOf(ctx context.Context, name string, objects []object) ([]document, error) {
	wanted, err := k.wanted(ctx, name, objects)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]object, len(objects))
	ids := make([]int64, len(objects))
	for i, o := range objects {
		byID[o.id], ids[i] = o, o.id
	}
	rows, err := k.db.Query(ctx, `SELECT object_id, half FROM documents WHERE object_id = ANY($1)`, ids)
	if err != nil {
		return nil, err
	}
	var id int64
	var half string
	if _, err := pgx.ForEachRow(rows, []any{&id, &half}, func() error { wanted[id][half] = true; return nil }); err != nil {
		return nil, err
	}
	var docs []document
	for id, halves := range wanted {
		for half := range halves {
			docs = append(docs, document{source: name, id: byID[id].prefix() + "/" + half, object: id, half: half})
		}
	}
	slices.SortFunc(docs, func(a, b document) int { return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.half, b.half)) })
	return docs, nil
}

// listedIn returns those of the documents that the table documents has.
func listedIn(ctx context.Context, tx pgx.Tx, docs []document) (map[document]bool, error) {
	return those(ctx, tx, docs, `
		SELECT w.i FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS w(object_id, half, place, i)
		JOIN documents d USING (object_id, half) WHERE w.place <> ''`)
}

// markedIn returns those of the documents that rollup is going to write.
func markedIn(ctx context.Context, tx pgx.Tx, docs []document) (map[document]bool, error) {
	return those(ctx, tx, docs, `
		SELECT w.i FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS w(object_id, half, place, i)
		WHERE EXISTS (SELECT 1 FROM dirty d WHERE d.object_id = w.object_id AND d.object_id <> 0 AND d.half IN (w.half, ''))
		OR EXISTS (SELECT 1 FROM dirty d WHERE d.object_id = 0 AND d.half = w.place)`)
}

// those runs a statement that picks documents by their place in the list.
func those(ctx context.Context, tx pgx.Tx, docs []document, sql string) (map[document]bool, error) {
	var objects []int64
	var halves, places []string
	for _, d := range docs {
		objects, halves, places = append(objects, d.object), append(halves, d.half), append(places, d.place())
	}
	rows, err := tx.Query(ctx, sql, objects, halves, places)
	if err != nil {
		return nil, err
	}
	picked := map[document]bool{}
	var i int
	_, err = pgx.ForEachRow(rows, []any{&i}, func() error { picked[docs[i-1]] = true; return nil })
	return picked, err
}

func (k *check) storedSources(ctx context.Context) ([]string, error) {
	rows, err := k.db.Query(ctx, `SELECT DISTINCT source FROM objects`)
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (k *check) countOpen(ctx context.Context, sources []string) (n int64, err error) {
	err = k.db.QueryRow(ctx, `SELECT count(*) FROM jobs WHERE source = ANY($1) AND state IN ('queued', 'running')`, sources).Scan(&n)
	return n, err
}

// chunkWeight bounds what is held in memory at once. A document with days
// weighs as much as ten without.
const (
	chunkWeight = 1000
	halfWeight  = 10
)

// chunks cuts documents into chunks of bounded weight.
func chunks(docs []document) func(yield func([]document) bool) {
	return func(yield func([]document) bool) {
		for len(docs) > 0 {
			n, weight := 0, 0
			for n < len(docs) && weight < chunkWeight {
				weight += halfWeight
				if docs[n].half == allTime {
					weight -= halfWeight - 1
				}
				n++
			}
			if !yield(docs[:n]) {
				return
			}
			docs = docs[n:]
		}
	}
}
