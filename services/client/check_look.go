package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/rollup"
)

// allTime is the half of a document without days.
const allTime = "all"

// A look is what was seen of a document.
type look struct {
	document
	wanted      bool // rows say that it should be
	held        bool // MongoDB has it
	marked      bool // rollup is going to write it
	unreadable  bool
	differences []Difference
}

// look compares documents of a source. Rows that cannot be read are found out by
// halving: they cost the documents that they belong to.
func (k *check) look(ctx context.Context, name string, docs []document) ([]look, error) {
	looked, err := k.compare(ctx, name, docs)
	switch {
	case err == nil, ctx.Err() != nil, pipeline.IsUnavailable(err), errors.Is(err, errNoVersion):
		return looked, err
	case len(docs) == 1:
		return []look{{document: docs[0], differences: []Difference{whole(docs[0].place(), "it cannot be compared: "+err.Error())}, unreadable: true}}, nil
	}
	half := len(docs) / 2
	first, err := k.look(ctx, name, docs[:half])
	if err != nil {
		return nil, err
	}
	second, err := k.look(ctx, name, docs[half:])
	return append(first, second...), err
}

// compare reads the rows in one snapshot, and the documents after it.
func (k *check) compare(ctx context.Context, name string, docs []document) ([]look, error) {
	spec := k.latest(ctx)
	var listed, marked map[document]bool
	var computed map[string]*rollup.Document
	err := pgx.BeginTxFunc(ctx, k.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if endless, err := k.endless(ctx, tx, objectsOf(docs)); err != nil || len(endless) > 0 {
			return cmp.Or(err, errEndless)
		}
		if computed, err = compute(ctx, tx, spec, docs); err != nil {
			return err
		}
		if listed, err = listedIn(ctx, tx, docs); err != nil {
			return err
		}
		marked, err = markedIn(ctx, tx, docs)
		return err
	})
	if err != nil {
		return nil, err
	}
	held, err := k.held(ctx, name, docs)
	if err != nil {
		return nil, err
	}
	looked := make([]look, len(docs))
	for i, d := range docs {
		l := look{document: d, marked: marked[d]}
		want, err := expected(spec, computed[d.id])
		if err != nil {
			return nil, err
		}
		l.wanted, l.held = want != nil, held[d.id] != nil
		if l.differences, err = differences(d, want, held[d.id], listed[d]); err != nil {
			return nil, err
		}
		looked[i] = l
	}
	return looked, nil
}

func objectsOf(docs []document) []int64 {
	ids := make([]int64, len(docs))
	for i, d := range docs {
		ids[i] = d.object
	}
	return ids
}

// differences compares what should be (nil: nothing) with what is.
func differences(d document, want, have bson.M, listed bool) ([]Difference, error) {
	switch {
	case want != nil && have != nil:
		all, err := compareDocuments(d.place(), want, have)
		if !listed {
			all = append(all, whole(d.place(), "the table documents does not list it"))
		}
		return all, err
	case want != nil:
		return []Difference{whole(d.place(), "rows say that it should be, MongoDB does not have it")}, nil
	case have != nil:
		if d.object == 0 {
			return []Difference{whole(d.place(), "MongoDB has it, and there is no such object")}, nil
		}
		return []Difference{whole(d.place(), "MongoDB has it, rows say that it should not be")}, nil
	case listed:
		return []Difference{whole(d.place(), "the table documents lists it; neither rows nor MongoDB know of it")}, nil
	}
	return nil, nil
}

// specs gives the source files that rollup goes by.
type specs func(name string) (*source.Source, error)

var errEndless = errors.New("its parents go round in a circle")

var errNoVersion = errors.New("no job")

// latest returns the latest version of a source, looked up once.
func (k *check) latest(ctx context.Context) specs {
	known := map[string]*source.Source{}
	return func(name string) (*source.Source, error) {
		if src := known[name]; src != nil {
			return src, nil
		}
		src, err := k.sources.Latest(ctx, name)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, fmt.Errorf("%w of source %s has run yet, so that nobody knows what its documents should hold", errNoVersion, name)
		}
		known[name] = src
		return src, err
	}
}

