package client

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/fetch"
	"github.com/leatflow/leat/services/tree"
)

// A Repair is a job whose marks make rollup write what differs.
type Repair struct {
	Job       string `json:"job"`
	Source    string `json:"source"`
	Documents int    `json:"documents"`
}

// A mark is a row of dirty to be.
type mark struct {
	object, root int64
	half         string
}

// markChunk is how many marks are made by one statement.
const markChunk = 1000

// repair marks documents, those of each source in a job of their own. They are
// sorted by source.
func (k *check) repair(ctx context.Context, docs []document) ([]Repair, error) {
	repairs := []Repair{}
	for len(docs) > 0 {
		n := 0
		for n < len(docs) && docs[n].source == docs[0].source {
			n++
		}
		r := Repair{Job: uuid.Must(uuid.NewV7()).String(), Source: docs[0].source, Documents: n}
		if err := pgx.BeginFunc(ctx, k.db, func(tx pgx.Tx) error {
			if err := r.mark(ctx, tx, docs[:n]); err != nil {
				return err
			}
			return r.record(ctx, tx, k.by)
		}); err != nil {
			return repairs, fmt.Errorf("mark documents of %s: %w", r.Source, err)
		}
		repairs, docs = append(repairs, r), docs[n:]
	}
	return repairs, nil
}

// mark writes the job, its ledger row, without which it would never end, and
// the marks, all of them or none.
func (r Repair) mark(ctx context.Context, tx pgx.Tx, docs []document) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO jobs (id, source, mode, params, via, state, started_at)
		VALUES ($1, $2, 'repair', jsonb_build_object('source', $2::text, 'documents', $3::int), 'check', 'running', now())`,
		r.Job, r.Source, len(docs)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO ledger (stage, message_id, job_id, source, state) VALUES ($1, $2::text, $2::text::uuid, $3, 'done')`,
		fetch.Name, r.Job, r.Source); err != nil {
		return err
	}
	for len(docs) > 0 {
		n := min(len(docs), markChunk)
		marks, err := marksOf(ctx, tx, docs[:n])
		if err != nil {
			return err
		}
		if err := r.insert(ctx, tx, marks); err != nil {
			return err
		}
		docs = docs[n:]
	}
	return nil
}

func (r Repair) record(ctx context.Context, tx pgx.Tx, by audit.By) error {
	return audit.Record(ctx, tx, audit.Entry{
		By: by, Action: audit.Repair, Subject: r.Job, Why: "documents differ from the rows",
		Detail: map[string]any{"source": r.Source, "documents": r.Documents},
	})
}

// marksOf turns documents into marks. One that no object can have is marked by
// its name, and rollup takes it out.
func marksOf(ctx context.Context, tx pgx.Tx, docs []document) ([]mark, error) {
	var ids []int64
	for _, d := range docs {
		ids = append(ids, d.object)
	}
	nodes, err := tree.Up(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	marks := make([]mark, len(docs))
	for i, d := range docs {
		marks[i] = mark{half: d.place()}
		if node := nodes[d.object]; node != nil && !d.impossible {
			marks[i] = mark{object: d.object, root: node.Root().ID, half: d.half}
		}
	}
	return marks, nil
}

func (r Repair) insert(ctx context.Context, tx pgx.Tx, marks []mark) error {
	var objects, roots []int64
	var halves []string
	for _, m := range marks {
		objects, roots, halves = append(objects, m.object), append(roots, m.root), append(halves, m.half)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO dirty (object_id, root_id, half, job_id, due)
		SELECT object_id, root_id, half, $4, now() FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS m(object_id, root_id, half)`,
		objects, roots, halves, r.Job)
	return err
}
