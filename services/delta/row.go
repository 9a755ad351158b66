package delta

import (
	"time"

	"github.com/leatflow/leat/pkg/metric"
)

// A Row is a row of stats: the metrics of one object, day, rule and combination
// of dimensions.
type Row struct {
	RowKey
	Metrics    metric.Set
	Hours      map[int]metric.Set // nil: all of the day is in the last hour; else they add up to Metrics
	HoursAt    map[int]time.Time  // kind hour: when each hour was observed
	ObservedAt time.Time          // zero: there is no such row yet

	kept    bool // it is among its object's rows
	touched bool // to be written
	removed bool // to be deleted
}

// hour returns the metrics of one hour.
func (r *Row) hour(h int) metric.Set {
	if r.Hours == nil && h == lastHour {
		return r.Metrics
	}
	return r.Hours[h]
}

// at returns when an hour, or the day, was last written.
func (r *Row) at(hour int) time.Time {
	if hour == allDay {
		return r.ObservedAt
	}
	return r.HoursAt[hour]
}

// setDay makes v the day's total and credits the difference to an hour.
func (r *Row) setDay(v metric.Set, credit int, at time.Time) error {
	if r.Hours == nil && credit == lastHour { // all of the day stays in the last hour
		r.Metrics = v
		r.touch(at)
		return nil
	}
	difference, err := v.Minus(r.Metrics)
	if err != nil {
		return err
	}
	value, err := r.hour(credit).Plus(difference)
	if err != nil {
		return err
	}
	r.setHours(credit, value)
	r.Metrics = v
	r.touch(at)
	return nil
}

// setHour makes v the value of an hour; the day is the sum.
func (r *Row) setHour(h int, v metric.Set, at time.Time) error {
	rest, err := r.Metrics.Minus(r.hour(h))
	if err != nil {
		return err
	}
	day, err := rest.Plus(v)
	if err != nil {
		return err
	}
	r.setHours(h, v)
	r.Metrics = day
	if r.HoursAt == nil {
		r.HoursAt = map[int]time.Time{}
	}
	r.HoursAt[h] = at
	r.touch(at)
	return nil
}

// add adds v to an hour and to the day.
func (r *Row) add(h int, v metric.Set, at time.Time) error {
	hour, err := r.hour(h).Plus(v)
	if err != nil {
		return err
	}
	day, err := r.Metrics.Plus(v)
	if err != nil {
		return err
	}
	r.setHours(h, hour)
	r.Metrics = day
	r.touch(at)
	return nil
}

// setHours sets one hour; where only the last is left, none are kept. It is
// called before Metrics change, which hold the last hour when there are no others.
func (r *Row) setHours(h int, v metric.Set) {
	if r.Hours == nil {
		if h == lastHour {
			return
		}
		r.Hours = map[int]metric.Set{}
		if len(r.Metrics) > 0 {
			r.Hours[lastHour] = r.Metrics
		}
	}
	r.Hours[h] = v
	if len(v) == 0 {
		delete(r.Hours, h)
	}
	if _, last := r.Hours[lastHour]; len(r.Hours) == 0 || (last && len(r.Hours) == 1) {
		r.Hours = nil
	}
}

func (r *Row) touch(at time.Time) {
	r.touched, r.removed = true, false
	if at.After(r.ObservedAt) {
		r.ObservedAt = at
	}
}
