package rollup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/metric"
)

// lockDue locks the first mark of up to limit objects that are due: a job of
// theirs has nothing left upstream, or a mark is old enough. Whoever has the
// first mark of an object has them all, so that two workers never write one
// document at a time; others pass over it.
func lockDue(ctx context.Context, tx pgx.Tx, settled []string, limit int) ([]int64, error) {
	var due bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM dirty WHERE job_id = ANY($1::uuid[])) OR EXISTS (SELECT 1 FROM dirty WHERE due < now())`, settled).Scan(&due)
	if err != nil || !due {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		SELECT d.object_id FROM dirty d
		WHERE NOT EXISTS (SELECT 1 FROM dirty f WHERE f.object_id = d.object_id AND f.id < d.id)
		AND (d.job_id = ANY($1::uuid[]) OR d.due < now() OR EXISTS (
			SELECT 1 FROM dirty r WHERE r.object_id = d.object_id AND (r.job_id = ANY($1::uuid[]) OR r.due < now())))
		ORDER BY d.root_id, d.object_id
		LIMIT $2
		FOR UPDATE OF d SKIP LOCKED`, settled, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// readMarks reads all marks of the objects.
func readMarks(ctx context.Context, tx pgx.Tx, objects []int64) ([]dirtyRow, error) {
	rows, err := tx.Query(ctx, `
		SELECT id, object_id, half, coalesce((SELECT array_agg(d - DATE '1970-01-01') FROM unnest(days) AS d), '{}'), days IS NULL, job_id::text
		FROM dirty WHERE object_id = ANY($1)
		ORDER BY id`, objects)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[dirtyRow])
}

// expand turns marks into the documents to write. A mark of all halves is one
// of each document that the object has.
func expand(ctx context.Context, tx pgx.Tx, rows []dirtyRow) (wants []Want, orphans []string, err error) {
	type key struct {
		object int64
		half   string
	}
	days := map[key]map[metric.Day]bool{}
	all := map[key]bool{}
	everything := map[int64]bool{} // all days of all halves
	var wide []int64
	for _, r := range rows {
		k := key{r.Object, r.Half}
		switch {
		case r.Object == 0:
			orphans = append(orphans, r.Half)
			continue
		case r.Half == allHalves:
			wide = append(wide, r.Object)
			everything[r.Object] = everything[r.Object] || r.All
			continue
		case days[k] == nil:
			days[k] = map[metric.Day]bool{}
		}
		all[k] = all[k] || r.All
		for _, d := range r.Days {
			days[k][d] = true
		}
	}
	known, err := knownHalves(ctx, tx, wide)
	if err != nil {
		return nil, nil, err
	}
	for object, halves := range known {
		for _, half := range halves {
			k := key{object, half}
			if days[k] == nil {
				days[k] = map[metric.Day]bool{}
			}
			all[k] = all[k] || everything[object]
		}
	}
	for k, set := range days {
		wants = append(wants, Want{k.object, k.half, slices.Sorted(maps.Keys(set)), all[k]})
	}
	slices.SortFunc(wants, func(a, b Want) int { return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Half, b.Half)) })
	return wants, orphans, nil
}

// knownHalves returns the halves of which the objects have documents.
func knownHalves(ctx context.Context, tx pgx.Tx, objects []int64) (map[int64][]string, error) {
	known := map[int64][]string{}
	if len(objects) == 0 {
		return known, nil
	}
	rows, err := tx.Query(ctx, `SELECT object_id, half FROM documents WHERE object_id = ANY($1)`, objects)
	if err != nil {
		return nil, err
	}
	var object int64
	var half string
	_, err = pgx.ForEachRow(rows, []any{&object, &half}, func() error {
		known[object] = append(known[object], half)
		return nil
	})
	return known, err
}

func cutOrphan(orphan string) (source, id string) {
	source, id, _ = strings.Cut(orphan, "/")
	return source, id
}

