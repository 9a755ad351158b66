package delta

import (
	"maps"
	"slices"
	"time"

	"github.com/leatflow/leat/pkg/source"
)

// leftOut reports whether a newer answer has held stats of a row's group: it has
// named the row, or the row is zero.
func (d *decider) leftOut(key RowKey) bool {
	return d.now.absentZero && d.Newer[key.group().seen()].After(d.now.AnswerAt().Add(answerSpan))
}

// answerSpan is longer than any two parts of one answer lie apart.
const answerSpan = time.Second

// zeroAbsent makes zero what the answer does not name of an object's day whose
// stats it holds, unless a part of this answer or a newer one has named it.
func (d *decider) zeroAbsent(at *date) error {
	type cell struct {
		rule, dims string
		hour       int
	}
	o := d.now.objects[at.object]
	named := map[cell]bool{}
	lists := map[string][]string{} // by rule
	for _, i := range at.stats {
		st := &d.now.Stats[i]
		named[cell{st.Rule, st.Dims, hourOf(st)}] = true
		lists[st.Rule] = d.now.names[i]
	}
	before := d.now.AnswerAt().Add(-time.Microsecond) // so that another part of this answer wins
	for _, rule := range slices.Sorted(maps.Keys(lists)) {
		g := group{o.ID, at.day, rule}
		d.saw(g.object, g.seen())
		for row := range o.group(g) {
			isNamed := func(hour int) bool { return named[cell{rule, row.Dims, hour}] }
			if err := d.zeroRow(o, row, isNamed, lists[rule], before); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *decider) zeroRow(o *Object, row *Row, named func(hour int) bool, list []string, at time.Time) error {
	hours := []int{allDay}
	if d.now.kind == source.KindHour {
		hours = slices.Sorted(maps.Keys(row.HoursAt))
	}
	for _, h := range hours {
		if row.removed || named(h) {
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
		if latest(row.at(h), d.Newer[row.seen(h)]).After(at) {
			d.differs = true
			continue
		}
		d.changed(o, row, false)
		if err := d.set(row, h, value, at); err != nil {
			return err
		}
	}
	return nil
}
