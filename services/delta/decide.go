package delta

import (
	"bytes"
	"iter"
	"maps"
	"math"
	"slices"
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
	Described  bool   // false: only named so far, as the parent of another
	told       told   // what describes it; 0: not known, or there are feeds
	said       chorus // by the source's feeds; nil: it has none

	days      map[metric.Day][]*Row // its rows, as they are read and decided
	inserted  bool                  // by this batch: nothing of it was there before
	announced bool                  // a change has said that it is there
	sighted   bool                  // a stat of it was seen by this batch, and not written
	reported  bool                  // by this batch: that it is there
	touched   bool                  // to be written, since a field changed
	retold    bool                  // to be written, since only told changed
}

// A State is what PostgreSQL holds of the things that a batch names.
type State struct {
	Objects map[ObjectKey]*Object
	Rows    map[RowKey]*Row
	Newer   map[int64]time.Time // by digest: when a thing was last seen, by parts that did not have to write it
	Events  map[string]bool     // hashes of the events that were never counted
	Told    months              // digests of the days that the parts hold stats of
}

// An Outcome is what one part came to.
type Outcome struct {
	Changes []event.Change
	Counts  map[string]int
	Seen    []int64

	SeenFrom, SeenTo int64 // the lowest and the highest id of the objects seen
}

// Decide is the stage's whole judgement. Parts are taken oldest first, and each
// sees what those before it changed, so that the end does not depend on how they
// are batched. What is older than what has been seen is left alone.
func Decide(parts []*Part, state State) (Plan, error) {
	d := decider{State: state, counted: map[int64]bool{}}
	if d.Newer == nil {
		d.Newer = map[int64]time.Time{}
	}
	if d.Told == nil {
		d.Told = months{}
	}
	d.link()
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return parts[a].ObservedAt.Compare(parts[b].ObservedAt) })

	plan := Plan{Outcomes: make([]Outcome, len(parts)), Told: d.Told}
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
	counted map[int64]bool // objects
	made    []Row          // memory for rows, a part's at a time

	// of the part in hand
	now     *Part
	outcome Outcome
	changes map[int64]*event.Change
	days    map[int64]map[metric.Day]bool

	// of the date in hand
	differs bool // a row says something else than the part
	wrote   bool // a row was changed
}

// link hangs the rows that were read on their objects.
func (d *decider) link() {
	byID := make(map[int64]*Object, len(d.Objects))
	for _, o := range d.Objects {
		byID[o.ID] = o
	}
	for _, r := range d.Rows {
		if o := byID[r.Object]; o != nil {
			o.add(r)
		}
	}
}

func (o *Object) add(r *Row) {
	if o.days == nil {
		o.days = map[metric.Day][]*Row{}
	}
	o.days[r.Day] = append(o.days[r.Day], r)
}

// row returns a row that is there.
func (o *Object) row(key RowKey) *Row {
	for _, r := range o.days[key.Day] {
		if r.RowKey == key && !r.removed {
			return r
		}
	}
	return nil
}

// group returns the rows of one rule's day.
func (o *Object) group(g group) iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		for _, r := range o.days[g.day] {
			if r.Rule == g.rule && !yield(r) {
				return
			}
		}
	}
}

