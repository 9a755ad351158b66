package rollup

import (
	"encoding/json"
	"maps"
	"slices"

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
	Tags map[string]any
	Days map[metric.Day]*Day // those asked for; one without metrics is to be unset
	All  bool                // Days are all that the document has
	Gone bool                // it should not be

	first, last metric.Day // of the half-year
	render      *renderer
}

// ID is the document's _id: ad/a1/2026H2.
func (d *Document) ID() string { return d.Node.Type + "/" + d.Node.Key + "/" + d.Half }

// fields are a document's, but for its days and rev.
func (d *Document) fields() bson.D {
	attrs, tags := bson.M{}, bson.M{}
	for k, v := range d.Node.Attrs {
		attrs[k] = value(v)
	}
	for k, v := range d.Tags {
		tags[k] = value(v)
	}
	return bson.D{
		{Key: "source", Value: d.Node.Source}, {Key: "type", Value: d.Node.Type}, {Key: "key", Value: d.Node.Key},
		{Key: "name", Value: d.Node.Name}, {Key: "half", Value: d.Half}, {Key: "path", Value: d.Node.Path()},
		{Key: "attrs", Value: ordered(attrs)}, {Key: "tags", Value: ordered(tags)},
	}
}

// value turns a decoded JSON value into what a document holds: whole numbers
// are int64, others double.
func value(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String() // beyond what a double holds
		}
		return f
	case map[string]any:
		m := bson.M{}
		for k, e := range v {
			m[k] = value(e)
		}
		return m
	case []any:
		a := make(bson.A, len(v))
		for i, e := range v {
			a[i] = value(e)
		}
		return a
	}
	return v
}

// ordered sorts the names in all maps, so that equal documents have equal bytes.
func ordered(v any) any {
	switch v := v.(type) {
	case bson.M:
		d := make(bson.D, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			d = append(d, bson.E{Key: name, Value: ordered(v[name])})
		}
		return d
	case bson.A:
		for i := range v {
			v[i] = ordered(v[i])
		}
	}
	return v
}

// update is the one operation that brings the document up to date.
func (d *Document) update(rev int64) bson.D {
	set := append(d.fields(), bson.E{Key: "rev", Value: rev})
	unset := bson.D{{Key: "gone", Value: ""}}
	if d.All && d.Half != noHalf {
		return bson.D{{Key: "$set", Value: append(set, bson.E{Key: "days", Value: bson.Raw(d.days())})}, {Key: "$unset", Value: unset}}
	}
	for _, day := range slices.Sorted(maps.Keys(d.Days)) {
		if m := d.render.day(d.Days[day]); m != nil {
			set = append(set, bson.E{Key: "days." + day.String(), Value: bson.Raw(m)})
		} else {
			unset = append(unset, bson.E{Key: "days." + day.String(), Value: ""})
		}
	}
	return bson.D{{Key: "$set", Value: set}, {Key: "$unset", Value: unset}}
}

// days writes all days that have metrics.
func (d *Document) days() bsoncore.Document {
	doc := bsoncore.NewDocumentBuilder()
	for _, day := range slices.Sorted(maps.Keys(d.Days)) {
		if m := d.render.day(d.Days[day]); m != nil {
			doc.AppendDocument(day.String(), m)
		}
	}
	return doc.Build()
}

// Expected is what MongoDB should hold of a document that was computed with all
// of its days: every field but _id and rev, as a driver reads them.
func (d *Document) Expected() (bson.M, error) {
	fields := d.fields()
	if d.Half != noHalf {
		fields = append(fields, bson.E{Key: "days", Value: bson.Raw(d.days())})
	}
	text, err := bson.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var m bson.M
	return m, bson.Unmarshal(text, &m)
}
