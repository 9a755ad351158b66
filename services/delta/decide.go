package delta

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// An Object is a row of objects.
type Object struct {
	ID         int64
	ParentID   int64 // 0: none
	Name       string
	Attrs      []byte // canonical JSON
	ObservedAt time.Time
	Described  bool // false: only named so far, as the parent of another

	inserted bool // by this batch, and not reported yet
	touched  bool // to be written
}

// A State is what PostgreSQL holds of the things that a batch names.
type State struct {
	Objects map[ObjectKey]*Object
	Rows    map[RowKey]*Row
	Newer   map[int64]time.Time // by digest: when a thing was last seen, by parts that did not have to write it
	Events  map[string]bool     // hashes of the events that were never counted
}

// An Outcome is what one part came to.
type Outcome struct {
	Changes []event.Change
	Counts  map[string]int
	Seen    []int64

	SeenFrom, SeenTo int64 // the lowest and the highest id of the objects seen
}

// A Plan is what a batch writes, and what each of its parts came to, in their order.
type Plan struct {
	Objects  []*Object
	Rows     []*Row
	Removed  []RowKey
	Outcomes []Outcome
}

// Decide is the stage's whole judgement. Parts are taken oldest first, and each
// sees what those before it changed, so that the end does not depend on how they
// are batched. What is older than what has been seen is left alone.
func Decide(parts []*Part, state State) (Plan, error) {
	d := decider{State: state, groups: map[group][]*Row{}}
	if d.Newer == nil {
		d.Newer = map[int64]time.Time{}
	}
	for _, r := range state.Rows {
		d.groups[r.group()] = append(d.groups[r.group()], r)
	}
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return parts[a].ObservedAt.Compare(parts[b].ObservedAt) })

	plan := Plan{Outcomes: make([]Outcome, len(parts))}
	for _, i := range order {
		outcome, err := d.part(parts[i])
		if err != nil {
			return Plan{}, err
		}
		plan.Outcomes[i] = outcome
	}
	d.collect(&plan)
	return plan, nil
}

// A group is the stats of one object, day and rule; they have the same dimension names.
type group struct {
	object int64
	day    metric.Day
	rule   string
}

func (k RowKey) group() group { return group{k.Object, k.Day, k.Rule} }

type decider struct {
	State
	groups map[group][]*Row

	// of the part in hand
	now     *Part
	outcome Outcome
	changes map[int64]*event.Change
	days    map[int64]map[metric.Day]bool
}

func (d *decider) part(p *Part) (Outcome, error) {
	d.now = p
	d.outcome = Outcome{Counts: map[string]int{}, SeenFrom: math.MaxInt64}
	d.changes = map[int64]*event.Change{}
	d.days = map[int64]map[metric.Day]bool{}
	for i := range p.Objects {
		d.object(i)
	}
	for i := range p.Stats {
		if err := d.stat(i); err != nil {
			return Outcome{}, err
		}
	}
	if p.absentZero {
		if err := d.zeroAbsent(); err != nil {
			return Outcome{}, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.changes)) {
		c := d.changes[id]
		c.Days = sortedDays(d.days[id])
		d.outcome.Changes = append(d.outcome.Changes, *c)
	}
	return d.outcome, nil
}

// saw keeps that a thing of an object was seen by the part in hand, which did
// not write it.
func (d *decider) saw(object, what int64) {
	d.outcome.Seen = append(d.outcome.Seen, what)
	d.outcome.SeenFrom = min(d.outcome.SeenFrom, object)
	d.outcome.SeenTo = max(d.outcome.SeenTo, object)
	d.Newer[what] = latest(d.Newer[what], d.now.ObservedAt)
}

func (d *decider) count(what string) { d.outcome.Counts[what]++ }

func (d *decider) change(id int64) *event.Change {
	c := d.changes[id]
	if c == nil {
		c = &event.Change{ID: id}
		d.changes[id] = c
	}
	return c
}