func (d *decider) part(p *Part) (Outcome, error) {
	d.now = p
	d.outcome = Outcome{Counts: map[string]int{}, SeenFrom: math.MaxInt64}
	d.changes = map[int64]*event.Change{}
	d.days = map[int64]map[metric.Day]bool{}
	d.made = nil
	for i := range p.Objects {
		d.object(i)
	}
	for i := range p.dates {
		if err := d.date(&p.dates[i]); err != nil {
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

// date decides about what the part in hand says of one day of an object.
func (d *decider) date(at *date) error {
	if at.same {
		d.passOver(at)
		return nil
	}
	d.differs, d.wrote = false, false
	for _, i := range at.stats {
		if err := d.stat(i); err != nil {
			return err
		}
	}
	if d.now.absentZero {
		if err := d.zeroAbsent(at); err != nil {
			return err
		}
	}
	object := d.now.objects[at.object].ID
	switch {
	case d.now.kind == source.KindCount:
		if d.wrote {
			d.counted[object] = true
		}
	case !d.differs:
		d.Told.set(object, at.day, at.told)
	case d.wrote:
		d.Told.set(object, at.day, 0)
	}
	return nil
}

// passOver keeps that a day was seen of which the rows say the same.
func (d *decider) passOver(at *date) {
	for n, i := range at.stats {
		key := d.now.rowKey(i)
		d.count("stats.unchanged")
		d.saw(key.Object, key.seen(hourOf(&d.now.Stats[i])))
		if d.now.absentZero && (n == 0 || key.Rule != d.now.Stats[at.stats[n-1]].Rule) {
			d.saw(key.Object, key.group().seen())
		}
	}
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

// stat decides about one stat of the part in hand.
func (d *decider) stat(i int) error {
	st := &d.now.Stats[i]
	key := d.now.rowKey(i)
	o := d.now.objects[st.Object]
	row := o.row(key)
	if row == nil {
		row = d.newRow(key)
	}
	if d.now.kind == source.KindCount {
		return d.event(o, row, st)
	}
	others, outdated := d.otherNames(o, key)
	hour := hourOf(st)
	old := row.Metrics
	if hour != allDay {
		old = row.hour(hour)
	}
	value, err := complete(st.Metrics, old, d.now.names[i])
	if err != nil {
		return err
	}
	at, equal := row.at(hour), value.Equal(old)
	if !o.inserted || o.sighted {
		at = latest(at, d.Newer[key.seen(hour)])
	}
	switch {
	case outdated, d.leftOut(key), d.now.ObservedAt.Before(at), d.now.ObservedAt.Equal(at) && !wins(value, old):
		d.differs = d.differs || outdated || !equal
		d.count("stats.unchanged")
		return nil
	case equal && len(others) == 0:
		d.count("stats.unchanged")
		d.saw(key.Object, key.seen(hour))
		o.sighted = true
		return nil
	}
	for _, other := range others {
		d.remove(o, other)
	}
	d.changed(o, row, row.at(hour).IsZero())
	return d.set(row, hour, value, d.now.ObservedAt)
}

// newRow returns a row that is not there yet.
func (d *decider) newRow(key RowKey) *Row {
	if len(d.made) == cap(d.made) {
		d.made = make([]Row, 0, max(len(d.now.Stats)/4, 1))
	}
	d.made = append(d.made, Row{RowKey: key})
	return &d.made[len(d.made)-1]
}

// set writes a value into a row, by the kind of its source.
func (d *decider) set(row *Row, hour int, value metric.Set, at time.Time) error {
	if hour == allDay {
		return row.setDay(value, d.now.creditHour(row.Day), at)
	}
	return row.setHour(hour, value, at)
}

// event adds one event, if it was never counted.
func (d *decider) event(o *Object, row *Row, st *event.Stat) error {
	hash := string(eventHash(d.now.Source, st.ID))
	if !d.Events[hash] {
		d.count("stats.unchanged")
		return nil
	}
	delete(d.Events, hash)
	d.changed(o, row, true)
	return row.add(hourOf(st), st.Metrics, d.now.ObservedAt)
}

// changed counts a row that is about to change, and keeps it.
func (d *decider) changed(o *Object, row *Row, isNew bool) {
	d.wrote = true
	d.count(map[bool]string{true: "stats.new", false: "stats.changed"}[isNew])
	if !row.kept {
		row.kept = true
		o.add(row)
	}
	d.change(row.Object)
	if d.days[row.Object] == nil {
		d.days[row.Object] = map[metric.Day]bool{}
	}
	d.days[row.Object][row.Day] = true
}

// otherNames returns the rows of a row's group that have other dimension names,
// which a newer stat removes; outdated says that one of them is the newer.
func (d *decider) otherNames(o *Object, key RowKey) (others []*Row, outdated bool) {
	for r := range o.group(key.group()) {
		if r.removed || r.Dims == key.Dims || dimNames(r.Dims) == dimNames(key.Dims) {
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

func (d *decider) remove(o *Object, r *Row) {
	d.changed(o, r, false)
	r.removed = true
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

// sortedDays returns the days of a set in order.
func sortedDays(set map[metric.Day]bool) []metric.Day { return slices.Sorted(maps.Keys(set)) }
