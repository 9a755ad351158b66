package delta

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// A Forecast is what parts would change.
type Forecast struct {
	Counts  map[string]int // as a job counts
	Objects []ObjectForecast
	Rows    []RowForecast
	Changes []event.Change // that annotate would be told
}

// An ObjectForecast is an object that would be written.
type ObjectForecast struct {
	ObjectKey
	Before *Object // nil: nobody has described it
	After  *Object
}

// A RowForecast is a row of stats that would be written.
type RowForecast struct {
	RowKey
	Of     ObjectKey
	Before *Row  // nil: there is none
	After  *Row  // nil: it would be removed
	Hours  []int // those that would differ
}

// Foresee says what parts would change, by what Handle does with them. It leaves
// the objects in the transaction as they would be, and no stats: the caller looks
// at what follows, and undoes it all.
func Foresee(ctx context.Context, tx pgx.Tx, src *source.Source, events []event.Part) (Forecast, error) {
	parts := make([]*Part, len(events))
	for i, e := range events {
		var err error
		if parts[i], err = newPart(e, src); err != nil {
			return Forecast{}, pipeline.Permanent(err)
		}
	}
	state, err := read(ctx, tx, parts)
	if err != nil {
		return Forecast{}, err
	}
	before := pictureOf(state)
	plan, err := Decide(parts, state)
	if err != nil {
		return Forecast{}, pipeline.Permanent(err)
	}
	if err := updateObjects(ctx, tx, plan.Objects); err != nil {
		return Forecast{}, err
	}
	return before.until(state, plan), nil
}

// A picture is what PostgreSQL held before Decide had its way with it.
type picture struct {
	objects map[int64]Object
	rows    map[RowKey]Row
	names   map[int64]ObjectKey
}

func pictureOf(s State) picture {
	p := picture{map[int64]Object{}, map[RowKey]Row{}, map[int64]ObjectKey{}}
	for key, o := range s.Objects {
		p.names[o.ID] = key
		if !o.inserted && o.Described {
			p.objects[o.ID] = *o
		}
	}
	for key, r := range s.Rows {
		row := *r
		row.Hours = maps.Clone(r.Hours)
		p.rows[key] = row
	}
	return p
}

// until compares the picture with what is there now.
func (p picture) until(s State, plan Plan) Forecast {
	f := Forecast{Counts: map[string]int{}}
	for _, o := range plan.Outcomes {
		f.Changes = append(f.Changes, o.Changes...)
		for what, n := range o.Counts {
			f.Counts[what] += n
		}
	}
	for key, o := range s.Objects {
		if o.touched || o.reported {
			f.Objects = append(f.Objects, ObjectForecast{key, p.object(o.ID), o})
		}
	}
	for _, rows := range [][]*Row{plan.New, plan.Rows} {
		for _, r := range rows {
			f.Rows = append(f.Rows, p.row(r.RowKey, r))
		}
	}
	for _, key := range plan.Removed {
		f.Rows = append(f.Rows, p.row(key, nil))
	}
	slices.SortFunc(f.Objects, func(a, b ObjectForecast) int { return cmp.Compare(a.After.ID, b.After.ID) })
	slices.SortFunc(f.Rows, func(a, b RowForecast) int { return compareRows(a.RowKey, b.RowKey) })
	return f
}

func (p picture) object(id int64) *Object {
	if o, ok := p.objects[id]; ok {
		return &o
	}
	return nil
}

func (p picture) row(key RowKey, after *Row) RowForecast {
	f := RowForecast{RowKey: key, Of: p.names[key.Object], After: after}
	if before, ok := p.rows[key]; ok {
		f.Before = &before
	}
	for hour := range hours {
		if !f.Before.inHour(hour).Equal(f.After.inHour(hour)) {
			f.Hours = append(f.Hours, hour)
		}
	}
	return f
}

const hours = 25 // of a day: one may come twice

// inHour returns the metrics of one hour, also of no row.
func (r *Row) inHour(h int) metric.Set {
	if r == nil {
		return nil
	}
	return r.hour(h)
}