// object decides about one object of the part in hand.
func (d *decider) object(i int) {
	told := d.now.Objects[i]
	o := d.Objects[d.now.key(i)]
	if o.inserted {
		o.inserted = false
		c := d.change(o.ID)
		c.Self, c.New = true, o.Described
		if o.Described {
			d.count("objects.new")
			return
		}
	}
	if !told.Described {
		return
	}
	var parent int64
	if key, ok := d.now.parentKey(i); ok {
		parent = d.Objects[key].ID
	}
	attrs := canonical(told.Attrs)
	same := o.Described && o.Name == told.Name && o.ParentID == parent && bytes.Equal(o.Attrs, attrs)
	switch at := latest(o.ObservedAt, d.Newer[seenObject(o.ID)]); {
	case d.now.ObservedAt.Before(at),
		d.now.ObservedAt.Equal(at) && told.Name+string(attrs) <= o.Name+string(o.Attrs):
		d.count("objects.unchanged")
	case same:
		d.count("objects.unchanged")
		d.saw(o.ID, seenObject(o.ID))
	default:
		d.describe(o, told.Name, attrs, parent)
	}
}

// describe changes an object.
func (d *decider) describe(o *Object, name string, attrs []byte, parent int64) {
	d.count(map[bool]string{true: "objects.changed", false: "objects.new"}[o.Described])
	c := d.change(o.ID)
	c.Self = true
	if o.ParentID != parent {
		c.Moved, c.From = true, o.ParentID
	}
	o.Name, o.Attrs, o.ParentID = name, attrs, parent
	o.ObservedAt, o.Described, o.touched = d.now.ObservedAt, true, true
}

// stat decides about one stat of the part in hand.
func (d *decider) stat(i int) error {
	st := d.now.Stats[i]
	key := RowKey{d.Objects[d.now.key(st.Object)].ID, st.Day, st.Rule, st.Dims}
	row := d.Rows[key]
	if row == nil || row.removed {
		row = &Row{RowKey: key}
	}
	if d.now.kind == source.KindCount {
		return d.event(row, st)
	}
	others, outdated := d.otherNames(key)
	hour := hourOf(st)
	old := row.Metrics
	if hour != allDay {
		old = row.hour(hour)
	}
	value, err := complete(st.Metrics, old, d.now.names[i])
	if err != nil {
		return err
	}
	switch at := latest(row.at(hour), d.Newer[key.seen(hour)]); {
	case outdated, d.leftOut(key), d.now.ObservedAt.Before(at), d.now.ObservedAt.Equal(at) && !wins(value, old):
		d.count("stats.unchanged")
		return nil
	case value.Equal(old) && len(others) == 0:
		d.count("stats.unchanged")
		d.saw(key.Object, key.seen(hour))
		return nil
	}
	for _, other := range others {
		d.remove(other)
	}
	d.changed(row, row.at(hour).IsZero())
	return d.set(row, hour, value, d.now.ObservedAt)
}

// set writes a value into a row, by the kind of its source.
func (d *decider) set(row *Row, hour int, value metric.Set, at time.Time) error {
	if hour == allDay {
		return row.setDay(value, d.now.creditHour(row.Day), at)
	}
	return row.setHour(hour, value, at)
}

// event adds one event, if it was never counted.
func (d *decider) event(row *Row, st event.Stat) error {
	hash := string(eventHash(d.now.Source, st.ID))
	if !d.Events[hash] {
		d.count("stats.unchanged")
		return nil
	}
	delete(d.Events, hash)
	d.changed(row, true)
	return row.add(hourOf(st), st.Metrics, d.now.ObservedAt)
}

// changed counts a row that is about to change, and keeps it.
func (d *decider) changed(row *Row, isNew bool) {
	d.count(map[bool]string{true: "stats.new", false: "stats.changed"}[isNew])
	if d.Rows[row.RowKey] != row {
		d.Rows[row.RowKey] = row
		d.groups[row.group()] = append(d.groups[row.group()], row)
	}
	d.change(row.Object)
	if d.days[row.Object] == nil {
		d.days[row.Object] = map[metric.Day]bool{}
	}
	d.days[row.Object][row.Day] = true
}

