package rollup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// Idle implements pipeline.Idler: it writes what is due of the documents that
// are marked, and ends the jobs that have nothing left.
func (s *Stage) Idle(ctx context.Context) (pause time.Duration, err error) {
	settled, err := s.settled(ctx)
	if err != nil {
		return 0, err
	}
	objects, err := s.writeDue(ctx, settled)
	if err != nil || objects > 0 {
		return 0, err
	}
	if err := s.finish(ctx, settled); err != nil {
		return 0, err
	}
	return s.settling.pause(), s.prune(ctx)
}

// ErrRestored says that PostgreSQL is older than MongoDB.
var ErrRestored = errors.New("a document's rev is above PostgreSQL's sequence: PostgreSQL was restored from a backup; run `leat rebuild`")

// A dirtyRow is a mark.
type dirtyRow struct {
	ID     int64
	Object int64
	Half   string // byDays: of whichever documents Self, Days and All say
	Self   bool   // all documents that are known
	Days   []metric.Day
	All    bool // all days
	Job    string
}

// A claim is the marks that a worker took, and what it made of them.
type claim struct {
	settled []string
	rows    []dirtyRow
	known   map[int64][]string // halves of which MongoDB has documents, by object
	rev     int64
	docs    []*Document
	orphans []string       // source/_id of documents without an object
	redo    map[int64]bool // objects whose documents were not written: their marks stay
	refused map[*Document]string
}

