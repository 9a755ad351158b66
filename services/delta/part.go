package delta

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// A Part is an event.Part with what its source file says of it.
type Part struct {
	event.Part
	kind       string
	absentZero bool
	location   *time.Location
	depth      []int      // of each object
	names      [][]string // of each stat: the metrics that its rule lists; nil: it sets all
}

// newPart checks that a part fits its source file.
func newPart(e event.Part, src *source.Source) (*Part, error) {
	p := &Part{
		Part: e, kind: src.Stats.Kind, absentZero: src.Stats.Absent == source.AbsentZero,
		location: src.Location(e.Account), depth: make([]int, len(e.Objects)), names: make([][]string, len(e.Stats)),
	}
	for i, o := range e.Objects {
		t, ok := src.Type(o.Type)
		if !ok || o.Parent > i {
			return nil, fmt.Errorf("objects[%d]: type %q with parent %d does not fit source %s, version %s", i, o.Type, o.Parent, e.Source, e.Version)
		}
		p.depth[i] = t.Depth
	}
	for i, st := range e.Stats {
		if st.Object < 0 || st.Object >= len(e.Objects) || (p.kind != source.KindTotal) != (st.Hour != nil) {
			return nil, fmt.Errorf("stats[%d]: object %d or its hour does not fit source %s, kind %s", i, st.Object, e.Source, p.kind)
		}
		rule, ok := src.StatRule(e.Objects[st.Object].Type, st.Rule)
		if !ok {
			return nil, fmt.Errorf("stats[%d]: no rule %q for type %s in version %s", i, st.Rule, e.Objects[st.Object].Type, e.Version)
		}
		if !rule.Metrics.All {
			p.names[i] = rule.Metrics.Names
		}
	}
	p.dropRepeated()
	return p, nil
}

// dropRepeated keeps, of a stat that a part holds twice, the last.
func (p *Part) dropRepeated() {
	if p.kind == source.KindCount {
		return // these add up
	}
	type cell struct {
		object     int
		day        metric.Day
		hour       int
		rule, dims string
	}
	last := make(map[cell]int, len(p.Stats))
	for i, st := range p.Stats {
		last[cell{st.Object, st.Day, hourOf(st), st.Rule, st.Dims}] = i
	}
	if len(last) == len(p.Stats) {
		return
	}
	var stats []event.Stat
	var names [][]string
	for i, st := range p.Stats {
		if last[cell{st.Object, st.Day, hourOf(st), st.Rule, st.Dims}] == i {
			stats, names = append(stats, st), append(names, p.names[i])
		}
	}
	p.Stats, p.names = stats, names
}

// allDay is the hour of a stat that has none.
const allDay = -1

func hourOf(st event.Stat) int {
	if st.Hour == nil {
		return allDay
	}
	return *st.Hour
}

// creditHour is the hour that the difference of a day's total is put in: the one
// that it was observed in, if that falls on the day itself, else the last.
func (p *Part) creditHour(day metric.Day) int {
	local := p.ObservedAt.In(p.location)
	if metric.DayOf(local) != day {
		return lastHour
	}
	return local.Hour()
}

const lastHour = 23

// dimNames returns the names in canonical dims: "country,os" of "country=DE,os=ios".
func dimNames(dims string) string {
	if dims == "" {
		return ""
	}
	pairs := strings.Split(dims, ",")
	for i, pair := range pairs {
		pairs[i], _, _ = strings.Cut(pair, "=")
	}
	return strings.Join(pairs, ",")
}

// An ObjectKey names an object.
type ObjectKey struct{ Source, Type, Key string }

func (p *Part) key(i int) ObjectKey {
	return ObjectKey{p.Source, p.Objects[i].Type, p.Objects[i].Key}
}

// parentKey returns the key of the parent that the part gives object i.
func (p *Part) parentKey(i int) (ObjectKey, bool) {
	if p.Objects[i].Parent == 0 {
		return ObjectKey{}, false
	}
	return p.key(p.Objects[i].Parent - 1), true
}

// A RowKey names a row of stats.
type RowKey struct {
	Object     int64
	Day        metric.Day
	Rule, Dims string
}

// seen names one hour (or all day) of a row in the ledger: 64 bits of a hash, so
// that a part of 1,000 stats that found nothing new costs 8 KB.
func (k RowKey) seen(hour int) int64 {
	return digest("stat", strconv.FormatInt(k.Object, 10), strconv.Itoa(int(k.Day)), k.Rule, k.Dims, strconv.Itoa(hour))
}

// seen names in the ledger all stats of a group: that an answer held any of them.
func (g group) seen() int64 {
	return digest("group", strconv.FormatInt(g.object, 10), strconv.Itoa(int(g.day)), g.rule)
}

// sights are the names in the ledger of a row and its hours.
func (r *Row) sights() []int64 {
	all := []int64{r.seen(allDay)}
	for h := range r.HoursAt {
		all = append(all, r.seen(h))
	}
	return all
}

func seenObject(id int64) int64 { return digest("object", strconv.FormatInt(id, 10)) }

func digest(parts ...string) int64 {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// eventHash is how the id of a source's event is kept.
func eventHash(source, id string) []byte {
	sum := sha256.Sum256([]byte(source + "\x00" + id))
	return sum[:16]
}

// sortedDays returns the days of a set in order.
func sortedDays(set map[metric.Day]bool) []metric.Day {
	days := make([]metric.Day, 0, len(set))
	for d := range set {
		days = append(days, d)
	}
	slices.Sort(days)
	return days
}
