package rollup

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// A Day holds the sums of an object and all below it. Sums lie side by side, at
// the place that Compute gave their metric: a batch has some hundred thousand.
type Day struct {
	rows  int // of stats, those without metrics too
	total sums
	hours []hour
	by    []entry
	own   []own // metrics that are not added up
}

type hour struct {
	hour int
	sums sums
}

// An entry is the sums for one combination of dimensions.
type entry struct {
	dims string // projected on those of the breakdown
	sums sums
}

// own is a metric that is only shown where it stands alone: in the day when the
// object has one row with it, in the breakdown when one row makes the entry.
type own struct {
	metric, rows int
	value        metric.Value
	dims         string
}

// sums are indexed by metric.
type sums []metric.Sum

func (s *sums) add(i int, v metric.Value) {
	if i >= len(*s) {
		*s = append(*s, make(sums, i+1-len(*s))...)
	}
	(*s)[i].Add(v)
}

// places gives metrics their place in sums.
type places struct {
	byName map[string]int
	names  []string
}

func (p *places) of(name string) int {
	i, ok := p.byName[name]
	if !ok {
		i = len(p.names)
		p.byName[name] = i
		p.names = append(p.names, name)
	}
	return i
}

// sorted returns the places in the order of their names.
func (p *places) sorted() []int {
	order := make([]int, len(p.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p.names[a], p.names[b]) })
	return order
}

// A stat is a row of stats as it is read for a document.
type stat struct {
	Object  int64
	Day     metric.Day
	Metrics []placed
	Hours   []placedHour // nil: all in the last hour
	by      string       // its dims, projected on those of the breakdown
}

type placed struct {
	place     int
	value     metric.Value
	notSummed bool
}

type placedHour struct {
	hour    int
	metrics []placed
}

const lastHour = 23

// add adds a row of the object itself (mine) or of one below it.
func (d *Day) add(st *stat, mine bool, spec *source.Rollup) {
	d.rows++
	for _, m := range st.Metrics {
		switch {
		case !m.notSummed:
			d.total.add(m.place, m.value)
		case mine:
			d.addOwn(m, st.by)
		}
	}
	if len(spec.Dimensions) > 0 {
		e := d.entry(st.by)
		addSummed(&e.sums, st.Metrics)
	}
	switch {
	case !spec.Hours:
	case st.Hours == nil:
		addSummed(d.hour(lastHour), st.Metrics)
	default:
		for _, h := range st.Hours {
			addSummed(d.hour(h.hour), h.metrics)
		}
	}
}

func addSummed(s *sums, metrics []placed) {
	for _, m := range metrics {
		if !m.notSummed {
			s.add(m.place, m.value)
		}
	}
}

func (d *Day) addOwn(m placed, dims string) {
	for i := range d.own {
		if o := &d.own[i]; o.metric == m.place && o.dims == dims {
			o.rows++
			return
		}
	}
	d.own = append(d.own, own{metric: m.place, rows: 1, value: m.value, dims: dims})
}

func (d *Day) entry(dims string) *entry {
	for i := range d.by {
		if d.by[i].dims == dims {
			return &d.by[i]
		}
	}
	d.by = append(d.by, entry{dims: dims})
	return &d.by[len(d.by)-1]
}

func (d *Day) hour(h int) *sums {
	for i := range d.hours {
		if d.hours[i].hour == h {
			return &d.hours[i].sums
		}
	}
	d.hours = append(d.hours, hour{hour: h})
	return &d.hours[len(d.hours)-1].sums
}

// A renderer writes days as a document holds them.
type renderer struct {
	*places
	order []int
	spec  *source.Rollup
}

