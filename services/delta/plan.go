package delta

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A Plan is what a batch writes, and what each of its parts came to, in their order.
type Plan struct {
	Objects  []*Object
	New      []*Row // of objects that were inserted: no other worker can have them
	Rows     []*Row
	Removed  []RowKey
	Told     months
	Counted  []int64 // objects of which events were added up
	Outcomes []Outcome
}

// collect puts what is to be written into the plan, in the order of its keys.
func (d *decider) collect(plan *Plan) {
	for _, o := range d.Objects {
		if o.touched || o.retold || o.reported && !o.announced {
			plan.Objects = append(plan.Objects, o)
		}
		for _, rows := range o.days {
			for _, r := range rows {
				switch {
				case r.removed:
					plan.Removed = append(plan.Removed, r.RowKey)
				case r.touched && o.inserted:
					plan.New = append(plan.New, r)
				case r.touched:
					plan.Rows = append(plan.Rows, r)
				}
			}
		}
	}
	plan.Counted = slices.Sorted(maps.Keys(d.counted))
	slices.SortFunc(plan.Objects, func(a, b *Object) int { return cmp.Compare(a.ID, b.ID) })
	byKey := func(a, b *Row) int { return compareRows(a.RowKey, b.RowKey) }
	slices.SortFunc(plan.New, byKey)
	slices.SortFunc(plan.Rows, byKey)
	slices.SortFunc(plan.Removed, compareRows)
}

func compareGroups(a, b group) int {
	return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.day, b.day), strings.Compare(a.rule, b.rule))
}

func compareRows(a, b RowKey) int {
	return cmp.Or(compareGroups(a.group(), b.group()), strings.Compare(a.Dims, b.Dims))
}
