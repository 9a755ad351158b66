package rollup

import (
	"cmp"
	"context"
	"fmt"
	"math"
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
	if due, err := anyDue(ctx, tx, settled); err != nil || !due {
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

// anyDue is the cheap question that is asked most of the time in vain.
func anyDue(ctx context.Context, tx pgx.Tx, settled []string) (due bool, err error) {
	err = tx.QueryRow(ctx, `SELECT coalesce((SELECT due FROM dirty ORDER BY due LIMIT 1) < now(), false)`).Scan(&due)
	if err != nil || due || len(settled) == 0 {
		return due, err
	}
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM dirty WHERE job_id = ANY($1::uuid[]))`, settled).Scan(&due)
	return due, err
}

// readMarks reads all marks of the objects.
func readMarks(ctx context.Context, tx pgx.Tx, objects []int64) ([]dirtyRow, error) {
	rows, err := tx.Query(ctx, `
		SELECT id, object_id, half, self, coalesce(days, '{}'), days IS NULL, job_id::text
		FROM dirty WHERE object_id = ANY($1)
		ORDER BY id`, objects)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[dirtyRow])
}

// A place is where a document stands.
type place struct {
	object int64
	half   string
}

// places are the documents that a mark is for, of those known and those that its days are in.
func (r dirtyRow) places(known map[int64][]string) []place {
	if r.Half != byDays {
		return []place{{r.Object, r.Half}}
	}
	var halves []string
	if r.Self || r.All {
		halves = slices.Clone(known[r.Object])
	}
	last := metric.Day(math.MinInt32)
	for _, day := range r.Days {
		if day <= last {
			continue
		}
		half := day.Half()
		_, last, _ = metric.HalfDays(half) // a half-year that was just made
		if !slices.Contains(halves, half) {
			halves = append(halves, half)
		}
	}
	places := make([]place, len(halves))
	for i, half := range halves {
		places[i] = place{r.Object, half}
	}
	return places
}

// expand turns marks into the documents to write.
func expand(rows []dirtyRow, known map[int64][]string) (wants []Want, orphans []string) {
	at := map[place]*Want{}
	for _, r := range rows {
		if r.Object == 0 {
			orphans = append(orphans, r.Half)
			continue
		}
		for _, p := range r.places(known) {
			if at[p] == nil {
				at[p] = &Want{Object: p.object, Half: p.half}
			}
			at[p].add(r)
		}
	}
	for _, w := range at {
		slices.Sort(w.Days)
		w.Days = slices.Compact(w.Days)
		wants = append(wants, *w)
	}
	slices.SortFunc(wants, func(a, b Want) int { return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Half, b.Half)) })
	return wants, orphans
}

// add adds what a mark says of the document.
func (w *Want) add(r dirtyRow) {
	w.All = w.All || r.All && w.Half != noHalf
	first, last, err := metric.HalfDays(w.Half)
	if err != nil {
		return // it has no days
	}
	for _, day := range r.Days {
		if first <= day && day <= last {
			w.Days = append(w.Days, day)
		}
	}
}

// knownHalves returns the halves of which the objects have documents.
func knownHalves(ctx context.Context, tx pgx.Tx, objects []int64) (map[int64][]string, error) {
	known := map[int64][]string{}
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
	var objects, done []int64
	for _, r := range c.rows {
		if !c.redo[r.Object] {
			objects, done = append(objects, r.Object), append(done, r.ID)
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM dirty WHERE object_id = ANY($1) AND id = ANY($2)`, objects, done); err != nil {
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
	jobs, objects, halves := c.writtenFor()
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

// writtenFor returns the documents that were written, by the jobs whose marks
// they come from.
func (c *claim) writtenFor() (jobs []string, objects []int64, halves []string) {
	written := make(map[place]bool, len(c.docs))
	for _, d := range c.docs {
		if !c.redo[d.Node.ID] && c.refused[d] == "" {
			written[place{d.Node.ID, d.Half}] = true
		}
	}
	type count struct {
		job string
		place
	}
	counted := make(map[count]bool, len(c.docs))
	for _, r := range c.rows {
		for _, p := range r.places(c.known) {
			if n := (count{r.Job, p}); written[p] && !counted[n] {
				counted[n] = true
				jobs, objects, halves = append(jobs, r.Job), append(objects, p.object), append(halves, p.half)
			}
		}
	}
	return jobs, objects, halves
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
