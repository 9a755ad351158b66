package rollup

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/tree"
)

// maxBy is how many entries a day's breakdown has; a day with more has none.
const maxBy = 50

// A Document is an object's rollup for half a year, or for all time where
// neither it nor any below it has stats.
type Document struct {
	Node *tree.Node
	Half string
	Tags map[string]any
	Days map[metric.Day]*Day // those asked for; one without metrics is to be unset
	All  bool                // Days are all that the document has
	Gone bool                // it should not be
}

// ID is the document's _id: ad/a1/2026H2.
func (d *Document) ID() string { return d.Node.Type + "/" + d.Node.Key + "/" + d.Half }

// A Day holds the sums of an object and all below it.
type Day struct {
	rows  int // of stats, those without metrics too
	sums  sums
	hours map[int]sums
	by    map[string]sums // by dims
	own   map[string]*own // metrics that are not added up
}

// own is a metric that is only shown where it stands alone: in the day when the
// object has one row with it, in a breakdown when one row makes the entry.
type own struct {
	rows  int
	value metric.Value
	by    map[string]int
	byVal map[string]metric.Value
}

type sums map[string]*metric.Sum

func (s sums) add(name string, v metric.Value) {
	sum := s[name]
	if sum == nil {
		sum = &metric.Sum{}
		s[name] = sum
	}
	sum.Add(v)
}

// bson returns the sums that are not zero.
func (s sums) bson() bson.M {
	m := bson.M{}
	for name, sum := range s {
		if !sum.IsZero() {
			m[name] = sum.Number()
		}
	}
	return m
}

// A stat is a row of stats as it is read for a document.
type stat struct {
	Object  int64
	Day     metric.Day
	Dims    string
	Metrics metric.Set
	Hours   map[int]metric.Set // nil: all in the last hour
}

const lastHour = 23

// add adds a row of the object itself (own) or of one below it.
func (d *Day) add(st stat, mine bool, spec *source.Rollup) {
	d.rows++
	by := project(st.Dims, spec.Dimensions)
	for _, m := range st.Metrics {
		if slices.Contains(spec.NotSummed, m.Name) {
			if mine {
				d.addOwn(m, by)
			}
			continue
		}
		d.sums.add(m.Name, m.Value)
		if len(spec.Dimensions) > 0 {
			if d.by[by] == nil {
				d.by[by] = sums{}
			}
			d.by[by].add(m.Name, m.Value)
		}
	}
	if spec.Hours {
		d.addHours(st, spec)
	}
}

func (d *Day) addOwn(m metric.Metric, by string) {
	o := d.own[m.Name]
	if o == nil {
		o = &own{by: map[string]int{}, byVal: map[string]metric.Value{}}
		d.own[m.Name] = o
	}
	o.rows++
	o.value = m.Value
	o.by[by]++
	o.byVal[by] = m.Value
}

func (d *Day) addHours(st stat, spec *source.Rollup) {
	hours := st.Hours
	if hours == nil {
		hours = map[int]metric.Set{lastHour: st.Metrics}
	}
	for h, set := range hours {
		if d.hours[h] == nil {
			d.hours[h] = sums{}
		}
		for _, m := range set {
			if !slices.Contains(spec.NotSummed, m.Name) {
				d.hours[h].add(m.Name, m.Value)
			}
		}
	}
}

func newDay() *Day {
	return &Day{sums: sums{}, hours: map[int]sums{}, by: map[string]sums{}, own: map[string]*own{}}
}

// bson returns the day as the document holds it, nil when it has no metrics.
// Hours are there only where one other than the last has metrics: as in stats,
// a day without hours is all in the last.
func (d *Day) bson(spec *source.Rollup) bson.M {
	total := d.sums.bson()
	for name, o := range d.own {
		if o.rows == 1 {
			total[name] = metric.Number(o.value)
		}
	}
	day := bson.M{"m": total}
	hours := bson.M{}
	for h, s := range d.hours {
		if m := s.bson(); len(m) > 0 {
			hours[strconv.Itoa(h)] = m
		}
	}
	if _, last := hours[strconv.Itoa(lastHour)]; len(hours) > 1 || (len(hours) == 1 && !last) {
		day["h"] = hours
	}
	if by := d.breakdown(spec); len(by) > maxBy {
		day["by_more"] = true
	} else if len(by) > 0 {
		day["by"] = by
	}
	if len(total) == 0 && len(day) == 1 {
		return nil
	}
	return day
}

func (d *Day) breakdown(spec *source.Rollup) bson.A {
	if len(spec.Dimensions) == 0 {
		return nil
	}
	entries := map[string]bson.M{}
	for dims, s := range d.by {
		if m := s.bson(); len(m) > 0 {
			entries[dims] = m
		}
	}
	for name, o := range d.own {
		for dims, rows := range o.by {
			if rows != 1 {
				continue
			}
			if entries[dims] == nil {
				entries[dims] = bson.M{}
			}
			entries[dims][name] = metric.Number(o.byVal[dims])
		}
	}
	by := bson.A{}
	for _, dims := range slices.Sorted(maps.Keys(entries)) {
		by = append(by, bson.M{"d": dimsOf(dims, spec.Dimensions), "m": entries[dims]})
	}
	return by
}

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

var unescape = strings.NewReplacer("%25", "%", "%2C", ",", "%3D", "=")

func dimsOf(projected string, names []string) bson.M {
	m := bson.M{}
	for i, v := range strings.Split(projected, ",") {
		m[names[i]] = unescape.Replace(v)
	}
	return m
}

// fields are a document's, but for its days and rev.
func (d *Document) fields() bson.D {
	attrs := bson.M{}
	for k, v := range d.Node.Attrs {
		attrs[k] = value(v)
	}
	tags := bson.M{}
	for k, v := range d.Tags {
		tags[k] = value(v)
	}
	return bson.D{
		{Key: "source", Value: d.Node.Source}, {Key: "type", Value: d.Node.Type}, {Key: "key", Value: d.Node.Key},
		{Key: "name", Value: d.Node.Name}, {Key: "half", Value: d.Half}, {Key: "path", Value: d.Node.Path()},
		{Key: "attrs", Value: attrs}, {Key: "tags", Value: tags},
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
		f, _ := v.Float64() // beyond its range it is an infinity, the nearest there is
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

// update is the one operation that brings the document up to date.
func (d *Document) update(rev int64, spec *source.Rollup) bson.D {
	set := append(d.fields(), bson.E{Key: "rev", Value: rev})
	unset := bson.D{{Key: "gone", Value: ""}}
	days := bson.M{}
	for _, day := range slices.SortedFunc(maps.Keys(d.Days), func(a, b metric.Day) int { return cmp.Compare(a, b) }) {
		m := d.Days[day].bson(spec)
		switch {
		case d.All && m != nil:
			days[day.String()] = m
		case d.All:
		case m != nil:
			set = append(set, bson.E{Key: "days." + day.String(), Value: m})
		default:
			unset = append(unset, bson.E{Key: "days." + day.String(), Value: ""})
		}
	}
	if d.All && d.Half != noHalf {
		set = append(set, bson.E{Key: "days", Value: days})
	}
	return bson.D{{Key: "$set", Value: ordered(set)}, {Key: "$unset", Value: unset}}
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
	case bson.D:
		for i := range v {
			v[i].Value = ordered(v[i].Value)
		}
	case bson.A:
		for i := range v {
			v[i] = ordered(v[i])
		}
	}
	return v
}