// writeDue writes the documents of up to Documents objects that are due, and
// returns of how many. The order is what keeps it exact: lock the marks; take a
// rev; after that read what the documents should hold; write, guarded by the
// rev; and only when MongoDB has confirmed, delete the marks. A crash anywhere
// leaves them, and whoever had an older rev finds the newer document.
func (s *Stage) writeDue(ctx context.Context, settled []string) (objects int, err error) {
	written := 0
	err = postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		c := &claim{settled: settled, redo: map[int64]bool{}, refused: map[*Document]string{}}
		ids, err := lockDue(ctx, tx, settled, s.Documents)
		if objects = len(ids); err != nil || objects == 0 {
			return err
		}
		if c.rows, err = readMarks(ctx, tx, ids); err != nil {
			return err
		}
		if c.known, err = knownHalves(ctx, tx, ids); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT nextval('rev')`).Scan(&c.rev); err != nil {
			return err
		}
		pipeline.Point("rev")
		if err := s.compute(ctx, tx, c); err != nil {
			return err
		}
		pipeline.Point("computed")
		if err := s.send(ctx, c); err != nil {
			return err
		}
		pipeline.Point("written")
		if err := s.announce(ctx, c); err != nil {
			return err
		}
		pipeline.Point("announced")
		written = len(c.docs)
		err = forget(ctx, tx, c)
		pipeline.Point("forgotten")
		return err
	})
	if err == nil && written > 0 && s.Count != nil {
		s.Count("documents.written", written)
	}
	return objects, err
}

// compute reads what the marked documents should hold.
func (s *Stage) compute(ctx context.Context, tx pgx.Tx, c *claim) (err error) {
	var wants []Want
	wants, c.orphans = expand(c.rows, c.known)
	if c.docs, err = Compute(ctx, tx, s.latest(ctx), wants); err != nil {
		return err
	}
	for _, d := range c.docs {
		d.stands = slices.Contains(c.known[d.Node.ID], d.Half)
	}
	return nil
}

// latest returns the latest version of a source, looked up once.
func (s *Stage) latest(ctx context.Context) func(name string) (*source.Source, error) {
	known := map[string]*source.Source{}
	return func(name string) (src *source.Source, err error) {
		if src = known[name]; src == nil {
			src, err = s.Sources.Latest(ctx, name)
			known[name] = src
		}
		return src, err
	}
}

// bulkSize is the operations of a bulk; two are under way at once.
const (
	bulkSize  = 250
	bulks     = 2
	bulkLimit = time.Minute // below what PostgreSQL lets a transaction idle
)

// send writes the documents, one operation each.
func (s *Stage) send(ctx context.Context, c *claim) error {
	bySource := map[string][]*Document{}
	for _, d := range c.docs {
		bySource[d.Node.Source] = append(bySource[d.Node.Source], d)
	}
	group, bulkCtx := errgroup.WithContext(ctx)
	group.SetLimit(bulks)
	outcomes := make(chan bulkOutcome, len(c.docs)/bulkSize+len(bySource)+1)
	for _, name := range slices.Sorted(maps.Keys(bySource)) {
		for chunk := range slices.Chunk(bySource[name], bulkSize) {
			group.Go(func() error {
				outcome, err := s.bulk(bulkCtx, chunk, c.rev)
				outcomes <- outcome
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	close(outcomes)
	for o := range outcomes {
		for _, d := range o.newer {
			c.redo[d.Node.ID] = true
		}
		maps.Copy(c.refused, o.refused)
	}
	return s.removeOrphans(ctx, c)
}

type bulkOutcome struct {
	newer   []*Document          // a newer document stands
	refused map[*Document]string // and why
}

const duplicateKey = 11000

// bulk writes documents of one source: those that are not known to stand are
// inserted, which costs the server half of an upsert. Where one stands all the
// same (a worker died before it could say so), and for the others, the update is
// guarded: an upsert that finds no document with an older rev inserts, and where
// there is a newer one, that is a duplicate key.
func (s *Stage) bulk(ctx context.Context, docs []*Document, rev int64) (bulkOutcome, error) {
	out := bulkOutcome{refused: map[*Document]string{}}
	ctx, cancel := context.WithTimeout(ctx, bulkLimit)
	defer cancel()
	collection := s.Mongo.Collection(docs[0].Node.Source)
	var insert, update []*Document
	for _, d := range docs {
		if d.stands || d.Gone {
			update = append(update, d)
		} else {
			insert = append(insert, d)
		}
	}
	standing, err := s.insert(ctx, &out, collection.Name(), insert, rev)
	if err != nil {
		return out, err
	}
	pipeline.Point("bulk")
	if out.newer, err = out.update(ctx, collection, append(update, standing...), rev); err != nil {
		return out, err
	}
	return out, s.checkRevs(ctx, collection, out.newer)
}

// insert returns the documents that stand already. Some servers refuse all of
// an insert for one document that is too large: all are then updated, where each
// is answered for itself.
func (s *Stage) insert(ctx context.Context, o *bulkOutcome, collection string, docs []*Document, rev int64) (standing []*Document, _ error) {
	text := commands.Get().(*[]byte)
	defer commands.Put(text)
	for len(docs) > 0 {
		var n int
		*text, n = insertCommand((*text)[:0], collection, docs, rev)
		taken, err := o.sort(docs[:n], s.Mongo.RunCommand(ctx, bson.Raw(*text)).Err())
		switch {
		case err == nil:
			standing = append(standing, taken...)
		case ctx.Err() != nil || pipeline.IsUnavailable(err):
			return nil, err
		default:
			standing = append(standing, docs[:n]...)
		}
		docs = docs[n:]
	}
	return standing, nil
}

// commands are written over and over into the same memory.
var commands = sync.Pool{New: func() any { return new([]byte) }}

const mostCommand = 8 << 20 // bytes, but for the last document; a command may have 16 MiB

// insertCommand appends the command that inserts the first n of the documents:
// InsertMany writes the same, after it has copied each document four times.
func insertCommand(dst []byte, collection string, docs []*Document, rev int64) (_ []byte, n int) {
	at, dst := bsoncore.AppendDocumentStart(dst)
	dst = bsoncore.AppendStringElement(dst, "insert", collection)
	dst = bsoncore.AppendBooleanElement(dst, "ordered", false)
	concern, dst := bsoncore.AppendDocumentElementStart(dst, "writeConcern")
	dst = end(bsoncore.AppendStringElement(dst, "w", "majority"), concern)
	list, dst := bsoncore.AppendArrayElementStart(dst, "documents")
	for n < len(docs) && len(dst) < mostCommand {
		dst = bsoncore.AppendHeader(dst, bsoncore.TypeEmbeddedDocument, strconv.Itoa(n))
		dst = docs[n].body(dst, rev)
		n++
	}
	return end(end(dst, list), at), n
}

// update returns the documents that are newer.
func (o *bulkOutcome) update(ctx context.Context, collection *mongo.Collection, docs []*Document, rev int64) ([]*Document, error) {
	if len(docs) == 0 {
		return nil, nil
	}
	models := make([]mongo.WriteModel, len(docs))
	for i, d := range docs {
		model := mongo.NewUpdateOneModel().SetUpsert(true).
			SetFilter(bson.D{{Key: "_id", Value: d.ID()}, {Key: "rev", Value: bson.D{{Key: "$lt", Value: rev}}}})
		if d.Gone {
			models[i] = model.SetUpdate(gone(rev))
		} else {
			models[i] = model.SetUpdate(d.update(rev))
		}
	}
	_, err := collection.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	return o.sort(docs, err)
}

// sort returns the documents whose keys were taken, and keeps those that the
// server refuses for another reason.
func (o *bulkOutcome) sort(docs []*Document, err error) (taken []*Document, _ error) {
	refused, ok := writeErrors(err)
	if !ok {
		return nil, mongodb.Classify(err)
	}
	for _, e := range refused {
		if d := docs[e.Index]; e.Code == duplicateKey {
			taken = append(taken, d)
		} else {
			o.refused[d] = fmt.Sprintf("%d: %s", e.Code, e.Message)
		}
	}
	return taken, nil
}

// writeErrors returns what a server that did the rest has refused.
func writeErrors(err error) (refused mongo.WriteErrors, ok bool) {
	var bulk mongo.BulkWriteException
	var write mongo.WriteException
	switch {
	case errors.As(err, &bulk) && bulk.WriteConcernError == nil:
		for _, e := range bulk.WriteErrors {
			refused = append(refused, e.WriteError)
		}
	case errors.As(err, &write) && write.WriteConcernError == nil:
		refused = write.WriteErrors
	}
	return refused, refused != nil
}

// gone empties a document that should not be. Its rev stays, for a while, so
// that a slow worker with an older one cannot bring it back.
func gone(rev int64) bson.D {
	unset := bson.D{}
	for _, name := range []string{"source", "type", "key", "name", "half", "path", "attrs", "tags", "days"} {
		unset = append(unset, bson.E{Key: name, Value: ""})
	}
	return bson.D{
		{Key: "$set", Value: bson.D{{Key: "rev", Value: rev}, {Key: "gone", Value: time.Now()}}},
		{Key: "$unset", Value: unset},
	}
}

// checkRevs fails when a document is newer than anything that this PostgreSQL
// can have written.
func (s *Stage) checkRevs(ctx context.Context, collection *mongo.Collection, newer []*Document) error {
	if len(newer) == 0 {
		return nil
	}
	ids := make([]string, len(newer))
	for i, d := range newer {
		ids[i] = d.ID()
	}
	var top struct {
		ID  string `bson:"_id"`
		Rev int64  `bson:"rev"`
	}
	err := collection.FindOne(ctx, bson.M{"_id": bson.M{"$in": ids}}, options.FindOne().SetSort(bson.M{"rev": -1})).Decode(&top)
	if err != nil {
		return mongodb.Classify(err)
	}
	var last int64
	if err := s.DB.QueryRow(ctx, `SELECT last_value FROM rev`).Scan(&last); err != nil {
		return postgres.Classify(err)
	}
	if top.Rev > last {
		return fmt.Errorf("%s/%s: rev %d, sequence %d: %w", collection.Name(), top.ID, top.Rev, last, ErrRestored)
	}
	return nil
}

// removeOrphans empties documents that have no object, which `leat check` found.
func (s *Stage) removeOrphans(ctx context.Context, c *claim) error {
	for _, orphan := range c.orphans { // seldom more than a few: someone wrote them by hand
		name, id := cutOrphan(orphan)
		filter := bson.D{{Key: "_id", Value: id}}
		if _, err := s.Mongo.Collection(name).UpdateOne(ctx, filter, gone(c.rev)); err != nil {
			return mongodb.Classify(fmt.Errorf("remove %s: %w", orphan, err))
		}
	}
	return nil
}

// announce publishes the written documents to the feed, and the refused ones as
// dead letters.
func (s *Stage) announce(ctx context.Context, c *claim) error {
	updates, err := c.updates(s.Feed)
	if err != nil {
		return err
	}
	for d, reason := range c.refused {
		s.Log.Error("document refused", zap.String("source", d.Node.Source), zap.String("document", d.ID()), zap.String("reason", reason))
		updates = append(updates, c.letter(s.Dead, d, reason))
	}
	if err := s.Sink.Publish(ctx, updates); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// letter is the dead letter of one document. Its id is the mark's, so that it is
// the same letter when it is published twice.
func (c *claim) letter(queue string, d *Document, reason string) pipeline.Envelope {
	job := c.jobOf(d)
	return pipeline.Envelope{
		ID: c.refusedID(d), Kind: "leat.document.v1", Queue: queue, Key: d.ID(), Job: job, At: time.Now(),
		Body: fmt.Appendf(nil, `{"source":%q,"id":%q}`, d.Node.Source, d.ID()),
		Headers: map[string]string{
			"error": reason, "error_class": "permanent", "stage": Name, "attempts": "1",
			"died_at": time.Now().UTC().Format(time.RFC3339Nano), "origin_queue": "",
		},
	}
}

func (c *claim) refusedID(d *Document) string {
	return pipeline.Hash("document", d.Node.Source, d.ID(), c.jobOf(d))
}

// jobOf returns a job whose mark the document comes from.
func (c *claim) jobOf(d *Document) string {
	for _, r := range c.rows {
		if r.Object == d.Node.ID && slices.Contains(r.places(c.known), place{d.Node.ID, d.Half}) {
			return r.Job
		}
	}
	return ""
}
