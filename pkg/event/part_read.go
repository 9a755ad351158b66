package event

import (
	"encoding/json"
	"strings"
	"unique"

	"github.com/leatflow/leat/pkg/metric"
)

const (
	noHour                = -1      // stands for the hour of a stat that has none
	secondPass            = 24      // of an hour that comes twice
	lastDay    metric.Day = 2932896 // that has a text of ten characters
)

// Reads implements pipeline.Reader.
func (*Part) Reads(kind string) bool { return kind == KindPart || kind == kindPart1 }

// ReadJSON implements pipeline.Reader. The part shares memory with body.
func (p *Part) ReadJSON(kind string, body []byte) error {
	if kind == kindPart1 {
		return json.Unmarshal(body, p)
	}
	r := partReader{scanner: newScanner(body), part: p}
	return r.object(r.read)
}

type partReader struct {
	scanner
	part                      *Part
	types, names, rules, dims []string
	first                     metric.Day
	hours                     []int
	metrics                   []metric.Metric // all sets are cut from it
}

func (r *partReader) read(field string) {
	p := r.part
	switch field {
	case "source":
		p.Source = strings.Clone(r.string())
	case "version":
		p.Version = strings.Clone(r.string())
	case "account":
		p.Account = strings.Clone(r.string())
	case "feed":
		p.Feed = strings.Clone(r.string())
	case "answer":
		p.Answer = int(r.number())
	case "ordinal":
		p.Ordinal = int(r.number())
	case "observed_at":
		if err := p.ObservedAt.UnmarshalText([]byte(r.string())); err != nil {
			r.failf("%v", err)
		}
	case "rejected":
		p.Rejected = int(r.number())
	case "types":
		r.types = r.strings()
	case "objects":
		r.readObjects()
	case "metrics":
		r.readNames()
	case "rules":
		r.rules = r.strings()
	case "dims":
		r.dims = r.strings()
	case "first":
		r.first = r.day()
	case "stats":
		r.readStats()
	default:
		r.value(0) // a later version's
	}
}

// readNames reads the metrics' names, of which there is one copy in memory.
func (r *partReader) readNames() {
	r.names = r.strings()
	for i, name := range r.names {
		if i > 0 && name <= r.names[i-1] {
			r.failf("%q does not come after %q", name, r.names[i-1])
		}
		r.names[i] = unique.Make(name).Value()
	}
}

func (r *partReader) readObjects() {
	r.part.Objects = nil
	r.list(func() { r.part.Objects = append(r.part.Objects, r.readObject()) })
}

func (r *partReader) readObject() (o Object) {
	r.want('[')
	if i := r.index("type", len(r.types)); r.err == nil {
		o.Type = r.types[i]
	}
	r.want(',')
	o.Key = r.string()
	if r.take(',') {
		o.Parent = r.index("parent", r.item+1)
	}
	if r.take(',') {
		o.Described = r.index("described", 2) == 1
		r.want(',')
		o.Name = r.string()
	}
	if r.take(',') {
		r.peek()
		start := r.at
		r.value(0)
		o.Attrs = r.body[start:r.at:r.at]
	}
	r.want(']')
	return o
}

// readStats makes room for all stats and metrics at once: every stat begins with
// a bracket, every metric has two commas.
func (r *partReader) readStats() {
	rest := r.body[r.at:]
	stats, commas := strings.Count(r.text[r.at:], "["), strings.Count(r.text[r.at:], ",")
	r.part.Stats = make([]Stat, 0, min(stats, len(rest)/12))
	r.metrics = make([]metric.Metric, 0, max(0, commas-5*len(r.part.Stats))/2)
	r.list(func() { r.part.Stats = append(r.part.Stats, r.readStat()) })
}

func (r *partReader) readStat() (st Stat) {
	r.want('[')
	st.Object = r.index("object", len(r.part.Objects))
	r.want(',')
	st.Day = r.first + metric.Day(r.index("day", int(lastDay-r.first)+1))
	r.want(',')
	dims := r.index("dims", len(r.dims))
	r.want(',')
	rule := r.index("rule", len(r.rules))
	r.want(',')
	st.Hour = r.readHour()
	if r.err != nil {
		return st
	}
	st.Dims, st.Rule = r.dims[dims], r.rules[rule]
	start, next := len(r.metrics), 0
	for r.take(',') {
		if r.peek() == '"' {
			st.ID = r.string()
			break
		}
		next = r.readMetric(next)
	}
	r.want(']')
	st.Metrics = metric.Set(r.metrics[start:len(r.metrics):len(r.metrics)])
	return st
}

// readMetric reads a metric, whose name is at least the next.
func (r *partReader) readMetric(next int) int {
	name := r.index("metric", len(r.names))
	if name < next {
		r.failf("metric %d after metric %d", name, next-1)
	}
	r.want(',')
	value := r.millionths()
	if r.err == nil {
		r.metrics = append(r.metrics, metric.Metric{Name: r.names[name], Value: value})
	}
	return name + 1
}

// millionths reads a metric's value.
func (r *partReader) millionths() metric.Value {
	r.peek()
	v, rest, err := metric.Scan(r.body[r.at:])
	switch {
	case err != nil:
		r.failf("%v", err)
	case v == 0:
		r.failf("a metric that is zero")
	default:
		r.at = len(r.body) - len(rest)
	}
	return v
}

// readHour returns an hour in memory that all stats share.
func (r *partReader) readHour() *int {
	hour := r.number()
	if hour < noHour || hour > secondPass {
		r.failf("hour %d", hour)
	}
	if hour == noHour || r.err != nil {
		return nil
	}
	if r.hours == nil {
		r.hours = make([]int, secondPass+1)
		for i := range r.hours {
			r.hours[i] = i
		}
	}
	return &r.hours[hour]
}

// day reads the text of a day.
func (s *scanner) day() metric.Day {
	day, err := metric.ParseDay(s.string())
	if err != nil {
		s.failf("%v", err)
	}
	return day
}
