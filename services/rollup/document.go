package rollup

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/services/tree"
)

// A Document is an object's rollup for half a year, or for all time where
// neither it nor any below it has stats.
type Document struct {
	Node *tree.Node
	Half string
	Days map[metric.Day]*Day // those asked for; one without metrics is to be unset
	All  bool                // Days are all that the document has
	Gone bool                // it should not be

	stands      bool       // MongoDB is known to have it
	about       []byte     // BSON elements that all documents of the object have
	first, last metric.Day // of the half-year
	render      *renderer
}

// ID is the document's _id: ad/a1/2026H2.
func (d *Document) ID() string { return d.Node.Type + "/" + d.Node.Key + "/" + d.Half }

// fields appends a document's fields, but for _id, rev and days.
func (d *Document) fields(dst []byte) []byte {
	return bsoncore.AppendStringElement(append(dst, d.about...), "half", d.Half)
}

// about makes the fields that all documents of an object have.
func about(n *tree.Node, tags map[string]any) []byte {
	dst := bsoncore.AppendStringElement(nil, "source", n.Source)
	dst = bsoncore.AppendStringElement(dst, "type", n.Type)
	dst = bsoncore.AppendStringElement(dst, "key", n.Key)
	dst = bsoncore.AppendStringElement(dst, "name", n.Name)
	at, dst := bsoncore.AppendArrayElementStart(dst, "path")
	for i, step := range n.Path() {
		dst = bsoncore.AppendStringElement(dst, strconv.Itoa(i), step)
	}
	dst = end(dst, at)
	dst = appendValue(dst, "attrs", n.Attrs)
	dst = appendValue(dst, "tags", tags)
	if n.Feeds == nil {
		return dst
	}
	at, dst = bsoncore.AppendArrayElementStart(dst, "feeds")
	for i, feed := range n.Feeds {
		dst = bsoncore.AppendStringElement(dst, strconv.Itoa(i), feed)
	}
	return end(dst, at)
}

// appendValue appends a decoded JSON value as what a document holds: whole
// numbers are int64, others double. Names are sorted, so that equal documents
// have equal bytes.
func appendValue(dst []byte, name string, v any) []byte {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return bsoncore.AppendInt64Element(dst, name, n)
		}
		if f, err := v.Float64(); err == nil {
			return bsoncore.AppendDoubleElement(dst, name, f)
		}
		return bsoncore.AppendStringElement(dst, name, v.String()) // beyond what a double holds
	case string:
		return bsoncore.AppendStringElement(dst, name, v)
	case bool:
		return bsoncore.AppendBooleanElement(dst, name, v)
	case map[string]any:
		at, dst := bsoncore.AppendDocumentElementStart(dst, name)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			dst = appendValue(dst, key, v[key])
		}
		return end(dst, at)
	case []any:
		at, dst := bsoncore.AppendArrayElementStart(dst, name)
		for i, e := range v {
			dst = appendValue(dst, strconv.Itoa(i), e)
		}
		return end(dst, at)
	}
	return bsoncore.AppendNullElement(dst, name)
}

// end closes the document or array that began at at.
func end(dst []byte, at int32) []byte {
	dst, err := bsoncore.AppendDocumentEnd(dst, at)
	if err != nil {
		panic(err) // at is the caller's own
	}
	return dst
}

// body appends the document as a whole, for one that does not stand yet.
func (d *Document) body(dst []byte, rev int64) []byte {
	at, dst := bsoncore.AppendDocumentStart(dst)
	dst = bsoncore.AppendStringElement(dst, "_id", d.ID())
	dst = bsoncore.AppendInt64Element(d.fields(dst), "rev", rev)
	return end(d.days(dst), at)
}

// update is the one operation that brings a document that stands up to date.
func (d *Document) update(rev int64) bson.Raw {
	at, dst := bsoncore.AppendDocumentStart(nil)
	set, dst := bsoncore.AppendDocumentElementStart(dst, "$set")
	dst = bsoncore.AppendInt64Element(d.fields(dst), "rev", rev)
	var without []metric.Day
	if d.All {
		dst = d.days(dst)
	} else {
		dst, without = d.eachDay(dst, "days.")
	}
	unset, dst := bsoncore.AppendDocumentElementStart(end(dst, set), "$unset")
	dst = bsoncore.AppendStringElement(dst, "gone", "")
	for _, day := range without {
		dst = bsoncore.AppendStringElement(dst, "days."+day.String(), "")
	}
	return end(end(dst, unset), at)
}

// days appends the days that have metrics, where the document is of a half-year.
func (d *Document) days(dst []byte) []byte {
	if d.Half == noHalf {
		return dst
	}
	at, dst := bsoncore.AppendDocumentElementStart(dst, "days")
	dst, _ = d.eachDay(dst, "")
	return end(dst, at)
}

// eachDay appends an element for each day that has metrics, and returns the
// others.
func (d *Document) eachDay(dst []byte, prefix string) (_ []byte, without []metric.Day) {
	for _, day := range slices.Sorted(maps.Keys(d.Days)) {
		var ok bool
		if dst, ok = d.render.day(dst, prefix+day.String(), d.Days[day]); !ok {
			without = append(without, day)
		}
	}
	return dst, without
}

// Expected is what MongoDB should hold of a document that was computed with all
// of its days: every field but _id and rev, as a driver reads them.
func (d *Document) Expected() (bson.M, error) {
	at, dst := bsoncore.AppendDocumentStart(nil)
	var m bson.M
	return m, bson.Unmarshal(end(d.days(d.fields(dst)), at), &m)
}