// forget deletes the marks of what was written, and keeps account of it.
func forget(ctx context.Context, tx pgx.Tx, c *claim) error {
	var done []int64
	for _, r := range c.rows {
		if !c.redo[r.Object] {
			done = append(done, r.ID)
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM dirty WHERE id = ANY($1)`, done); err != nil {
		return fmt.Errorf("delete marks: %w", err)
	}
	if err := c.keepDocuments(ctx, tx); err != nil {
		return fmt.Errorf("keep documents: %w", err)
	}
	if err := c.count(ctx, tx); err != nil {
		return fmt.Errorf("count documents: %w", err)
	}
	return c.keepRefused(ctx, tx)
}

// keepDocuments keeps which documents MongoDB holds.
func (c *claim) keepDocuments(ctx context.Context, tx pgx.Tx) error {
	var here, gone []int64
	var hereHalf, goneHalf []string
	for _, d := range c.docs {
		switch {
		case c.redo[d.Node.ID], c.refused[d] != "":
		case d.Gone:
			gone, goneHalf = append(gone, d.Node.ID), append(goneHalf, d.Half)
		default:
			here, hereHalf = append(here, d.Node.ID), append(hereHalf, d.Half)
		}
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO documents (object_id, half) SELECT * FROM unnest($1::bigint[], $2::text[])
		ON CONFLICT DO NOTHING`, here, hereHalf); err != nil || len(gone) == 0 {
		return err
	}
	_, err := tx.Exec(ctx, `
		DELETE FROM documents d USING unnest($1::bigint[], $2::text[]) AS g(object_id, half)
		WHERE d.object_id = g.object_id AND d.half = g.half`, gone, goneHalf)
	return err
}

// count adds to the ledger, for each job, how many of its documents were
// written: each once a job, however often its days were marked.
func (c *claim) count(ctx context.Context, tx pgx.Tx) error {
	type mark struct {
		job, half string
		object    int64
	}
	marked := map[mark]bool{}
	jobsOf := map[int64]map[string]bool{}
	for _, r := range c.rows {
		marked[mark{r.Job, r.Half, r.Object}] = true
		if jobsOf[r.Object] == nil {
			jobsOf[r.Object] = map[string]bool{}
		}
		jobsOf[r.Object][r.Job] = true
	}
	var jobs, halves []string
	var objects []int64
	for _, d := range c.docs {
		if c.redo[d.Node.ID] || c.refused[d] != "" {
			continue
		}
		for job := range jobsOf[d.Node.ID] {
			if marked[mark{job, d.Half, d.Node.ID}] || marked[mark{job, allHalves, d.Node.ID}] {
				jobs, objects, halves = append(jobs, job), append(objects, d.Node.ID), append(halves, d.Half)
			}
		}
	}
	_, err := tx.Exec(ctx, `
		WITH now AS (
			SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS n(job_id, object_id, half)
		), early AS (
			INSERT INTO written SELECT * FROM now WHERE job_id <> ALL($4::uuid[])
			ON CONFLICT DO NOTHING
			RETURNING job_id
		), last AS (
			SELECT job_id FROM now WHERE job_id = ANY($4::uuid[])
			AND NOT EXISTS (SELECT 1 FROM written w WHERE w.job_id = now.job_id AND w.object_id = now.object_id AND w.half = now.half)
		)
		INSERT INTO ledger (stage, message_id, job_id, state, counts)
		SELECT $5, 'write/' || $6::text || '/' || job_id, job_id, 'done', jsonb_build_object('documents.written', count(*))
		FROM (SELECT * FROM early UNION ALL SELECT * FROM last) AS w
		GROUP BY job_id`, jobs, objects, halves, c.settled, Name, fmt.Sprint(c.rev))
	return err
}

// keepRefused commits that documents are given up; their jobs end incomplete.
func (c *claim) keepRefused(ctx context.Context, tx pgx.Tx) error {
	for d, reason := range c.refused { // a document that the server refuses is a curiosity: one statement each
		if _, err := tx.Exec(ctx, `
			INSERT INTO ledger (stage, message_id, job_id, source, state, error, error_class)
			VALUES ($1, $2, $3, $4, 'dead', $5, 'permanent')
			ON CONFLICT DO NOTHING`, Name, c.refusedID(d), c.jobOf(d), d.Node.Source, d.ID()+": "+reason); err != nil {
			return fmt.Errorf("keep refused document: %w", err)
		}
	}
	return nil
}