// compute reads what the documents should hold, by _id. Those of halves that do
// not exist should not be.
func compute(ctx context.Context, tx pgx.Tx, spec specs, docs []document) (map[string]*rollup.Document, error) {
	var wants []rollup.Want
	for _, d := range docs {
		if d.object != 0 && (d.half == allTime || isHalf(d.half)) {
			wants = append(wants, rollup.Want{Object: d.object, Half: d.half, All: true})
		}
	}
	computed, err := rollup.Compute(ctx, tx, spec, wants)
	byID := make(map[string]*rollup.Document, len(computed))
	for _, d := range computed {
		byID[d.ID()] = d
	}
	return byID, err
}

func isHalf(text string) bool {
	first, _, err := metric.HalfDays(text)
	return err == nil && first.Half() == text
}

// expected returns what MongoDB should hold of a document, nil for nothing.
func expected(spec specs, d *rollup.Document) (bson.M, error) {
	if d == nil || d.Gone {
		return nil, nil
	}
	src, err := spec(d.Node.Source)
	if err != nil {
		return nil, err
	}
	if d.Half == allTime && rollsUp(src, d.Node.Type) {
		return nil, nil
	}
	return d.Expected()
}

// rollsUp reports whether objects of a type have a document for each half-year.
// A type that the source file has no more has those that its stats ask for.
func rollsUp(src *source.Source, typ string) bool {
	t, ok := src.Type(typ)
	return !ok || t.RollsUp
}

// held reads documents by _id. One that is gone is not there.
func (k *check) held(ctx context.Context, name string, docs []document) (map[string]bson.M, error) {
	ids := make([]string, len(docs))
	for i, d := range docs {
		ids[i] = d.id
	}
	cursor, err := k.mongo.Collection(name).Find(ctx, bson.M{"_id": bson.M{"$in": ids}, "gone": bson.M{"$exists": false}},
		options.Find().SetBatchSize(chunkWeight))
	if err != nil {
		return nil, mongodb.Classify(fmt.Errorf("read documents: %w", err))
	}
	defer cursor.Close(ctx) //nolint:errcheck // it was read
	held := make(map[string]bson.M, len(docs))
	for cursor.Next(ctx) {
		m, err := decode(cursor.Current)
		if err != nil {
			return nil, err
		}
		id, _ := m["_id"].(string)
		held[id] = m
		if rev, _ := m["rev"].(int64); rev > k.top.rev {
			k.top = newest{id, rev}
		}
	}
	return held, mongodb.Classify(cursor.Err())
}

// fromDocuments finds the documents of a source that rows do not ask for.
func (k *check) fromDocuments(ctx context.Context, name string) error {
	cursor, err := k.mongo.Collection(name).Find(ctx, bson.M{"gone": bson.M{"$exists": false}},
		options.Find().SetProjection(bson.M{"_id": 1}).SetBatchSize(chunkWeight))
	if err != nil {
		return mongodb.Classify(fmt.Errorf("list documents: %w", err))
	}
	defer cursor.Close(ctx) //nolint:errcheck // it was read
	var ids []string
	for cursor.Next(ctx) {
		id, ok := cursor.Current.Lookup("_id").StringValueOK()
		if !ok {
			k.beyond(whole(name+"/"+cursor.Current.Lookup("_id").String(), "MongoDB has a document whose _id is no text: delete it by hand"))
			continue
		}
		if ids = append(ids, id); len(ids) == chunkWeight {
			if err := k.unasked(ctx, name, ids); err != nil {
				return err
			}
			ids = ids[:0]
			if err := k.atTimes(ctx); err != nil {
				return err
			}
		}
	}
	if err := cursor.Err(); err != nil {
		return mongodb.Classify(err)
	}
	return k.unasked(ctx, name, ids)
}

// unasked keeps those of the documents that rows do not ask for as suspects.
func (k *check) unasked(ctx context.Context, name string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := k.objectsOf(ctx, name, ids)
	if err != nil {
		return err
	}
	objects := make([]object, 0, len(found))
	for _, o := range found {
		objects = append(objects, o)
	}
	wanted, err := k.wanted(ctx, name, objects)
	if err != nil {
		return err
	}
	for _, id := range ids {
		prefix, half := cutHalf(id)
		d := document{source: name, id: id, object: found[prefix].id, half: half}
		if d.object == 0 || !wanted[d.object][half] {
			k.suspects = append(k.suspects, d)
		}
	}
	return nil
}

// cutHalf takes an _id apart: ad/a1, 2026H2.
func cutHalf(id string) (object, half string) {
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return id, ""
	}
	return id[:i], id[i+1:]
}