// otherNames returns the rows of a row's group that have other dimension names,
// which a newer stat removes; outdated says that one of them is the newer.
func (d *decider) otherNames(key RowKey) (others []*Row, outdated bool) {
	names := dimNames(key.Dims)
	for _, r := range d.groups[key.group()] {
		if r.removed || dimNames(r.Dims) == names {
			continue
		}
		if !d.lastSeen(r).Before(d.now.ObservedAt) {
			return nil, true
		}
		others = append(others, r)
	}
	return others, false
}

// lastSeen is when any part of a row was last written or seen.
func (d *decider) lastSeen(r *Row) time.Time {
	at := r.ObservedAt
	for _, what := range r.sights() {
		at = latest(at, d.Newer[what])
	}
	return at
}

// leftOut reports whether a newer answer has held stats of a row's group: it has
// named the row, or the row is zero.
func (d *decider) leftOut(key RowKey) bool {
	return d.now.absentZero && d.Newer[key.group().seen()].After(d.now.AnswerAt().Add(answerSpan))
}

// answerSpan is longer than any two parts of one answer lie apart.
const answerSpan = time.Second

func (d *decider) remove(r *Row) {
	d.changed(r, false)
	r.removed = true
}

// zeroAbsent makes zero what the answer does not name of the objects and days
// whose stats it holds, unless a part of this answer or a newer one has named it.
func (d *decider) zeroAbsent() error {
	named := map[RowKey]map[int]bool{}
	lists := map[group][]string{}
	for i, st := range d.now.Stats {
		key := RowKey{d.Objects[d.now.key(st.Object)].ID, st.Day, st.Rule, st.Dims}
		if named[key] == nil {
			named[key] = map[int]bool{}
		}
		named[key][hourOf(st)] = true
		lists[key.group()] = d.now.names[i]
	}
	before := d.now.AnswerAt().Add(-time.Microsecond) // so that another part of this answer wins
	for _, g := range slices.SortedFunc(maps.Keys(lists), compareGroups) {
		d.saw(g.object, g.seen())
		for _, row := range d.groups[g] {
			if err := d.zeroRow(row, named[row.RowKey], lists[g], before); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *decider) zeroRow(row *Row, named map[int]bool, list []string, at time.Time) error {
	hours := []int{allDay}
	if d.now.kind == source.KindHour {
		hours = slices.Sorted(maps.Keys(row.HoursAt))
	}
	for _, h := range hours {
		if row.removed || named[h] || latest(row.at(h), d.Newer[row.seen(h)]).After(at) {
			continue
		}
		old := row.Metrics
		if h != allDay {
			old = row.hour(h)
		}
		value, err := complete(nil, old, list)
		if err != nil || value.Equal(old) {
			continue // an error here would have been the old value's own
		}
		d.changed(row, false)
		if err := d.set(row, h, value, at); err != nil {
			return err
		}
	}
	return nil
}

// complete returns what a stat says the metrics are: all of them, or those of a
// list and the old values of the others.
func complete(told, old metric.Set, list []string) (metric.Set, error) {
	if list == nil {
		return told, nil
	}
	return old.Without(list).Plus(told)
}

// wins decides between two values with one time, the same way in any order.
func wins(value, old metric.Set) bool {
	return bytes.Compare(value.AppendJSON(nil), old.AppendJSON(nil)) > 0
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// collect puts what is to be written into the plan, in the order of its keys.
func (d *decider) collect(plan *Plan) {
	for _, o := range d.Objects {
		if o.touched {
			plan.Objects = append(plan.Objects, o)
		}
	}
	slices.SortFunc(plan.Objects, func(a, b *Object) int { return cmp.Compare(a.ID, b.ID) })
	for _, r := range d.Rows {
		switch {
		case r.removed:
			plan.Removed = append(plan.Removed, r.RowKey)
		case r.touched:
			plan.Rows = append(plan.Rows, r)
		}
	}
	slices.SortFunc(plan.Rows, func(a, b *Row) int { return compareRows(a.RowKey, b.RowKey) })
	slices.SortFunc(plan.Removed, compareRows)
}

func compareGroups(a, b group) int {
	return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.day, b.day), strings.Compare(a.rule, b.rule))
}

func compareRows(a, b RowKey) int {
	return cmp.Or(compareGroups(a.group(), b.group()), strings.Compare(a.Dims, b.Dims))
}
