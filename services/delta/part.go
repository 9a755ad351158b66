package delta

import (
	"cmp"
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
	feeds      []string   // of the source, in the file's order
	depth      []int      // of each object
	names      [][]string // of each stat: the metrics that its rule lists; nil: it sets all
	dates      []date     // the stats by object and day
	objects    []*Object  // what each object is in PostgreSQL, once it was resolved
}

// A date is what a part says of one day of an object.
type date struct {
	object int // index in Objects
	day    metric.Day
	stats  []int // indexes in Stats, in their order
	told   told
	same   bool // the rows say the same already: they are not looked at
}

// newPart checks that a part fits its source file.
func newPart(e event.Part, src *source.Source) (*Part, error) {
	p := &Part{
		Part: e, kind: src.Stats.Kind, absentZero: src.Stats.Absent == source.AbsentZero,
		location: src.Location(e.Account), feeds: src.FeedNames(), depth: make([]int, len(e.Objects)), names: make([][]string, len(e.Stats)),
	}
	if _, err := src.Feed(e.Feed); err != nil {
		return nil, err
	}
	for i, o := range e.Objects {
		t, ok := src.Type(o.Type)
		if !ok || o.Parent > i {
			return nil, fmt.Errorf("objects[%d]: type %q with parent %d does not fit source %s, version %s", i, o.Type, o.Parent, e.Source, e.Version)
		}
		p.depth[i] = t.Depth
	}
	if err := p.readRules(src); err != nil {
		return nil, err
	}
	p.dates = p.sortDates()
	p.untellShared(src)
	return p, nil
}

// readRules checks the stats and looks up what the rule of each lists. Stats of
// one rule follow one another.
func (p *Part) readRules(src *source.Source) error {
	var typ, name string
	var rule *source.StatRule
	for i := range p.Stats {
		st := &p.Stats[i]
		if st.Object < 0 || st.Object >= len(p.Objects) || (p.kind != source.KindTotal) != (st.Hour != nil) {
			return fmt.Errorf("stats[%d]: object %d or its hour does not fit source %s, kind %s", i, st.Object, p.Source, p.kind)
		}
		if t := p.Objects[st.Object].Type; rule == nil || t != typ || st.Rule != name {
			var ok bool
			if rule, ok = src.StatRule(t, st.Rule); !ok {
				return fmt.Errorf("stats[%d]: no rule %q for type %s in version %s", i, st.Rule, t, p.Version)
			}
			typ, name = t, st.Rule
		}
		if !rule.Metrics.All {
			p.names[i] = rule.Metrics.Names
		}
	}
	return nil
}

// sortDates puts the stats of one object and day together, of one that the part
// holds twice the last.
func (p *Part) sortDates() []date {
	order := make([]int, len(p.Stats))
	for i := range order {
		order[i] = i
	}
	byDate := func(a, b int) int {
		return cmp.Or(cmp.Compare(p.Stats[a].Object, p.Stats[b].Object), cmp.Compare(p.Stats[a].Day, p.Stats[b].Day))
	}
	if !slices.IsSortedFunc(order, byDate) {
		slices.SortStableFunc(order, byDate)
	}
	var dates []date
	var text []byte
	for len(order) > 0 {
		n := 1
		for n < len(order) && byDate(order[0], order[n]) == 0 {
			n++
		}
		d := date{object: p.Stats[order[0]].Object, day: p.Stats[order[0]].Day, stats: order[:n:n]}
		if p.kind != source.KindCount { // events add up
			d.stats = p.dropRepeated(d.stats)
			d.told, text = p.tell(d.stats, text[:0])
		}
		dates, order = append(dates, d), order[n:]
	}
	return dates
}

// untellShared takes out the digests of days of which several feeds have stats:
// each would find what another said there, every time.
func (p *Part) untellShared(src *source.Source) {
	if p.Feed == "" {
		return
	}
	for i := range p.dates {
		d := &p.dates[i]
		if t, ok := src.Type(p.Objects[d.object].Type); ok && t.SharesStats() {
			d.told = 0
		}
	}
}

// dropRepeated keeps, of stats of one row and hour, the last.
func (p *Part) dropRepeated(stats []int) []int {
	if len(stats) < 2 {
		return stats
	}
	type cell struct {
		rule, dims string
		hour       int
	}
	of := func(i int) cell { st := &p.Stats[i]; return cell{st.Rule, st.Dims, hourOf(st)} }
	if len(stats) == 2 && of(stats[0]) != of(stats[1]) {
		return stats
	}
	last := make(map[cell]int, len(stats))
	for _, i := range stats {
		last[of(i)] = i
	}
	if len(last) == len(stats) {
		return stats
	}
	return slices.DeleteFunc(stats, func(i int) bool { return last[of(i)] != i })
}

// A told is a digest of what a part said of something: equal ones said the same.
// 0 stands for no word.
type told uint64

// tell returns the digest of stats, under the version of the source file that
// says what they mean. Text is memory to use.
func (p *Part) tell(stats []int, text []byte) (told, []byte) {
	text = append(text, p.Version...)
	for _, i := range stats {
		st := &p.Stats[i]
		text = append(binary.LittleEndian.AppendUint32(text, uint32(len(st.Rule))), st.Rule...)
		text = append(binary.LittleEndian.AppendUint32(text, uint32(len(st.Dims))), st.Dims...)
		text = append(text, byte(hourOf(st)))
		text = binary.LittleEndian.AppendUint32(text, uint32(len(st.Metrics)))
		for _, m := range st.Metrics {
			text = append(append(text, byte(len(m.Name))), m.Name...)
			text = binary.LittleEndian.AppendUint64(text, uint64(m.Value))
		}
	}
	return tellText(text), text
}

// tellObject returns the digest of what describes an object.
func (p *Part) tellObject(i int) told {
	o := &p.Objects[i]
	parent, _ := p.parentKey(i)
	return told(digest("described", parent.Type, parent.Key, o.Name, string(o.Attrs)))
}

func tellText(text []byte) told {
	sum := sha256.Sum256(text)
	return told(max(binary.BigEndian.Uint64(sum[:8]), 1))
}

// allDay is the hour of a stat that has none.
const allDay = -1

func hourOf(st *event.Stat) int {
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

// rowKey is the row of a stat.
func (p *Part) rowKey(i int) RowKey {
	st := &p.Stats[i]
	return RowKey{p.objects[st.Object].ID, st.Day, st.Rule, st.Dims}
}

// seen names one hour (or all day) of a row in the ledger: 64 bits of a hash, so
// that a part of 1,000 stats that found nothing new costs 8 KB.
func (k RowKey) seen(hour int) int64 {
	text := make([]byte, 0, 128)
	text = strconv.AppendInt(append(text, "stat\x00"...), k.Object, 10)
	text = strconv.AppendInt(append(text, 0), int64(k.Day), 10)
	text = append(append(text, 0), k.Rule...)
	text = append(append(text, 0), k.Dims...)
	text = strconv.AppendInt(append(text, 0), int64(hour), 10)
	sum := sha256.Sum256(text)
	return int64(binary.BigEndian.Uint64(sum[:8]))
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

// seenObject names in the ledger what the part, or its feed, says of an object.
func (p *Part) seenObject(id int64) int64 {
	if p.Feed == "" {
		return digest("object", strconv.FormatInt(id, 10))
	}
	return digest("object", strconv.FormatInt(id, 10), p.Feed)
}

func digest(parts ...string) int64 {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// eventHash is how the id of a source's event is kept.
func eventHash(source, id string) []byte {
	sum := sha256.Sum256([]byte(source + "\x00" + id))
	return sum[:16]
}
