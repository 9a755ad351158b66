package client

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/fetch"
	"github.com/leatflow/leat/services/tree"
)

// A Repair is a job that takes what differs through the pipeline.
type Repair struct {
	Job       string `json:"job"`
	Source    string `json:"source"`
	Documents int    `json:"documents"` // marked, for rollup to write
	Objects   int    `json:"objects"`   // sent to annotate
	Messages  int    `json:"messages"`  // of the job itself, published again

	mode, why string
}

// What says in words what the repair is of.
func (r Repair) What() string {
	switch {
	case r.Documents > 0:
		return fmt.Sprintf("%d documents of %s are marked", r.Documents, r.Source)
	case r.Objects > 0:
		return fmt.Sprintf("%d objects of %s are sent to annotate", r.Objects, r.Source)
	}
	return fmt.Sprintf("%d messages of a job of %s are published again", r.Messages, r.Source)
}

// A mark is a row of dirty to be.
type mark struct {
	object, root int64
	half         string
}

// markChunk is how many marks are made by one statement.
const markChunk = 1000

// repair marks documents and sends objects to annotate, those of each source in
// jobs of their own. Both are sorted by source, the objects then by version.
func (k *check) repair(ctx context.Context, docs []document, objects []tagged) error {
	for len(docs) > 0 {
		n := leading(docs, func(d document) string { return d.source })
		r := Repair{Job: uuid.Must(uuid.NewV7()).String(), Source: docs[0].source, Documents: n, mode: modeRepair, why: k.what.because("documents differ from the rows")}
		if err := pgx.BeginFunc(ctx, k.db, func(tx pgx.Tx) error {
			if err := r.mark(ctx, tx, docs[:n]); err != nil {
				return err
			}
			return r.record(ctx, tx, k.by)
		}); err != nil {
			return fmt.Errorf("mark documents of %s: %w", r.Source, err)
		}
		k.Repairs, docs = append(k.Repairs, r), docs[n:]
	}
	for len(objects) > 0 {
		n := leading(objects, func(t tagged) string { return t.source + " " + t.version })
		r := Repair{Job: uuid.Must(uuid.NewV7()).String(), Source: objects[0].source, Objects: n, mode: modeRepair, why: k.what.because("tags differ from what the annotators give")}
		ids := make([]int64, n)
		for i, t := range objects[:n] {
			ids[i] = t.id
		}
		if err := k.annotateAgain(ctx, r, objects[0].version, ids, true); err != nil {
			return fmt.Errorf("send objects of %s to annotate: %w", r.Source, err)
		}
		k.Repairs, objects = append(k.Repairs, r), objects[n:]
	}
	return nil
}

// annotateAgain sends objects of one source to annotate. Anew takes their tags for
// made of nothing, or annotate would find that their inputs are the same. The
// ledger holds the messages when they are published, as that of any stage.
func (c *Client) annotateAgain(ctx context.Context, r Repair, version string, ids []int64, anew bool) error {
	cause := pipeline.Envelope{ID: r.Job, Job: r.Job, At: time.Now()}
	var out []pipeline.Envelope
	for some := range slices.Chunk(ids, objectChunk) {
		changes := event.Changes{Source: r.Source, Version: version}
		for _, id := range some {
			changes.Objects = append(changes.Objects, event.Change{ID: id, Above: true})
		}
		e, err := cause.Emit(rabbit.Annotate, strconv.Itoa(len(out)), changes)
		if err != nil {
			return err
		}
		out = append(out, e)
	}
	if err := pgx.BeginFunc(ctx, c.db, func(tx pgx.Tx) error {
		if anew {
			if _, err := tx.Exec(ctx, `UPDATE tags SET inputs_hash = '' WHERE object_id = ANY($1)`, ids); err != nil {
				return err
			}
		}
		if err := r.open(ctx, tx, out); err != nil {
			return err
		}
		return r.record(ctx, tx, c.by)
	}); err != nil {
		return err
	}
	return c.publish(ctx, out)
}

func (c *Client) publish(ctx context.Context, out []pipeline.Envelope) error {
	broker := rabbit.New(c.cfg.RabbitMQ, func(string, error) {})
	defer broker.Close()
	return broker.Publish(ctx, out)
}

// open writes the job and its ledger row, without which it would never end.
func (r Repair) open(ctx context.Context, tx pgx.Tx, out []pipeline.Envelope) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO jobs (id, source, mode, params, via, state, started_at)
		VALUES ($1, $2, $5::text, jsonb_build_object('source', $2::text, 'documents', $3::int, 'objects', $4::int),
			CASE $5 WHEN 'repair' THEN 'check' ELSE 'cli' END, 'running', now())`,
		r.Job, r.Source, r.Documents, r.Objects, r.mode); err != nil {
		return err
	}
	names := make([]string, len(out))
	for i, e := range out {
		names[i] = e.ID
	}
	if out == nil {
		out = []pipeline.Envelope{}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO ledger (stage, message_id, job_id, source, state, names, outputs) VALUES ($1, $2::text, $2::text::uuid, $3, 'done', $4, $5)`,
		fetch.Name, r.Job, r.Source, names, out)
	return err
}

// mark writes the job and the marks, all of them or none.
func (r Repair) mark(ctx context.Context, tx pgx.Tx, docs []document) error {
	if err := r.open(ctx, tx, nil); err != nil {
		return err
	}
	for some := range slices.Chunk(docs, markChunk) {
		marks, err := marksOf(ctx, tx, some)
		if err != nil {
			return err
		}
		if err := r.insert(ctx, tx, marks); err != nil {
			return err
		}
	}
	return nil
}

func (r Repair) record(ctx context.Context, tx pgx.Tx, by audit.By) error {
	return audit.Record(ctx, tx, audit.Entry{
		By: by, Action: r.action(), Subject: r.Job, Why: r.why,
		Detail: map[string]any{"source": r.Source, "documents": r.Documents, "objects": r.Objects},
	})
}

// marksOf turns documents into marks. One that no object can have is marked by
// its name, and rollup takes it out.
func marksOf(ctx context.Context, tx pgx.Tx, docs []document) ([]mark, error) {
	nodes, err := tree.Up(ctx, tx, objectsOf(docs))
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
