package client

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/services/tree"
)

// parents finds objects whose parent cannot be: it is another source's, or does
// not stand above.
func (k *check) parents(ctx context.Context, name string, objects []object) error {
	byID, ids := idsOf(objects)
	rows, err := k.db.Query(ctx, `
		SELECT o.id, o.depth, p.source, p.type || '/' || p.key, p.depth
		FROM objects o JOIN objects p ON p.id = o.parent_id
		WHERE o.id = ANY($1) AND (p.source <> o.source OR p.depth >= o.depth)`, ids)
	if err != nil {
		return err
	}
	var id int64
	var depth, above int
	var source, parent string
	_, err = pgx.ForEachRow(rows, []any{&id, &depth, &source, &parent, &above}, func() error {
		place := name + "/" + byID[id].prefix()
		if source != name {
			k.beyond(whole(place, fmt.Sprintf("its parent %s is of the source %s", parent, source)))
		}
		if above >= depth {
			k.beyond(whole(place, fmt.Sprintf("its depth is %d, and that of its parent %s is %d: a parent stands above", depth, parent, above)))
		}
		return nil
	})
	return err
}

// idsOf returns the ids of objects, and the objects by them.
func idsOf(objects []object) (byID map[int64]object, ids []int64) {
	byID = make(map[int64]object, len(objects))
	ids = make([]int64, len(objects))
	for i, o := range objects {
		byID[o.id], ids[i] = o, o.id
	}
	return byID, ids
}

// anyBelowItself reports whether an object may stand above itself. Where the
// depth grows from each parent to its children, none can.
func (k *check) anyBelowItself(ctx context.Context) (circular bool, err error) {
	err = k.db.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM objects o JOIN objects p ON p.id = o.parent_id WHERE p.depth >= o.depth)`).Scan(&circular)
	return circular, err
}

// endless returns those of the objects whose parents go round in a circle: who
// goes up from them never comes to the top.
func (k *check) endless(ctx context.Context, q tree.Querier, ids []int64) (map[int64]bool, error) {
	if !k.circular {
		return nil, nil
	}
	rows, err := q.Query(ctx, `
		WITH RECURSIVE up AS (
			SELECT id AS start, id, parent_id FROM objects WHERE id = ANY($1)
			UNION
			SELECT up.start, p.id, p.parent_id FROM up JOIN objects p ON p.id = up.parent_id
		)
		SELECT start FROM up GROUP BY start HAVING bool_and(parent_id IS NOT NULL)`, ids)
	if err != nil {
		return nil, err
	}
	endless := map[int64]bool{}
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { endless[id] = true; return nil })
	return endless, err
}

// sequences finds numbers that are given out a second time, or are missing.
func (k *check) sequences(ctx context.Context) error {
	var last, top int64
	if err := k.db.QueryRow(ctx, `
		SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('objects', 'id')), 0), coalesce((SELECT max(id) FROM objects), 0)`).
		Scan(&last, &top); err != nil {
		return fmt.Errorf("sequence of objects: %w", err)
	}
	if last < top {
		k.beyond(whole("table objects", fmt.Sprintf("its sequence of ids is at %d, and there is an object %d: "+
			"new objects will fail; ALTER TABLE leat.objects ALTER id RESTART WITH %d", last, top, top+1)))
	}
	rows, err := k.db.Query(ctx, `
		SELECT j.source, j.id::text, count(*), max(a.n) + 1 FROM answers a JOIN jobs j ON j.id = a.job_id
		WHERE $1 = '' OR j.source = $1
		GROUP BY j.id HAVING count(*) <> max(a.n) + 1
		ORDER BY j.id`, k.what.Source)
	if err != nil {
		return fmt.Errorf("numbers of answers: %w", err)
	}
	var source, job string
	var n, numbered int64
	_, err = pgx.ForEachRow(rows, []any{&source, &job, &n, &numbered}, func() error {
		k.beyond(whole(source+" job "+job, fmt.Sprintf("it has had %d answers, and %d of them are kept in the table answers", numbered, n)))
		return nil
	})
	return err
}

// A newest is the document with the highest rev that was seen of a source.
type newest struct {
	id  string
	rev int64
}

// revOf finds that documents are newer than anything this PostgreSQL has written.
// The sequence is read after the documents were.
func (k *check) revOf(ctx context.Context, name string) error {
	var last int64
	if err := k.db.QueryRow(ctx, `SELECT last_value FROM rev`).Scan(&last); err != nil {
		return fmt.Errorf("sequence of revs: %w", err)
	}
	if k.top.rev > last {
		k.beyond(whole(name+"/"+k.top.id, fmt.Sprintf(
			"its rev is %d, and the sequence is at %d: PostgreSQL was restored from a backup, and rollup writes nothing; run `leat rebuild`", k.top.rev, last)))
	}
	return nil
}