// day writes a day: {m, h, by}, nil when it has no metrics. Hours are there only
// where one other than the last has metrics: as in stats, a day without hours is
// all in the last.
func (r *renderer) day(d *Day) bsoncore.Document {
	total := r.sums(d.total, d.owns(nil))
	doc := bsoncore.NewDocumentBuilder().AppendDocument("m", total)
	empty := len(total) == emptyDocument
	if hours := r.hours(d); hours != nil {
		doc.AppendDocument("h", hours)
		empty = false
	}
	if by, n := r.by(d); n > maxBy {
		doc.AppendBoolean("by_more", true)
		empty = false
	} else if n > 0 {
		doc.AppendArray("by", by)
		empty = false
	}
	if empty {
		return nil
	}
	return doc.Build()
}

const (
	maxBy         = 50 // entries of a breakdown; a day with more has none
	emptyDocument = 5  // bytes
)

// sums writes the sums that are not zero, and the metrics that stand alone.
func (r *renderer) sums(s sums, alone map[int]metric.Value) bsoncore.Document {
	index, doc := bsoncore.AppendDocumentStart(nil)
	for _, i := range r.order {
		var sum metric.Sum
		if i < len(s) {
			sum = s[i]
		}
		if v, ok := alone[i]; ok {
			sum.Add(v)
		}
		if sum.IsZero() {
			continue
		}
		switch n := sum.Number().(type) {
		case int64:
			doc = bsoncore.AppendInt64Element(doc, r.names[i], n)
		case float64:
			doc = bsoncore.AppendDoubleElement(doc, r.names[i], n)
		}
	}
	doc, err := bsoncore.AppendDocumentEnd(doc, index)
	if err != nil {
		panic(err) // the index is this function's own
	}
	return doc
}

// owns returns the metrics that stand alone: in the whole day, or in one entry.
func (d *Day) owns(dims *string) map[int]metric.Value {
	if len(d.own) == 0 {
		return nil
	}
	alone, rows := map[int]metric.Value{}, map[int]int{}
	for _, o := range d.own {
		if dims == nil || o.dims == *dims {
			alone[o.metric] = o.value
			rows[o.metric] += o.rows
		}
	}
	for i, n := range rows {
		if n > 1 {
			delete(alone, i)
		}
	}
	return alone
}

// hours writes the hours, nil when all is in the last.
func (r *renderer) hours(d *Day) bsoncore.Document {
	if !slices.ContainsFunc(d.hours, func(h hour) bool { return h.hour != lastHour }) {
		return nil
	}
	slices.SortFunc(d.hours, func(a, b hour) int { return cmp.Compare(a.hour, b.hour) })
	doc, others := bsoncore.NewDocumentBuilder(), false
	for _, h := range d.hours {
		if m := r.sums(h.sums, nil); len(m) > emptyDocument {
			doc.AppendDocument(strconv.Itoa(h.hour), m)
			others = others || h.hour != lastHour
		}
	}
	if !others {
		return nil
	}
	return doc.Build()
}

// by writes the breakdown, and says how many entries it has.
func (r *renderer) by(d *Day) (bsoncore.Array, int) {
	slices.SortFunc(d.by, func(a, b entry) int { return strings.Compare(a.dims, b.dims) })
	array, n := bsoncore.NewArrayBuilder(), 0
	for _, e := range d.by {
		if m := r.sums(e.sums, d.owns(&e.dims)); len(m) > emptyDocument {
			array.AppendDocument(bsoncore.NewDocumentBuilder().AppendDocument("d", r.dims(e.dims)).AppendDocument("m", m).Build())
			n++
		}
	}
	return array.Build(), n
}

func (r *renderer) dims(projected string) bsoncore.Document {
	doc := bsoncore.NewDocumentBuilder()
	for i, v := range strings.Split(projected, ",") {
		doc.AppendString(r.spec.Dimensions[i], unescape.Replace(v))
	}
	return doc.Build()
}

var unescape = strings.NewReplacer("%25", "%", "%2C", ",", "%3D", "=")

// project keeps of canonical dims the values of some names, in the names' order.
func project(dims string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	values := make([]string, len(names))
	for pair := range strings.SplitSeq(dims, ",") {
		name, value, _ := strings.Cut(pair, "=")
		if i := slices.Index(names, name); i >= 0 {
			values[i] = value
		}
	}
	return strings.Join(values, ",")
}
