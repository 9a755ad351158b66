package rollup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

// A bulkOutcome is what became of the documents of a bulk.
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
