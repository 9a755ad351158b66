package delta

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

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
		lo, hi := p.seenObjects()
		sources, times, lows, high = append(sources, p.Source), append(times, at), append(lows, lo), append(high, hi)
	}
	if err := checkHorizon(ctx, tx, sources, times); err != nil {
		return nil, err
	}
	newer := map[int64]time.Time{}
	keys := digests(parts, state)
	if len(keys) == 0 {
		return newer, nil
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
		GROUP BY h`, sources, times, lows, high, keys)
	if err != nil {
		return nil, err
	}
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
// may change.
func (p *Part) seenObjects() (lo, hi int64) {
	lo = math.MaxInt64
	p.eachCompared(func(o *Object) { lo, hi = min(lo, o.ID), max(hi, o.ID) })
	return lo, hi
}

// eachCompared calls f for the objects that may have been seen and are not
// passed over.
func (p *Part) eachCompared(f func(o *Object)) {
	for i, o := range p.Objects {
		if o.Described && !p.objects[i].inserted {
			f(p.objects[i])
		}
	}
	for _, d := range p.dates {
		if o := p.objects[d.object]; !d.same && !o.inserted {
			f(o)
		}
	}
}

// digests returns the names in the ledger of all that parts may change, and of
// what may have been seen in its place.
func digests(parts []*Part, state State) []int64 {
	var keys []int64
	groups := map[group]string{} // the dimensions' names
	whole := map[group]bool{}
	for _, p := range parts {
		for i, o := range p.Objects {
			if o.Described && !p.objects[i].inserted {
				keys = append(keys, p.seenObject(p.objects[i].ID))
			}
		}
		if p.kind == source.KindCount {
			continue // events are told apart by their ids
		}
		for _, d := range p.dates {
			if d.same || p.objects[d.object].inserted {
				continue
			}
			for _, i := range d.stats {
				st, key := &p.Stats[i], p.rowKey(i)
				keys = append(keys, key.seen(hourOf(st)))
				names := dimNames(st.Dims)
				if known, ok := groups[key.group()]; ok && known != names {
					names = mixed
				}
				groups[key.group()] = names
				whole[key.group()] = whole[key.group()] || p.absentZero
			}
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
