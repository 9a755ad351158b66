package delta

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/metric"
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
	if err := lock(ctx, tx, parts); err != nil {
		return State{}, fmt.Errorf("lock objects: %w", err)
	}
	if state.Told, err = readTold(ctx, tx, parts); err != nil {
		return State{}, fmt.Errorf("read what was told: %w", err)
	}
	passOver(parts, state.Told)
	if state.Rows, err = readRows(ctx, tx, parts); err != nil {
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

// readRows reads all stats of the objects and days that the parts name, but
// those that are passed over and those of objects that were made just now.
func readRows(ctx context.Context, tx pgx.Tx, parts []*Part) (map[RowKey]*Row, error) {
	wanted := map[objectDay]bool{}
	for _, p := range parts {
		for _, d := range p.dates {
			if o := p.objects[d.object]; !o.inserted && !d.same {
				wanted[objectDay{o.ID, d.day}] = true
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
		row := Row{RowKey: r.RowKey, ObservedAt: r.ObservedAt, kept: true}
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

// write writes a plan: one statement a table, and one more for what no other
// worker can have.
func write(ctx context.Context, tx pgx.Tx, plan Plan) error {
	if err := updateObjects(ctx, tx, plan.Objects); err != nil {
		return fmt.Errorf("write objects: %w", err)
	}
	if err := removeRows(ctx, tx, plan.Removed); err != nil {
		return fmt.Errorf("remove stats: %w", err)
	}
	if err := copyRows(ctx, tx, plan.New); err != nil {
		return fmt.Errorf("copy stats: %w", err)
	}
	if err := upsertRows(ctx, tx, plan.Rows); err != nil {
		return fmt.Errorf("write stats: %w", err)
	}
	if err := writeTold(ctx, tx, plan.Told); err != nil {
		return fmt.Errorf("write what was told: %w", err)
	}
	return forgetTold(ctx, tx, plan.Counted)
}

// copyRows writes rows that cannot be there: PostgreSQL takes a COPY in half the
// time of an upsert.
func copyRows(ctx context.Context, tx pgx.Tx, rows []*Row) error {
	if len(rows) == 0 {
		return nil
	}
	columns := []string{"object_id", "day", "rule", "dims", "metrics", "hours", "hours_at", "observed_at"}
	values := make([]any, len(columns))
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"stats"}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		r := rows[i]
		hours, err := jsonOf(r.Hours)
		if err != nil {
			return nil, err
		}
		hoursAt, err := jsonOf(r.HoursAt)
		if err != nil {
			return nil, err
		}
		values = append(values[:0], r.Object, r.Day.Time(), r.Rule, r.Dims, r.Metrics.AppendJSON(nil), hours, hoursAt, r.ObservedAt)
		return values, nil
	}))
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

// makeMonth makes the partition of stats that begins at month, if it is missing.
func makeMonth(ctx context.Context, db *pgxpool.Pool, month metric.Day) error {
	_, err := db.Exec(ctx, `SELECT make_month(DATE '1970-01-01' + $1::int)`, int(month))
	return postgres.Classify(err)
}
