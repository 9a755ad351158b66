package annotate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/tree"
)

// A Kept is what the table tags has of an object.
type Kept struct {
	Tags      []byte // canonical JSON
	Inputs    []byte // the hash of what they came from
	VersionAt time.Time
	Failed    map[string]string // why, by tag
	Retry     bool              // another try may give some of these
}

// stands reports whether what is kept needs no look at a: it is of a newer
// version, or of the same inputs and nothing of it is to be tried again.
func (k Kept) stands(a Annotation, versionAt time.Time) bool {
	return k.VersionAt.After(versionAt) || !k.Retry && bytes.Equal(a.Inputs, k.Inputs)
}

// A tagRow is a row of tags.
type tagRow struct {
	Kept
	id      int64
	changed bool
	fresh   bool // there was none
}

// newRow is the row of an object's annotation in place of what was kept.
func newRow(id int64, a Annotation, old Kept, there bool, versionAt time.Time) tagRow {
	tags := a.With(old.Tags)
	return tagRow{
		Kept: Kept{tags, a.Inputs, versionAt, a.failed(), a.Retry()}, id: id, fresh: !there,
		changed: !bytes.Equal(tags, old.Tags) && (there || string(tags) != NoTags),
	}
}

// same reports whether a row says what is kept already.
func (r tagRow) same(old Kept) bool {
	return !r.changed && bytes.Equal(r.Inputs, old.Inputs) && r.VersionAt.Equal(old.VersionAt) && r.Retry == old.Retry && maps.Equal(r.Failed, old.Failed)
}

// Stored reads what the table tags has of objects.
func Stored(ctx context.Context, q tree.Querier, ids []int64) (map[int64]Kept, error) {
	return kept(ctx, q, ids, "")
}

// lock locks the rows of tags that are there, in the order of their ids.
func lock(ctx context.Context, tx pgx.Tx, ids []int64) (map[int64]Kept, error) {
	return kept(ctx, tx, ids, "FOR UPDATE")
}

func kept(ctx context.Context, q tree.Querier, ids []int64, locking string) (map[int64]Kept, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, `
		SELECT object_id, tags, inputs_hash, CASE WHEN isfinite(version_at) THEN version_at ELSE 'epoch' END, failed, retry FROM tags
		WHERE object_id = ANY($1) ORDER BY object_id
		`+locking, ids)
	if err != nil {
		return nil, err
	}
	stored := make(map[int64]Kept, len(ids))
	var id int64
	var k Kept
	_, err = pgx.ForEachRow(rows, []any{&id, &k.Tags, &k.Inputs, &k.VersionAt, &k.Failed, &k.Retry}, func() error {
		stored[id] = Kept{canonical(k.Tags), slices.Clone(k.Inputs), k.VersionAt, maps.Clone(k.Failed), k.Retry}
		k.Failed = nil
		return nil
	})
	return stored, err
}

// canonical spells tags as json.Marshal does.
func canonical(tags []byte) []byte {
	var m map[string]any
	if json.Unmarshal(tags, &m) != nil {
		return tags
	}
	b, err := json.Marshal(m)
	if err != nil {
		return tags
	}
	return b
}

