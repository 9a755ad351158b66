package floor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/leatflow/leat/pkg/metric"
)

// A half is what an object has of a half-year.
type half struct {
	name    string
	days    []day
	changed bool
}

func (o *object) halves() []half {
	var all []half
	for i := 0; i < len(o.days); {
		h := half{name: o.days[i].day.Half()}
		first := i
		_, last, err := metric.HalfDays(h.name)
		if err != nil {
			panic(err) // the name is Half's own
		}
		for ; i < len(o.days) && o.days[i].day <= last; i++ {
			h.changed = h.changed || o.days[i].changed
		}
		h.days = o.days[first:i]
		all = append(all, h)
	}
	return all
}

func (o *object) documentID(half string) string { return o.typ + "/" + o.key + "/" + half }

// A renderer writes documents as Leat does.
type renderer struct {
	source  string
	rev     int64
	metrics []string // the parser's
	order   []int    // of metrics, by name
	buf     []byte
}

func (r *renderer) use(metrics []string) {
	if len(metrics) == len(r.metrics) {
		return
	}
	r.metrics, r.order = slices.Clone(metrics), make([]int, len(metrics))
	for i := range r.order {
		r.order[i] = i
	}
	slices.SortFunc(r.order, func(a, b int) int { return cmp.Compare(metrics[a], metrics[b]) })
}

// document returns a whole new document.
func (r *renderer) document(o *object, h half, tags map[string]any) (bson.Raw, error) {
	start, b := bsoncore.AppendDocumentStart(r.buf[:0])
	b = bsoncore.AppendStringElement(b, "_id", o.documentID(h.name))
	b = bsoncore.AppendStringElement(b, "source", r.source)
	b = bsoncore.AppendStringElement(b, "type", o.typ)
	b = bsoncore.AppendStringElement(b, "key", o.key)
	b = bsoncore.AppendStringElement(b, "name", o.name)
	b = bsoncore.AppendStringElement(b, "half", h.name)
	path, b := bsoncore.AppendArrayElementStart(b, "path")
	b = closed(appendPath(b, o), path)
	b = appendAttrs(b, o.attrs)
	b, err := appendTags(b, tags)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", o.typ, o.key, err)
	}
	days, b := bsoncore.AppendDocumentElementStart(b, "days")
	for i := range h.days {
		b = r.appendDay(b, h.days[i].day.String(), &h.days[i])
	}
	b = bsoncore.AppendInt64Element(closed(b, days), "rev", r.rev)
	r.buf = closed(b, start)
	return slices.Clone(r.buf), nil
}

// update returns what sets the days that changed.
func (r *renderer) update(h half) bson.Raw {
	start, b := bsoncore.AppendDocumentStart(r.buf[:0])
	set, b := bsoncore.AppendDocumentElementStart(b, "$set")
	for i := range h.days {
		if h.days[i].changed {
			b = r.appendDay(b, "days."+h.days[i].day.String(), &h.days[i])
		}
	}
	b = bsoncore.AppendInt64Element(b, "rev", r.rev)
	r.buf = closed(closed(b, set), start)
	return slices.Clone(r.buf)
}

// closed ends a document or array that was begun at an index.
func closed(b []byte, start int32) []byte {
	b, err := bsoncore.AppendDocumentEnd(b, start)
	if err != nil {
		panic(err) // the index is its beginning's
	}
	return b
}

func appendPath(b []byte, o *object) []byte {
	if o.parent == nil {
		return b
	}
	b = appendPath(b, o.parent)
	return bsoncore.AppendStringElement(b, strconv.Itoa(o.parent.depth), o.parent.typ+"/"+o.parent.key)
}

func appendAttrs(b []byte, attrs []attr) []byte {
	start, b := bsoncore.AppendDocumentElementStart(b, "attrs")
	for _, a := range attrs {
		if !a.number {
			b = bsoncore.AppendStringElement(b, a.name, a.text)
		} else if v, err := metric.Parse(a.text); err == nil {
			b = appendValue(b, a.name, int64(v))
		}
	}
	return closed(b, start)
}

func appendTags(b []byte, tags map[string]any) ([]byte, error) {
	text, err := bson.Marshal(tags)
	return bsoncore.AppendDocumentElement(b, "tags", text), err
}

// appendDay writes {m, by}, if there is anything in it.
func (r *renderer) appendDay(b []byte, name string, d *day) []byte {
	before := len(b)
	start, b := bsoncore.AppendDocumentElementStart(b, name)
	total := make([]int64, len(r.metrics))
	for _, e := range d.by {
		for i, v := range e.sums {
			total[i] += v
		}
	}
	b, n := r.appendSums(b, "m", total)
	if n == 0 {
		return b[:before]
	}
	by, b := bsoncore.AppendArrayElementStart(b, "by")
	for i := range d.by {
		b = r.appendEntry(b, strconv.Itoa(i), &d.by[i])
	}
	return closed(closed(b, by), start)
}

func (r *renderer) appendEntry(b []byte, name string, e *entry) []byte {
	start, b := bsoncore.AppendDocumentElementStart(b, name)
	dims, b := bsoncore.AppendDocumentElementStart(b, "d")
	b = closed(bsoncore.AppendStringElement(b, "os", e.os), dims)
	b, _ = r.appendSums(b, "m", e.sums) // an entry has a row, and no row is all zeros
	return closed(b, start)
}

// appendSums writes the sums that are not zero, and says how many they are.
func (r *renderer) appendSums(b []byte, name string, sums []int64) ([]byte, int) {
	n := 0
	start, b := bsoncore.AppendDocumentElementStart(b, name)
	for _, i := range r.order {
		if i < len(sums) && sums[i] != 0 {
			b = appendValue(b, r.metrics[i], sums[i])
			n++
		}
	}
	return closed(b, start), n
}

const million = 1_000_000

// appendValue writes millionths: a whole number as int64, another as the nearest
// double, which the quotient of two exact doubles is.
func appendValue(b []byte, name string, v int64) []byte {
	switch {
	case v%million == 0:
		return bsoncore.AppendInt64Element(b, name, v/million)
	case v < 1<<53 && v > -1<<53:
		return bsoncore.AppendDoubleElement(b, name, float64(v)/million)
	}
	f, err := strconv.ParseFloat(metric.Value(v).String(), 64)
	if err != nil {
		f = math.NaN() // no digits and point fail
	}
	return bsoncore.AppendDoubleElement(b, name, f)
}
