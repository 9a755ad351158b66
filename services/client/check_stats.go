package client

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A statKey is the key of a row of stats.
type statKey struct {
	object          int64
	day, rule, dims string
}

func (s statKey) place(source string, byID map[int64]object) string {
	place := fmt.Sprintf("%s/%s stats %s", source, byID[s.object].prefix(), s.day)
	if s.rule != "" {
		place += fmt.Sprintf(" rule %q", s.rule)
	}
	if s.dims != "" {
		place += fmt.Sprintf(" dims %q", s.dims)
	}
	return place
}

// number is the number that m has, in a statement that does not fail on one that
// has none.
const number = `CASE WHEN jsonb_typeof(m.value) = 'number' THEN m.value::numeric END`

// fields are the fields of what should be an object.
func fields(of string) string {
	return `jsonb_each(CASE WHEN jsonb_typeof(` + of + `) = 'object' THEN ` + of + ` ELSE '{}' END)`
}

// What metrics, hours and dims are written like; their names are a source file's.
const (
	namePattern   = `[A-Za-z_][A-Za-z0-9_]{0,62}`
	numberPattern = `^-?(0|[1-9][0-9]{0,12})(\.[0-9]{0,5}[1-9])?$` // a sum may have a digit more than what a source says
	hourPattern   = `^(1?[0-9]|2[0-4])$`
	dimPattern    = namePattern + `=([^%,=]|%25|%2C|%3D)*`
	plainField    = `"` + namePattern + `": -?(0\.[0-9]{0,5}[1-9]|[1-9][0-9]{0,11}(\.[0-9]{0,5}[1-9])?)`
	plainFields   = `\{(` + plainField + `(, ` + plainField + `)*)?\}`
	plainHour     = `"(1?[0-9]|2[0-4])": ` + plainFields
	largest       = `9223372036854.775807` // what a metric.Value holds
)

// figures finds stats whose metrics or hours are not as delta writes them, or
// whose dims are not in their one spelling. Most are plain, which one look at
// their text shows; the others are taken apart.
func (k *check) figures(ctx context.Context, name string, objects []object) error {
	byID, ids := idsOf(objects)
	rows, err := k.db.Query(ctx, `
		SELECT s.object_id, s.day::text, s.rule, s.dims, coalesce(odd.list, '') FROM stats s, LATERAL (
			SELECT string_agg(m.place || ' ' || coalesce(m.value::text, 'null'), ', ' ORDER BY m.place) AS list FROM (
				SELECT 'metrics.' || m.key AS place, m.key, m.value FROM `+fields("s.metrics")+` AS m
				UNION ALL
				SELECT 'hours.' || h.key || '.' || m.key, CASE WHEN h.key ~ $4 THEN m.key ELSE '' END, m.value
				FROM `+fields("s.hours")+` AS h, `+fields("h.value")+` AS m
				UNION ALL
				SELECT 'hours.' || h.key, '', h.value FROM `+fields("s.hours")+` AS h WHERE jsonb_typeof(h.value) <> 'object'
				UNION ALL
				SELECT v.place, '', v.value FROM (VALUES ('metrics', s.metrics), ('hours', s.hours)) AS v(place, value)
				WHERE jsonb_typeof(v.value) <> 'object'
			) AS m WHERE m.value::text !~ $2 OR m.key !~ $3 OR m.value = '0' OR abs(`+number+`) > `+largest+`) AS odd
		WHERE s.object_id = ANY($1)
		AND (s.metrics::text !~ $6 OR s.hours::text !~ $7 OR `+oddDims+`)
		AND (odd.list IS NOT NULL OR `+oddDims+`)
		ORDER BY 1, 2, 3, 4`, ids, numberPattern, "^"+namePattern+"$", hourPattern, "^"+dimPattern+"(,"+dimPattern+")*$",
		"^"+plainFields+"$", `^\{(`+plainHour+`(, `+plainHour+`)*)?\}$`)
	if err != nil {
		return err
	}
	var at statKey
	var odd string
	_, err = pgx.ForEachRow(rows, []any{&at.object, &at.day, &at.rule, &at.dims, &odd}, func() error {
		text := "dims have their names in order, each once, and %, comma and = percent-encoded in the values"
		if odd != "" {
			text = "a metric has a name, at most 12 digits before the point and 6 after it, and is not zero; found " + odd
		}
		k.beyond(whole(at.place(name, byID), text))
		return nil
	})
	return err
}