// clearTags takes the tags of objects that no rule is meant for any more, since
// their source file changed. It returns those that had any.
func clearTags(ctx context.Context, tx pgx.Tx, wanted map[int64]catalog.Version, annotated map[int64]Annotation) ([]int64, error) {
	var ids []int64
	var times []time.Time
	for id, version := range wanted {
		if _, ok := annotated[id]; !ok {
			ids, times = append(ids, id), append(times, version.FirstUsed)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `
		UPDATE tags t SET tags = '{}', inputs_hash = NULL, failed = NULL, retry = false, version_at = u.version_at, changed_at = now()
		FROM unnest($1::bigint[], $2::timestamptz[]) AS u(id, version_at)
		WHERE t.object_id = u.id AND t.inputs_hash IS NOT NULL AND t.version_at <= u.version_at
		RETURNING t.object_id`, ids, times)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// tagColumns are rows as arrays.
type tagColumns struct {
	ids     []int64
	tags    []string
	inputs  [][]byte
	times   []time.Time
	changed []bool
	failed  []*string
	retry   []bool
}

func (c *tagColumns) add(r tagRow) {
	c.ids, c.tags, c.inputs = append(c.ids, r.id), append(c.tags, string(r.Tags)), append(c.inputs, r.Inputs)
	c.times, c.changed = append(c.times, r.VersionAt), append(c.changed, r.changed)
	c.failed, c.retry = append(c.failed, reasons(r.Failed)), append(c.retry, r.Retry)
}

// reasons is the JSON of why tags failed; nil: none did.
func reasons(failed map[string]string) *string {
	if len(failed) == 0 {
		return nil
	}
	b, err := json.Marshal(failed)
	if err != nil {
		return nil
	}
	text := string(b)
	return &text
}

// save writes rows, which are in the order of their ids: those that were there
// and are locked, and new ones. A new one that another worker was first with
// undoes the transaction, for nobody has compared the two yet.
func save(ctx context.Context, tx pgx.Tx, rows []tagRow) error {
	var there, fresh tagColumns
	for _, r := range rows {
		if r.fresh {
			fresh.add(r)
		} else {
			there.add(r)
		}
	}
	if err := update(ctx, tx, there); err != nil {
		return err
	}
	return insert(ctx, tx, fresh)
}

func update(ctx context.Context, tx pgx.Tx, c tagColumns) error {
	if len(c.ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE tags t SET tags = u.tags, inputs_hash = u.inputs, version_at = u.version_at, failed = u.failed, retry = u.retry,
			changed_at = CASE WHEN u.changed THEN now() ELSE t.changed_at END
		FROM unnest($1::bigint[], $2::jsonb[], $3::bytea[], $4::timestamptz[], $5::boolean[], $6::jsonb[], $7::boolean[])
			AS u(id, tags, inputs, version_at, changed, failed, retry)
		WHERE t.object_id = u.id`, c.ids, c.tags, c.inputs, c.times, c.changed, c.failed, c.retry)
	return err
}

var errRaced = errors.New("another worker made the tags of one of these objects at the same time")

func insert(ctx context.Context, tx pgx.Tx, c tagColumns) error {
	if len(c.ids) == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO tags (object_id, tags, inputs_hash, version_at, failed, retry)
		SELECT * FROM unnest($1::bigint[], $2::jsonb[], $3::bytea[], $4::timestamptz[], $5::jsonb[], $6::boolean[])
		ON CONFLICT DO NOTHING`, c.ids, c.tags, c.inputs, c.times, c.failed, c.retry)
	if err == nil && tag.RowsAffected() != int64(len(c.ids)) {
		return errRaced
	}
	return err
}

// below returns the descendants whose rules name the type of an object that
// differs; below one that moved, those whose rules name any type at all.
func below(ctx context.Context, tx pgx.Tx, src *source.Source, differ []event.Change) ([]int64, error) {
	var ids []int64
	var moved []bool
	for _, c := range differ {
		ids, moved = append(ids, c.ID), append(moved, c.Moved)
	}
	var of, looking []string
	for _, t := range src.Types() {
		for _, l := range src.LooksUp(t.Name) {
			of, looking = append(of, t.Name), append(looking, l)
		}
	}
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE down AS (
			SELECT o.id, o.type, d.moved, d.type AS of
			FROM (SELECT t.id, t.type, c.moved FROM unnest($1::bigint[], $2::boolean[]) AS c(id, moved) JOIN objects t ON t.id = c.id) d
			CROSS JOIN LATERAL (SELECT id, type FROM objects WHERE parent_id = d.id OFFSET 0) AS o -- by the index, not by a scan
			UNION
			SELECT o.id, o.type, down.moved, down.of
			FROM down, LATERAL (SELECT id, type FROM objects WHERE parent_id = down.id OFFSET 0) AS o
		)
		SELECT DISTINCT down.id FROM down JOIN unnest($3::text[], $4::text[]) AS l(of, type)
			ON l.type = down.type AND (l.of = down.of OR down.moved)
		ORDER BY down.id`, ids, moved, of, looking)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
