package floor

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Known is what an earlier load left of an object.
type known struct {
	id     int64
	fields uint64
	rows   []byte // digests, in the report's order
}

// recall reads what an earlier load left, and makes room for it before the first.
func (l *loader) recall(ctx context.Context) error {
	if _, err := l.DB.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS floor_digests (
			object_id bigint PRIMARY KEY,
			type      text NOT NULL,
			key       text NOT NULL,
			fields    bigint NOT NULL,
			rows      bytea NOT NULL
		)`); err != nil {
		return err
	}
	rows, err := l.DB.Query(ctx, `SELECT object_id, type, key, fields, rows FROM floor_digests`)
	if err != nil {
		return err
	}
	l.known = map[string]*known{}
	var typ, key string
	var fields int64
	var k known
	_, err = pgx.ForEachRow(rows, []any{&k.id, &typ, &key, &fields, &k.rows}, func() error {
		one := k
		one.fields = uint64(fields)
		l.known[typ+"/"+key], k.rows = &one, nil
		l.lastID.Store(max(l.lastID.Load(), k.id))
		return nil
	})
	return err
}

// compare finds out what is new or different of an element's objects.
func (l *loader) compare(objects []*object) error {
	for _, o := range objects {
		k := l.known[o.typ+"/"+o.key]
		if k == nil {
			o.id, o.isNew = l.lastID.Add(1), true
			k = &known{}
		} else if o.id = k.id; k.fields != o.fields {
			return fmt.Errorf("%s/%s: its fields changed, which the floor is not made for", o.typ, o.key)
		}
		for i := range o.rows {
			o.rows[i].changed = !k.has(i, o.rows[i].digest)
		}
	}
	return nil
}

// has reports whether the row is known. It is where it was, mostly.
func (k *known) has(i int, digest uint64) bool {
	if 8*i < len(k.rows) && binary.BigEndian.Uint64(k.rows[8*i:]) == digest {
		return true
	}
	for rest := k.rows; len(rest) > 0; rest = rest[8:] {
		if binary.BigEndian.Uint64(rest) == digest {
			return true
		}
	}
	return false
}

// digests are the rows', as they are kept.
func (o *object) digests() []byte {
	b := make([]byte, 0, 8*len(o.rows))
	for _, r := range o.rows {
		b = binary.BigEndian.AppendUint64(b, r.digest)
	}
	return b
}
