package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/metric"
)

const (
	maxName   = 63   // bytes of a metric's name
	maxFields = 1024 // different field names that are remembered
)

// A row is what was read of the element in hand.
type row struct {
	cells  []cell // by slot
	odd    string // why the first number under "*" that gives no metric is refused
	copied []byte // where the reader's own memory does not last
}

// A fieldTable knows what the fields of a level's elements are for. It looks
// first where the field stood in the element before.
type fieldTable struct {
	order   []*fieldInfo
	byRaw   map[string]*fieldInfo
	metrics []string // names under "*"
	places  map[string]int
	sorted  []int          // places of the metrics in the order of their names
	some    []int          // those whose value is not zero
	values  []metric.Value // of the metrics
}

// A fieldInfo is what a field is for.
type fieldInfo struct {
	raw    string // as it is written, in JSON with its quotes
	lead   string // raw, after a comma and before a colon
	name   string
	slot   int // -1: no rule names it
	metric int // its place among the metrics; -1: it has no name that a metric may have
	branch *branch
}

// begin makes l ready for the next element.
func (l *level) begin() {
	if len(l.byRaw) > maxFields {
		l.fieldTable = fieldTable{}
	}
	l.empty()
}

// empty forgets the element before.
func (l *level) empty() {
	clear(l.cells)
	clear(l.values)
	l.odd, l.copied = "", l.copied[:0]
}

// lookup returns what the n-th field of an element is for. Raw is its JSON name
// with the quotes.
func (l *level) lookup(n int, raw []byte) *fieldInfo {
	if n < len(l.order) && l.order[n].raw == string(raw) {
		return l.order[n]
	}
	f, ok := l.byRaw[string(raw)]
	if !ok {
		f = l.learn(string(raw), unquoteName(raw))
	}
	switch {
	case n < len(l.order):
		l.order[n] = f
	case n == len(l.order):
		l.order = append(l.order, f)
	}
	return f
}

// learn works out what a field is for.
func (l *level) learn(raw, name string) *fieldInfo {
	lead := "," + raw + ":"
	f := &fieldInfo{raw: lead[1 : len(lead)-1], lead: lead, name: name, slot: -1, metric: -1}
	if slot, ok := l.slots[name]; ok {
		f.slot = slot
	} else if l.all {
		f.metric = l.metricOf(name)
	}
	if l.below != nil {
		f.branch = l.below.next[name]
	}
	if l.byRaw == nil {
		l.byRaw = map[string]*fieldInfo{}
	}
	l.byRaw[f.raw] = f
	return f
}

// metricOf returns the place of the metric that a field under "*" is, or -1
// when its name is too long.
func (l *level) metricOf(field string) int {
	name := metricName(field)
	if len(name) > maxName {
		return -1
	}
	at, ok := l.places[name]
	if !ok {
		at = len(l.metrics)
		l.metrics, l.values = append(l.metrics, name), append(l.values, 0)
		if l.places == nil {
			l.places = map[string]int{}
		}
		l.places[name] = at
	}
	return at
}

// nonZero returns the places of the metrics that are not zero, in the order of
// their names.
func (l *level) nonZero() []int {
	if len(l.sorted) != len(l.metrics) {
		l.sorted = l.sorted[:0]
		for at := range l.metrics {
			l.sorted = append(l.sorted, at)
		}
		l.some = make([]int, len(l.sorted))
		slices.SortFunc(l.sorted, func(a, b int) int { return strings.Compare(l.metrics[a], l.metrics[b]) })
	}
	n := 0
	for _, at := range l.sorted {
		l.some[n] = at // and again with the next, after a zero: nothing to predict
		if l.values[at] != 0 {
			n++
		}
	}
	return l.some[:n]
}

// put keeps the value of a field of the element in hand.
func (l *level) put(f *fieldInfo, k kind, b []byte) {
	if f.slot >= 0 {
		l.cells[f.slot] = cell{k, b}
	} else if k == cellNumber && l.all {
		v, err := metric.Parse(b)
		l.number(f, v, b, err)
	}
}

// number keeps a number of a field that no rule names.
func (l *level) number(f *fieldInfo, v metric.Value, b []byte, err error) {
	switch {
	case err == nil && f.metric >= 0:
		l.values[f.metric] = v
	case l.odd != "":
	case err != nil:
		l.odd = f.name + " " + refusedNumber(b, err)
	default:
		l.odd = fmt.Sprintf("%s has %d bytes; a metric's name of at most %d is allowed", found(f.name), len(f.name), maxName)
	}
}

// metricName makes a metric's name of a field's: other characters become _, and
// a digit does not stand first.
func metricName(field string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, field)
	if name == "" || (name[0] >= '0' && name[0] <= '9') {
		return "_" + name
	}
	return name
}
