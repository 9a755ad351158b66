package floor

import (
	"cmp"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/metric"
)

// A day is what an object and all below it come to on a day.
type day struct {
	day     metric.Day
	by      []entry // by operating system, sorted
	changed bool
}

type entry struct {
	os   string
	sums []int64
}

// addUp adds the rows of an element's objects to their days and to those of all
// above them.
func (p *parser) addUp(objects []*object) {
	for _, o := range objects {
		for i := range o.rows {
			for above := o; above != nil; above = above.parent {
				p.add(above, &o.rows[i])
			}
		}
	}
}

func (p *parser) add(o *object, r *row) {
	d := o.day(r.day)
	d.changed = d.changed || r.changed
	e := d.entry(r.os)
	if len(e.sums) < len(r.values) {
		grown := p.keep(r.values)
		clear(grown[copy(grown, e.sums):])
		e.sums = grown
	}
	for i, v := range r.values {
		e.sums[i] += v
	}
}

// day returns the object's day. Rows come day by day, so it is the last mostly.
func (o *object) day(of metric.Day) *day {
	if n := len(o.days); n > 0 && o.days[n-1].day == of {
		return &o.days[n-1]
	}
	i, found := slices.BinarySearchFunc(o.days, of, func(d day, of metric.Day) int { return cmp.Compare(d.day, of) })
	if !found {
		o.days = slices.Insert(o.days, i, day{day: of})
	}
	return &o.days[i]
}

func (d *day) entry(os string) *entry {
	i, found := slices.BinarySearchFunc(d.by, os, func(e entry, os string) int { return strings.Compare(e.os, os) })
	if !found {
		d.by = slices.Insert(d.by, i, entry{os: os})
	}
	return &d.by[i]
}
