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
	hours []hour // but the last, which is what they leave of the total
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

// add adds the metrics that may be added up.
func (s *sums) add(metrics []placed, memory *memory) {
	for _, m := range metrics {
		if m.notSummed {
			continue
		}
		if m.place >= len(*s) {
			*s = memory.grow(*s, m.place+1)
		}
		(*s)[m.place].Add(m.value)
	}
}

// memory is what days and sums are cut from: a batch has a hundred thousand of
// them, and they go together.
type memory struct {
	sums []metric.Sum
	days []Day
	most int // sums that were ever asked for at once
}

// grow returns sums with room for n.
func (m *memory) grow(s sums, n int) sums {
	const chunk = 4096
	m.most = max(m.most, n)
	if len(m.sums) < m.most {
		m.sums = make([]metric.Sum, max(chunk, m.most))
	}
	grown := sums(m.sums[:m.most:m.most])
	m.sums = m.sums[m.most:]
	copy(grown, s)
	return grown
}

func (m *memory) day() *Day {
	const chunk = 256
	if len(m.days) == 0 {
		m.days = make([]Day, chunk)
	}
	d := &m.days[0]
	m.days = m.days[1:]
	return d
}

// metricPlaces gives metrics their place in sums.
type metricPlaces struct {
	byName map[string]int
	names  []string
}

func (p *metricPlaces) of(name string) int {
	i, ok := p.byName[name]
	if !ok {
		i = len(p.names)
		p.byName[name] = i
		p.names = append(p.names, name)
	}
	return i
}

// sorted returns the places in the order of their names.
func (p *metricPlaces) sorted() []int {
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
func (d *Day) add(st *stat, mine bool, spec *source.Rollup, memory *memory) {
	d.rows++
	d.total.add(st.Metrics, memory)
	if mine {
		for _, m := range st.Metrics {
			if m.notSummed {
				d.addOwn(m, st.by)
			}
		}
	}
	if len(spec.Dimensions) > 0 {
		d.entry(st.by).sums.add(st.Metrics, memory)
	}
	for _, h := range st.Hours {
		if h.hour != lastHour {
			d.hour(h.hour).add(h.metrics, memory)
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
	if d.by == nil {
		d.by = make([]entry, 0, 4)
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
	*metricPlaces
	order     []int
	spec      *source.Rollup
	projected map[string]string // dims of rows, as project has them
}

// project keeps of canonical dims the values of the breakdown's names. Many rows
// have few combinations.
func (r *renderer) project(dims []byte) string {
	if by, ok := r.projected[string(dims)]; ok {
		return by
	}
	const most = 1 << 14
	if len(r.projected) == most {
		clear(r.projected)
	}
	by := project(string(dims), r.spec.Dimensions)
	r.projected[string(dims)] = by
	return by
}

const maxBy = 50 // entries of a breakdown; a day with more has none

// day appends a day: {m, h, by}. It is not ok, and nothing is appended, when the
// day has no metrics. Hours are there only where one other than the last has
// metrics: as in stats, a day without hours is all in the last.
func (r *renderer) day(dst []byte, name string, d *Day) (_ []byte, ok bool) {
	start := len(dst)
	at, dst := bsoncore.AppendDocumentElementStart(dst, name)
	dst, ok = r.sums(dst, "m", d.total, d.owns(nil))
	if !ok {
		m, empty := bsoncore.AppendDocumentElementStart(dst, "m")
		dst = end(empty, m)
	}
	dst, hours := r.hours(dst, d)
	dst, by := r.by(dst, d)
	if !ok && !hours && !by {
		return dst[:start], false
	}
	return end(dst, at), true
}

// sums appends the sums that are not zero, and the metrics that stand alone. It
// is not ok, and nothing is appended, when there are none.
func (r *renderer) sums(dst []byte, name string, s sums, alone map[int]metric.Value) (_ []byte, ok bool) {
	start := len(dst)
	at, dst := bsoncore.AppendDocumentElementStart(dst, name)
	empty := len(dst)
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
		if n, whole := sum.Int64(); whole {
			dst = bsoncore.AppendInt64Element(dst, r.names[i], n)
		} else {
			dst = bsoncore.AppendDoubleElement(dst, r.names[i], sum.Float64())
		}
	}
	if len(dst) == empty {
		return dst[:start], false
	}
	return end(dst, at), true
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

// hours appends the hours, unless all is in the last.
func (r *renderer) hours(dst []byte, d *Day) (_ []byte, ok bool) {
	if len(d.hours) == 0 {
		return dst, false
	}
	last := make(sums, len(r.names))
	copy(last, d.total)
	for _, h := range d.hours {
		for i, sum := range h.sums {
			last[i].Sub(sum)
		}
	}
	start := len(dst)
	at, dst := bsoncore.AppendDocumentElementStart(dst, "h")
	slices.SortFunc(d.hours, func(a, b hour) int { return cmp.Compare(a.hour, b.hour) })
	for _, h := range append(slices.Clip(d.hours), hour{lastHour, last}) {
		var some bool
		dst, some = r.sums(dst, strconv.Itoa(h.hour), h.sums, nil)
		ok = ok || some && h.hour != lastHour
	}
	if !ok {
		return dst[:start], false
	}
	return end(dst, at), true
}

// by appends the breakdown, or that it has more entries than are shown.
func (r *renderer) by(dst []byte, d *Day) (_ []byte, ok bool) {
	start := len(dst)
	at, dst := bsoncore.AppendArrayElementStart(dst, "by")
	slices.SortFunc(d.by, func(a, b entry) int { return strings.Compare(a.dims, b.dims) })
	n := 0
	for i := range d.by {
		e := &d.by[i]
		before := len(dst)
		one, entry := bsoncore.AppendDocumentElementStart(dst, strconv.Itoa(n))
		var some bool
		if entry, some = r.sums(r.dims(entry, e.dims), "m", e.sums, d.owns(&e.dims)); !some {
			dst = entry[:before]
			continue
		}
		dst = end(entry, one)
		n++
	}
	switch {
	case n == 0:
		return dst[:start], false
	case n > maxBy:
		return bsoncore.AppendBooleanElement(dst[:start], "by_more", true), true
	}
	return end(dst, at), true
}

// dims appends what the entry is of.
func (r *renderer) dims(dst []byte, projected string) []byte {
	at, dst := bsoncore.AppendDocumentElementStart(dst, "d")
	i := 0
	for v := range strings.SplitSeq(projected, ",") {
		if strings.Contains(v, "%") {
			v = unescape.Replace(v)
		}
		dst = bsoncore.AppendStringElement(dst, r.spec.Dimensions[i], v)
		i++
	}
	return end(dst, at)
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
