package event

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/leatflow/leat/pkg/metric"
)

// The text of a part says each type, rule, combination of dimensions and metric's name
// once, in lists that come before what points into them:
//
//	"types":["campaign","ad"],
//	"objects":[[0,"c1"],[1,"a1",1,1,"An ad",{"status":"on"}]],
//	"metrics":["clicks","spend"],"rules":[""],"dims":["os=ios"],"first":"2026-11-14",
//	"stats":[[1,6,0,0,-1,0,3,1,12.5]]
//
// An object is its type, key, parent, whether it is described, name and
// attributes; what is zero at its end is left out. A stat is its object, the
// days since first, dims, rule, hour (-1 for none), pairs of metric and value
// in the order of metrics, which are sorted, and the id of an event.

// AppendJSON implements pipeline.Appender.
func (p Part) AppendJSON(b []byte) ([]byte, error) {
	w := partWriter{b: slices.Grow(b, p.size()), names: columns(p.Stats)}
	w.head(&p)
	w.objects(p.Objects)
	w.stats(p.Stats)
	w.b = append(w.b, '}')
	return w.b, w.err
}

// size estimates the text's.
func (p *Part) size() int {
	n := 400 + len(p.Source) + len(p.Version) + len(p.Account)
	for i := range p.Objects {
		o := &p.Objects[i]
		n += 20 + len(o.Key) + len(o.Name) + len(o.Attrs)
	}
	for i := range p.Stats {
		st := &p.Stats[i]
		n += 24 + len(st.ID) + 10*len(st.Metrics)
	}
	return n
}

type partWriter struct {
	b     []byte
	names []string // sorted
	err   error
}

func (w *partWriter) head(p *Part) {
	w.b = appendString(append(w.b, `{"source":`...), p.Source)
	w.b = appendString(append(w.b, `,"version":`...), p.Version)
	if p.Account != "" {
		w.b = appendString(append(w.b, `,"account":`...), p.Account)
	}
	if p.Feed != "" {
		w.b = appendString(append(w.b, `,"feed":`...), p.Feed)
	}
	w.b = strconv.AppendInt(append(w.b, `,"answer":`...), int64(p.Answer), 10)
	w.b = strconv.AppendInt(append(w.b, `,"ordinal":`...), int64(p.Ordinal), 10)
	at, err := p.ObservedAt.MarshalJSON()
	w.b, w.err = append(append(w.b, `,"observed_at":`...), at...), err
	if p.Rejected != 0 {
		w.b = strconv.AppendInt(append(w.b, `,"rejected":`...), int64(p.Rejected), 10)
	}
}

func (w *partWriter) objects(objects []Object) {
	var types table
	for i := range objects {
		types.index(objects[i].Type)
	}
	w.b = appendStrings(append(w.b, `,"types":`...), types.texts)
	w.b = append(w.b, `,"objects":[`...)
	for i := range objects {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.object(&objects[i], types.index(objects[i].Type))
		if w.err != nil {
			w.err = fmt.Errorf("objects[%d]: %w", i, w.err)
			return
		}
	}
	w.b = append(w.b, ']')
}

func (w *partWriter) object(o *Object, typ int) {
	w.b = strconv.AppendInt(append(w.b, '['), int64(typ), 10)
	w.b = appendString(append(w.b, ','), o.Key)
	if o.Described || o.Parent != 0 || o.Name != "" || o.Attrs != nil {
		w.b = strconv.AppendInt(append(w.b, ','), int64(o.Parent), 10)
	}
	if o.Described || o.Name != "" || o.Attrs != nil {
		w.b = strconv.AppendInt(append(w.b, ','), number(o.Described), 10)
		w.b = appendString(append(w.b, ','), o.Name)
	}
	if o.Attrs != nil {
		w.err = check(o.Attrs)
		w.b = append(append(w.b, ','), o.Attrs...)
	}
	w.b = append(w.b, ']')
}

func (w *partWriter) stats(stats []Stat) {
	if len(stats) == 0 || w.err != nil {
		return
	}
	var rules, dims table
	first := stats[0].Day
	for i := range stats {
		st := &stats[i]
		first = min(first, st.Day)
		rules.index(st.Rule)
		dims.index(st.Dims)
	}
	w.b = appendStrings(append(w.b, `,"metrics":`...), w.names)
	w.b = appendStrings(append(w.b, `,"rules":`...), rules.texts)
	w.b = appendStrings(append(w.b, `,"dims":`...), dims.texts)
	w.b = appendString(append(w.b, `,"first":`...), first.String())
	w.b = append(w.b, `,"stats":[`...)
	for i := range stats {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		st := &stats[i]
		hour := noHour
		if st.Hour != nil {
			hour = *st.Hour
		}
		w.numbers(st.Object, int(st.Day-first), dims.index(st.Dims), rules.index(st.Rule), hour)
		if !w.metrics(st.Metrics) {
			w.err = fmt.Errorf("stats[%d]: metrics %v are not sorted, or one is zero", i, st.Metrics)
			return
		}
		if st.ID != "" {
			w.b = appendString(append(w.b, ','), st.ID)
		}
		w.b = append(w.b, ']')
	}
	w.b = append(w.b, ']')
}

// numbers begins an array with numbers.
func (w *partWriter) numbers(numbers ...int) {
	b, next := w.b, byte('[')
	for _, n := range numbers {
		b = strconv.AppendInt(append(b, next), int64(n), 10)
		next = ','
	}
	w.b = b
}

// metrics goes through the names as it goes through the set: both are sorted.
func (w *partWriter) metrics(set metric.Set) bool {
	at, b := 0, w.b
	for i := range set {
		at = seek(w.names, at, set[i].Name)
		if at == len(w.names) || set[i].Value == 0 {
			return false
		}
		b = strconv.AppendInt(append(b, ','), int64(at), 10)
		b = set[i].Value.Append(append(b, ','))
		at++
	}
	w.b = b
	return true
}

// columns returns the names of all metrics, sorted.
func columns(stats []Stat) (names []string) {
	for i := range stats {
		if set := stats[i].Metrics; !covers(names, set) {
			for j := range set {
				if at, found := slices.BinarySearch(names, set[j].Name); !found {
					names = slices.Insert(names, at, set[j].Name)
				}
			}
		}
	}
	return names
}

// covers reports whether names, which are sorted, has all names of a set.
func covers(names []string, set metric.Set) bool {
	at := 0
	for i := range set {
		if at = seek(names, at, set[i].Name); at == len(names) {
			return false
		}
		at++
	}
	return true
}

// seek returns where name stands in names, from at on; len(names) if it does not.
func seek(names []string, at int, name string) int {
	last := len(name) - 1 // differs most often, and costs no call to compare
	for ; at < len(names); at++ {
		if n := names[at]; len(n) == len(name) && (last < 0 || n[last] == name[last]) && n == name {
			break
		}
	}
	return at
}
