package floor

import (
	"context"
	"encoding/json"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// bulkSize is the documents of a bulk; so many writers send them.
const (
	bulkSize    = 500
	bulkWriters = 4
)

// Writers send bulks to the document server.
type writers struct{ bulks chan bulk }

type bulk struct {
	inserts []bson.Raw
	updates []mongo.WriteModel
}

func (l *loader) startWriters(ctx context.Context, group *errgroup.Group) *writers {
	w := &writers{bulks: make(chan bulk, bulkWriters)}
	for range bulkWriters {
		group.Go(func() error {
			for b := range w.bulks {
				if err := l.send(ctx, b); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return w
}

func (l *loader) send(ctx context.Context, b bulk) error {
	if len(b.inserts) > 0 {
		if _, err := l.Collection.InsertMany(ctx, b.inserts, options.InsertMany().SetOrdered(false)); err != nil {
			return err
		}
	}
	if len(b.updates) == 0 {
		return nil
	}
	_, err := l.Collection.BulkWrite(ctx, b.updates, options.BulkWrite().SetOrdered(false))
	return err
}

// An account is the load of one account's report.
type account struct {
	*loader
	ctx     context.Context
	writers *writers
	parser  parser
	render  renderer
	bulk    bulk

	stats                  *copier
	objects, tags, digests copied // for the end: they are small, and tags refer to objects
}

// begin begins an account. Rows go into the table at once when all are new, else
// into one beside it, from which they are merged at the end.
func (l *loader) begin(ctx context.Context, w *writers) *account {
	a := &account{loader: l, ctx: ctx, writers: w}
	a.render = renderer{source: l.Source.Name, rev: l.Rev}
	if len(l.known) == 0 {
		a.stats = copyTo(ctx, l.DB, "stats ("+statColumns+")", "SELECT", "SELECT")
	} else {
		a.stats = copyTo(ctx, l.DB, "changed ("+statColumns+")", `CREATE TEMP TABLE changed (LIKE stats) ON COMMIT DROP`, `
			INSERT INTO stats (`+statColumns+`) SELECT `+statColumns+` FROM changed
			ON CONFLICT (object_id, day, rule, dims) DO UPDATE SET metrics = excluded.metrics, observed_at = excluded.observed_at`)
	}
	return a
}

const (
	statColumns   = "object_id, day, rule, dims, metrics, observed_at"
	objectColumns = "id, source, type, key, parent_id, depth, name, attrs, observed_at"
	tagColumns    = "object_id, tags"
	digestColumns = "object_id, type, key, fields, rows"
)

// campaign writes what is new or different of a campaign and all below it.
func (a *account) campaign(element []byte) error {
	objects, err := a.parser.element(element)
	if err != nil {
		return err
	}
	if err := a.compare(objects); err != nil {
		return err
	}
	a.parser.addUp(objects)
	a.render.use(a.parser.metrics)
	for _, o := range objects {
		if err := a.write(o); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) write(o *object) error {
	changed := o.isNew
	for i := range o.rows {
		if o.rows[i].changed {
			changed = true
			if err := a.stat(o, &o.rows[i]); err != nil {
				return err
			}
		}
	}
	if changed {
		a.digest(o)
	}
	if !o.isNew {
		return a.updates(o)
	}
	tags, failed := a.Source.Annotate(o.view(), nil)
	for tag, err := range failed {
		return fmt.Errorf("%s/%s: tag %s: %w", o.typ, o.key, tag, err)
	}
	if err := a.newObject(o, tags); err != nil {
		return err
	}
	return a.inserts(o, tags)
}

// view is the object as annotators see it.
func (o *object) view() source.Object {
	if o.seen != nil {
		return *o.seen
	}
	v := source.Object{Type: o.typ, Key: o.key, Name: o.name, Attrs: make(map[string]any, len(o.attrs))}
	for _, a := range o.attrs {
		if v.Attrs[a.name] = a.text; a.number {
			v.Attrs[a.name] = json.Number(a.text)
		}
	}
	if o.parent != nil {
		v.Parents = append([]source.Object{o.parent.view()}, o.parent.view().Parents...)
	}
	o.seen = &v
	return v
}

func (a *account) stat(o *object, r *row) error {
	c := a.stats
	c.begin(6)
	c.int64(o.id)
	c.day(r.day)
	c.text("")
	c.text("os=" + r.os)
	c.jsonb(func(b []byte) []byte { return a.metrics(b, r.values) })
	c.time(a.now)
	return c.flush()
}

func (a *account) metrics(b []byte, values []int64) []byte {
	b = append(b, '{')
	for i, v := range values {
		if v != 0 {
			b = append(append(append(b, '"'), a.parser.metrics[i]...), '"', ':')
			b = append(metric.Value(v).Append(b), ',')
		}
	}
	b[len(b)-1] = '}' // no row is all zeros
	return b
}

func (a *account) newObject(o *object, tags map[string]any) error {
	text, err := json.Marshal(tags)
	if err != nil {
		return err
	}
	c := &a.objects
	c.begin(9)
	c.int64(o.id)
	c.text(a.Source.Name)
	c.text(o.typ)
	c.text(o.key)
	if o.parent == nil {
		c.null()
	} else {
		c.int64(o.parent.id)
	}
	c.int16(o.depth)
	c.text(o.name)
	c.jsonb(func(b []byte) []byte { return appendAttrsJSON(b, o.attrs) })
	c.time(a.now)

	a.tags.begin(2)
	a.tags.int64(o.id)
	a.tags.jsonb(func(b []byte) []byte { return append(b, text...) })
	return nil
}

func appendAttrsJSON(b []byte, attrs []attr) []byte {
	m := make(map[string]any, len(attrs))
	for _, a := range attrs {
		if m[a.name] = a.text; a.number {
			m[a.name] = json.Number(a.text)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // texts and numbers do not fail
	}
	return append(b, text...)
}

func (a *account) digest(o *object) {
	c := &a.digests
	c.begin(5)
	c.int64(o.id)
	c.text(o.typ)
	c.text(o.key)
	c.int64(int64(o.fields))
	c.text(string(o.digests()))
}

func (a *account) inserts(o *object, tags map[string]any) error {
	for _, h := range o.halves() {
		doc, err := a.render.document(o, h, tags)
		if err != nil {
			return err
		}
		a.bulk.inserts = append(a.bulk.inserts, doc)
		if err := a.flush(bulkSize); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) updates(o *object) error {
	for _, h := range o.halves() {
		if !h.changed {
			continue
		}
		a.bulk.updates = append(a.bulk.updates, mongo.NewUpdateOneModel().
			SetFilter(bson.D{{Key: "_id", Value: o.documentID(h.name)}}).SetUpdate(a.render.update(h)))
		if err := a.flush(bulkSize); err != nil {
			return err
		}
	}
	return nil
}

// flush hands a bulk of a size to the writers.
func (a *account) flush(size int) error {
	if max(len(a.bulk.inserts), len(a.bulk.updates)) < size {
		return nil
	}
	select {
	case a.writers.bulks <- a.bulk:
		a.bulk = bulk{}
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// finish writes what was kept for the end.
func (a *account) finish() error {
	if err := a.flush(1); err != nil {
		return err
	}
	if err := a.stats.finish(); err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	for _, t := range []struct {
		name  string
		rows  copied
		merge bool
	}{{"objects (" + objectColumns + ")", a.objects, false}, {"tags (" + tagColumns + ")", a.tags, false}, {"digests (" + digestColumns + ")", a.digests, true}} {
		if err := a.copyAll(t.name, t.rows, t.merge); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// copyAll copies rows that lie ready. Those that may be there are merged.
func (a *account) copyAll(table string, rows copied, merge bool) error {
	if len(rows.b) == 0 {
		return nil
	}
	before, after := "SELECT", "SELECT"
	if merge {
		before = `CREATE TEMP TABLE digests (LIKE floor_digests) ON COMMIT DROP`
		after = `INSERT INTO floor_digests SELECT * FROM digests ON CONFLICT (object_id) DO UPDATE SET rows = excluded.rows`
	}
	c := copyTo(a.ctx, a.DB, table, before, after)
	c.b = append(c.b, rows.b...)
	return c.finish()
}
