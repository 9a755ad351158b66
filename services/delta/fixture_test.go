package delta

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// The stat rules and the kinds that the tests use.
const (
	all    = `metrics: "*"`
	listed = `metrics: [clicks, cost]`

	total      = `{kind: total}`
	totalWhole = `{kind: total, absent: zero}`
	hourly     = `{kind: hour}`
	hourWhole  = `{kind: hour, absent: zero}`
	events     = `{kind: count}`
)

// newSource is a source of ads below campaigns.
func newSource(t testing.TB, metrics, stats string) *source.Source {
	t.Helper()
	hour := map[bool]string{true: "hour: hour, "}[strings.Contains(stats, "hour")]
	src, err := source.Parse(fmt.Appendf(nil, `
source: ads
timezone: Europe/Berlin
accounts: {acme: {timezone: America/New_York}, globex: {}}
records:
  - each: campaigns
    object: {type: campaign, key: id, name: name, attributes: [status]}
    children:
      - each: ads
        object: {type: ad, key: id, name: name, attributes: [status, budget]}
        children:
          - each: stats
            stat: {day: date, %sdimensions: [os, country], %s}
stats: %s
`, hour, metrics, stats), nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// newFeeds is a source of ads in several feeds: the first has names, parents and
// stats, the second no name, the third no parent, and stats of its own.
func newFeeds(t testing.TB) *source.Source { return newFeedsIn(t, "one", "two", "three") }

// newFeedsIn has them in another order.
func newFeedsIn(t testing.TB, order ...string) *source.Source {
	t.Helper()
	const stat = `stat: {rule: %s, day: date, dimensions: [os, country], metrics: "*"}`
	feeds := map[string]string{
		"one": `
      - object: {type: campaign, key: id, name: name, attributes: [status]}
      - object: {type: ad, key: id, name: name, attributes: [status], parent: {type: campaign, key: in}}
        ` + fmt.Sprintf(stat, "one"),
		"two": `
      - object: {type: campaign, key: id, name: name}
      - object: {type: ad, key: id, attributes: [status, budget], parent: {type: campaign, key: in}}`,
		"three": `
      - object: {type: ad, key: id, name: name, attributes: [budget]}
        ` + fmt.Sprintf(stat, "three"),
	}
	text := "source: ads\ntimezone: Europe/Berlin\nfeeds:\n"
	for _, name := range order {
		text += "  " + name + ":\n    records:" + feeds[name] + "\n"
	}
	src, err := source.Parse([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// today is the day that times and stats are of where they do not say.
const today = "2026-11-14"

// tell reads a part, written as its time (UTC, "12:00", "2026-11-15 12:00" or
// "12:00 +1" for the second part of an answer, "12:00 acme" for an account) and
// what it holds, between semicolons:
//
//	!a1 name=Apple in=c1 {"status":"on"}       describes an ad
//	a1 day=2026-11-13 h=5 os=ios clicks=3      a stat
func tell(t testing.TB, src *source.Source, text string) *Part {
	t.Helper()
	p, err := newPart(toldPart(t, src, text), src)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func toldPart(t testing.TB, src *source.Source, text string) event.Part {
	t.Helper()
	head, items, _ := strings.Cut(text, ";")
	e := event.Part{Source: src.Name, Version: src.Hash}
	day, clock := today, ""
	for word := range strings.FieldsSeq(head) {
		switch {
		case strings.Contains(word, ":"):
			clock = word
		case strings.Contains(word, "-"):
			day = word
		case slices.Contains(src.FeedNames(), word):
			e.Feed = word
		case word[0] == '+':
			e.Ordinal, _ = strconv.Atoi(word)
		default:
			e.Account = word
		}
	}
	at, err := time.Parse("2006-01-02 15:04", day+" "+clock)
	if err != nil {
		t.Fatal(err)
	}
	e.ObservedAt = at.Add(time.Duration(e.Ordinal) * time.Microsecond)
	for item := range strings.SplitSeq(items, ";") {
		if item = strings.TrimSpace(item); item != "" {
			tellItem(t, &e, item)
		}
	}
	return e
}

func tellItem(t testing.TB, e *event.Part, item string) {
	t.Helper()
	item, attrs, _ := strings.Cut(item, "{")
	words := strings.Fields(item)
	key, described := strings.CutPrefix(words[0], "!")
	st := event.Stat{Object: -1, Day: mustDay(t, today)}
	var o event.Object
	var dims []string
	var metrics []metric.Metric
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "name":
			o.Name = value
		case "in":
			o.Parent = 1 + named(e, value)
		case "day":
			st.Day = mustDay(t, value)
		case "h":
			h, _ := strconv.Atoi(value)
			st.Hour = &h
		case "id":
			st.ID = value
		case "rule":
			st.Rule = value
		case "os", "country":
			dims = append(dims, word)
		default:
			v, err := metric.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			metrics = append(metrics, metric.Metric{Name: name, Value: v})
		}
	}
	i := named(e, key)
	if described {
		o.Type, o.Key, o.Described = e.Objects[i].Type, key, true
		if attrs != "" {
			o.Attrs = json.RawMessage("{" + attrs)
		}
		e.Objects[i] = o
		return
	}
	slices.Sort(dims)
	st.Object, st.Dims, st.Metrics = i, strings.Join(dims, ","), metric.Make(metrics)
	e.Stats = append(e.Stats, st)
}

// named returns the index of an object, which is added if it is not there.
func named(e *event.Part, key string) int {
	i := slices.IndexFunc(e.Objects, func(o event.Object) bool { return o.Key == key })
	if i < 0 {
		i = len(e.Objects)
		e.Objects = append(e.Objects, event.Object{Type: map[byte]string{'a': "ad", 'c': "campaign"}[key[0]], Key: key})
	}
	return i
}

func mustDay(t testing.TB, s string) metric.Day {
	t.Helper()
	d, err := metric.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A store is what PostgreSQL keeps, in memory.
type store struct {
	t       testing.TB
	objects map[ObjectKey]Object
	rows    map[RowKey]Row
	seen    []sighting
	told    map[monthOf]month
	events  map[string]bool
}

// A sighting is one thing in the ledger row of a part.
type sighting struct {
	what int64
	at   time.Time
}

func newStore(t testing.TB) *store {
	return &store{t: t, objects: map[ObjectKey]Object{}, rows: map[RowKey]Row{}, told: map[monthOf]month{}, events: map[string]bool{}}
}

// apply handles a batch as a transaction does.
func (s *store) apply(parts ...*Part) Plan {
	s.t.Helper()
	plan, err := Decide(parts, s.state(parts))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range plan.Objects {
		for key, known := range s.objects {
			if known.ID == o.ID {
				kept := *o
				kept.touched, kept.retold, kept.inserted, kept.reported, kept.sighted, kept.days = false, false, false, false, false, nil
				s.objects[key] = kept
			}
		}
	}
	for _, key := range plan.Removed {
		delete(s.rows, key)
	}
	for _, r := range slices.Concat(plan.New, plan.Rows) {
		kept := *r
		kept.touched, kept.kept = false, false
		s.rows[r.RowKey] = kept
	}
	for key, m := range plan.Told {
		var kept month
		kept.read(m.bytes())
		s.told[key] = kept
	}
	for i, o := range plan.Outcomes {
		for _, what := range o.Seen {
			s.seen = append(s.seen, sighting{what, parts[i].ObservedAt})
		}
	}
	return plan
}

// state is what read reads.
func (s *store) state(parts []*Part) State {
	state := State{Objects: map[ObjectKey]*Object{}, Rows: map[RowKey]*Row{}, Newer: map[int64]time.Time{}, Events: map[string]bool{}}
	all := mentions(parts)
	keys := slices.SortedFunc(maps.Keys(all), func(a, b ObjectKey) int { // campaigns before ads
		return strings.Compare(b.Type+a.Key, a.Type+b.Key)
	})
	for _, key := range keys {
		o, known := s.objects[key]
		if !known {
			o = s.insert(key, all[key])
			s.objects[key] = o
			o.inserted = true
		}
		o.said = maps.Clone(o.said)
		state.Objects[key] = &o
	}
	bind(parts, state.Objects)
	state.Told = months{}
	for key, m := range s.told {
		state.Told[key] = &m
	}
	passOver(parts, state.Told)
	for key, r := range s.rows {
		r.Hours, r.HoursAt, r.kept = maps.Clone(r.Hours), maps.Clone(r.HoursAt), true
		if s.compared(parts, key) {
			state.Rows[key] = &r
		}
	}
	asked := map[int64]bool{}
	for _, what := range digests(parts, state) {
		asked[what] = true
	}
	for _, p := range parts {
		for _, st := range p.Stats {
			if hash := string(eventHash(p.Source, st.ID)); st.ID != "" && !s.events[hash] {
				s.events[hash], state.Events[hash] = true, true
			}
		}
	}
	for _, saw := range s.seen {
		if asked[saw.what] {
			state.Newer[saw.what] = latest(state.Newer[saw.what], saw.at)
		}
	}
	return state
}

// compared reports whether a row is of a date that is not passed over.
func (s *store) compared(parts []*Part, key RowKey) bool {
	return slices.ContainsFunc(parts, func(p *Part) bool {
		return slices.ContainsFunc(p.dates, func(d date) bool {
			return !d.same && p.objects[d.object].ID == key.Object && d.day == key.Day
		})
	})
}

func (s *store) insert(key ObjectKey, m mention) Object {
	told := m.part.Objects[m.index]
	o := Object{ID: int64(len(s.objects) + 1), Name: key.Key, Attrs: []byte("{}"), announced: true}
	if parent, ok := m.part.parentKey(m.index); ok {
		o.ParentID = s.objects[parent].ID
	}
	if told.Described {
		m.describe(&o)
	}
	return o
}

// stats writes the rows, one a line; those without metrics only where empty asks
// for them.
func (s *store) stats(empty bool) string {
	var lines []string
	for key, r := range s.rows {
		if len(r.Metrics) == 0 && !empty {
			continue
		}
		line := s.name(key.Object) + " " + strings.TrimPrefix(key.Day.String(), "2026-") + " " + key.Dims + " " + string(r.Metrics.AppendJSON(nil))
		for _, h := range slices.Sorted(maps.Keys(r.Hours)) {
			line += fmt.Sprintf(" %d:%s", h, r.Hours[h].AppendJSON(nil))
		}
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// described writes the objects, one a line.
func (s *store) described() string {
	var lines []string
	for key, o := range s.objects {
		line := fmt.Sprintf("%s %s in %s %s", key.Key, o.Name, s.name(o.ParentID), o.Attrs)
		for _, feed := range slices.Sorted(maps.Keys(o.said)) {
			said := o.said[feed]
			attrs, _ := json.Marshal(said.Attrs)
			line += fmt.Sprintf("; %s: %s in %s %s", feed, said.Name, s.name(said.Parent), attrs)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s *store) name(id int64) string {
	for key, o := range s.objects {
		if o.ID == id {
			return key.Key
		}
	}
	return "nothing"
}

// lines trims a raw string's indent.
func lines(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}
