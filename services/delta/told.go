package delta

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// What a part says of an object's day is compared by a digest with what was said
// when the rows were last brought in line with it: equal days, which are most of
// a report that comes again, cost eight bytes to read, and their rows are not
// read at all. A digest stands only while the rows say what it stands for:
// whoever changes them in any other way takes it out (0).

// A monthOf is the month of an object that a row of told is for. Days are
// numbered from the first.
type monthOf struct {
	object int64
	month  metric.Day // its first
}

// A month is the digests of its days.
type month struct {
	days    [31]told
	written bool // to be
}

// months are what told holds of the objects and months of a batch, and what it
// is going to hold.
type months map[monthOf]*month

// at returns where the digest of a day is.
func (m months) at(object int64, day metric.Day) (*month, *told) {
	first := firstOfMonth(day)
	key := monthOf{object, first}
	in := m[key]
	if in == nil {
		in = &month{}
		m[key] = in
	}
	return in, &in.days[day-first]
}

// set keeps a digest.
func (m months) set(object int64, day metric.Day, digest told) {
	if in, at := m.at(object, day); *at != digest {
		*at, in.written = digest, true
	}
}

// An objectDay names a day of an object.
type objectDay struct {
	object int64
	day    metric.Day
}

// passOver finds the days of which no part says anything but what the rows hold.
func passOver(parts []*Part, known months) {
	differ := map[objectDay]bool{}
	each := func(f func(d *date, at objectDay, digest told)) {
		for _, p := range parts {
			for i := range p.dates {
				d := &p.dates[i]
				o := p.objects[d.object]
				if o.inserted || p.kind == source.KindCount {
					continue
				}
				_, digest := known.at(o.ID, d.day)
				f(d, objectDay{o.ID, d.day}, *digest)
			}
		}
	}
	each(func(d *date, at objectDay, digest told) {
		if digest == 0 || digest != d.told {
			differ[at] = true
		}
	})
	each(func(d *date, at objectDay, _ told) { d.same = !differ[at] })
}

// readTold reads the digests of the objects and months that the parts hold
// stats of, but for objects that were made just now.
func readTold(ctx context.Context, tx pgx.Tx, parts []*Part) (months, error) {
	known := months{}
	for _, p := range parts {
		for _, d := range p.dates {
			if o := p.objects[d.object]; !o.inserted && p.kind != source.KindCount {
				known.at(o.ID, d.day)
			}
		}
	}
	if len(known) == 0 {
		return known, nil
	}
	var ids []int64
	var firsts []metric.Day
	for k := range known {
		ids, firsts = append(ids, k.object), append(firsts, k.month)
	}
	rows, err := tx.Query(ctx, `
		SELECT t.object_id, t.month, t.days FROM unnest($1::bigint[], $2::int[]) AS k(object_id, month),
		LATERAL (SELECT * FROM told t WHERE t.object_id = k.object_id AND t.month = k.month LIMIT 1) AS t`, ids, firsts)
	if err != nil {
		return nil, err
	}
	var k monthOf
	var days []byte
	_, err = pgx.ForEachRow(rows, []any{&k.object, &k.month, &days}, func() error {
		known[k].read(days)
		return nil
	})
	return known, err
}

// read reads a row of told: eight bytes for each day, up to the last that is known.
func (m *month) read(days []byte) {
	for i := range min(len(days)/8, len(m.days)) {
		m.days[i] = told(binary.BigEndian.Uint64(days[8*i:]))
	}
}

func (m *month) bytes() []byte {
	n := len(m.days)
	for n > 0 && m.days[n-1] == 0 {
		n--
	}
	b := make([]byte, 0, 8*n)
	for _, digest := range m.days[:n] {
		b = binary.BigEndian.AppendUint64(b, uint64(digest))
	}
	return b
}

// writeTold writes the digests that differ now.
func writeTold(ctx context.Context, tx pgx.Tx, known months) error {
	keys := slices.SortedFunc(maps.Keys(known), func(a, b monthOf) int {
		return compareRows(RowKey{Object: a.object, Day: a.month}, RowKey{Object: b.object, Day: b.month})
	})
	var ids []int64
	var firsts []metric.Day
	var days [][]byte
	for _, k := range keys {
		if m := known[k]; m.written {
			ids, firsts, days = append(ids, k.object), append(firsts, k.month), append(days, m.bytes())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO told (object_id, month, days) SELECT * FROM unnest($1::bigint[], $2::int[], $3::bytea[])
		ON CONFLICT (object_id, month) DO UPDATE SET days = excluded.days`, ids, firsts, days)
	return err
}

// forgetTold takes out the digests of objects whose events are added up: a
// digest stands for a total.
func forgetTold(ctx context.Context, tx pgx.Tx, objects []int64) error {
	if len(objects) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `DELETE FROM told WHERE object_id = ANY($1)`, objects); err != nil {
		return fmt.Errorf("forget what was told: %w", err)
	}
	return nil
}