// oddDims is true of dims that are not written as $5 says, or whose names are not
// in order, each once.
const oddDims = `s.dims <> '' AND (s.dims !~ $5 OR s.dims LIKE '%,%' AND
	ARRAY(SELECT split_part(d.dim, '=', 1) COLLATE "C" FROM unnest(string_to_array(s.dims, ',')) WITH ORDINALITY AS d(dim, n) ORDER BY d.n)
	<> ARRAY(SELECT DISTINCT split_part(d.dim, '=', 1) COLLATE "C" FROM unnest(string_to_array(s.dims, ',')) AS d(dim) ORDER BY 1))`

// sumHours finds the stats of objects whose hours do not add up to the day.
func (k *check) sumHours(ctx context.Context, name string, objects []object) error {
	byID, ids := idsOf(objects)
	rows, err := k.db.Query(ctx, `
		SELECT s.object_id, s.day::text, s.rule, s.dims, s.metrics::text, h.sums::text
		FROM stats s, LATERAL (
			SELECT coalesce(jsonb_object_agg(name, total), '{}') AS sums FROM (
				SELECT m.key AS name, sum(`+number+`) AS total
				FROM `+fields("s.hours")+` AS hour, `+fields("hour.value")+` AS m
				GROUP BY m.key HAVING sum(`+number+`) <> 0) AS t) AS h
		WHERE s.object_id = ANY($1) AND s.hours IS NOT NULL AND h.sums <> s.metrics`, ids)
	if err != nil {
		return err
	}
	var at statKey
	var metrics, sums string
	_, err = pgx.ForEachRow(rows, []any{&at.object, &at.day, &at.rule, &at.dims, &metrics, &sums}, func() error {
		k.beyond(whole(at.place(name, byID), fmt.Sprintf("the hours add up to %s, the day says %s", sums, metrics)))
		return nil
	})
	return err
}

// strays finds rows whose object is not there.
func (k *check) strays(ctx context.Context) error {
	rows, err := k.db.Query(ctx, `
		SELECT 'stats', s.object_id, count(*), 'of ' || min(s.day) || ' to ' || max(s.day) FROM stats s
		WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = s.object_id) GROUP BY s.object_id
		UNION ALL
		SELECT 'documents', d.object_id, count(*), 'for ' || string_agg(d.half, ', ') FROM documents d
		WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = d.object_id) GROUP BY d.object_id
		ORDER BY 1, 2`)
	if err != nil {
		return fmt.Errorf("look for rows without an object: %w", err)
	}
	var table, which string
	var id, n int64
	_, err = pgx.ForEachRow(rows, []any{&table, &id, &n, &which}, func() error {
		k.beyond(whole(fmt.Sprintf("table %s, object_id %d", table, id), fmt.Sprintf("%d rows %s, and no such object", n, which)))
		return nil
	})
	return err
}

// tooOld is for how long what is due may lie: rollup workers that are there come
// to it within seconds, and may have an outage behind them.
const tooOld = time.Hour

// overdue finds marks that no rollup worker has come to.
func (k *check) overdue(ctx context.Context) error {
	rows, err := k.db.Query(ctx, `
		SELECT coalesce(o.source, split_part(d.half, '/', 1)), d.job_id::text, count(*), min(d.due)
		FROM dirty d LEFT JOIN objects o ON o.id = d.object_id
		WHERE d.due < now() - $1::interval AND ($2 = '' OR coalesce(o.source, split_part(d.half, '/', 1)) = $2)
		GROUP BY 1, 2 ORDER BY 1, 2`, tooOld, k.what.Source)
	if err != nil {
		return fmt.Errorf("look for old marks: %w", err)
	}
	var source, job string
	var n int64
	var due time.Time
	_, err = pgx.ForEachRow(rows, []any{&source, &job, &n, &due}, func() error {
		k.beyond(whole(source+" job "+job, fmt.Sprintf("%d of its marks were due at %s, and rollup has not written them: does a leat-rollup run, and what does it log?",
			n, due.UTC().Format(time.RFC3339))))
		return nil
	})
	return err
}
