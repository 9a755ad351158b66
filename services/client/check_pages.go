package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/postgres"
)

// A Sample says how many of the objects of each source are looked at: a share of
// them, or about a number. Which they are is said by a hash of their ids and of
// the day, so that a sample each day comes to all of them in time.
type Sample struct {
	Share float64 // 0 to 1
	Count int64
}

// ParseSample reads a share (5%) or a number (1000).
func ParseSample(text string) (Sample, error) {
	wrong := fmt.Errorf("found %q; allowed are a share of the objects of each source (5%%) and a number of them (1000)", text)
	if share, ok := strings.CutSuffix(text, "%"); ok {
		f, err := strconv.ParseFloat(share, 64)
		if err != nil || !(f > 0 && f <= 100) {
			return Sample{}, wrong
		}
		return Sample{Share: f / 100}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return Sample{}, wrong
	}
	return Sample{Count: n}, nil
}

// ErrSince says that nobody knows any more what has changed since a time.
var ErrSince = errors.New("the ledger does not reach so far back")

// objectChunk is how many objects are taken at once.
const objectChunk = 500

// buckets are what the hash of an object is one of; those below some limit are
// in the sample.
const buckets = 1 << 30

// sampled is the condition of being in the sample; $2 is the limit and $3 the day.
const sampled = `(hashint8extended(o.id, $3) & 1073741823) < $2`

// limitOf returns below which bucket the objects of a source are in the sample.
func (k *check) limitOf(ctx context.Context, name string) (int64, error) {
	share := k.what.Sample.Share
	if wanted := k.what.Sample.Count; wanted > 0 {
		var n int64
		if err := k.db.QueryRow(ctx, `SELECT count(*) FROM objects WHERE source = $1`, name).Scan(&n); err != nil {
			return 0, err
		}
		share = float64(wanted) / float64(max(n, 1))
	}
	if share == 0 || share > 1 {
		share = 1
	}
	return int64(math.Ceil(share * buckets)), nil
}

// pages yields the objects of a source that are to be looked at, in the order of
// their ids.
func (k *check) pages(ctx context.Context, name string, yield func([]object) error) error {
	limit, err := k.limitOf(ctx, name)
	if err != nil {
		return err
	}
	if !k.what.Since.IsZero() {
		return k.changedPages(ctx, name, limit, yield)
	}
	var last int64
	for {
		rows, err := k.db.Query(ctx, `
			SELECT o.id, o.type, o.key, o.changed_at FROM objects o
			WHERE o.source = $1 AND `+sampled+` AND o.id > $4
			ORDER BY o.id
			LIMIT $5`, name, limit, k.day, last, objectChunk)
		if err != nil {
			return err
		}
		objects, err := pgx.CollectRows(rows, scanObject)
		if err != nil || len(objects) == 0 {
			return err
		}
		last = objects[len(objects)-1].id
		if err := yield(objects); err != nil {
			return err
		}
	}
}

// ledgerReach is for how long at least the ledger knows what changed: rollup
// keeps it for 30 days after a job's end.
const ledgerReach = 30 * 24 * time.Hour

// changedPages yields the objects of which delta or annotate have said since a
// time that they changed, and those above them. It reads on while they are looked
// at, over a connection of its own, for there may be as many as there are objects.
func (k *check) changedPages(ctx context.Context, name string, limit int64, yield func([]object) error) error {
	if time.Since(k.what.Since) > ledgerReach {
		return fmt.Errorf("since %s: %w: 30 days at most", k.what.Since.UTC().Format(time.RFC3339), ErrSince)
	}
	conn, err := pgx.ConnectConfig(ctx, k.db.Config().ConnConfig)
	if err != nil {
		return postgres.Classify(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written over it
	rows, err := conn.Query(ctx, `
		WITH RECURSIVE up AS (
			SELECT o.id, o.parent_id FROM objects o WHERE o.source = $1 AND o.id IN (
				SELECT (c ->> 0)::bigint
				FROM ledger l, jsonb_array_elements(l.outputs) AS e, jsonb_array_elements(e -> 'body' -> 'objects') AS c
				WHERE l.stage IN ('delta', 'annotate') AND l.done_at >= $4 AND jsonb_typeof(c) = 'array')
			UNION
			SELECT p.id, p.parent_id FROM up JOIN objects p ON p.id = up.parent_id
		)
		SELECT o.id, o.type, o.key, o.changed_at FROM up JOIN objects o USING (id)
		WHERE o.source = $1 AND `+sampled+`
		ORDER BY o.id`, name, limit, k.day, k.what.Since)
	if err != nil {
		return err
	}
	defer rows.Close()
	objects := make([]object, 0, objectChunk)
	for rows.Next() {
		o, err := scanObject(rows)
		if err != nil {
			return err
		}
		if objects = append(objects, o); len(objects) == objectChunk {
			if err := yield(objects); err != nil {
				return err
			}
			objects = objects[:0]
		}
	}
	if err := rows.Err(); err != nil || len(objects) == 0 {
		return err
	}
	return yield(objects)
}
