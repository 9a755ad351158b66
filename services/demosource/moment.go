package demosource

import (
	"slices"
	"time"
)

const (
	million      = 1_000_000
	restatedDays = 30 // how long a day is restated after its end
)

// moment is all of the present that an answer depends on.
type moment struct {
	asOf      time.Time // the hour it is
	hour      int64     // the same, counted from 1970
	zone      *time.Location
	changed   int64   // share restated each hour, in millionths
	revisions []int64 // shares of the revisions, in millionths
}

func newMoment(now time.Time, cfg Config, revisions []int64) moment {
	asOf := now.UTC().Truncate(time.Hour)
	return moment{
		asOf:      asOf,
		hour:      asOf.Unix() / 3600,
		zone:      cfg.Location,
		changed:   millionths(cfg.Changed),
		revisions: slices.Clip(revisions),
	}
}

func millionths(share float64) int64 { return int64(share*million + 0.5) }

// day is one calendar day, seen from a moment.
type day struct {
	text     string // 2026-11-14
	number   uint64 // days since 1970, for hashing
	start    time.Time
	endHour  int64 // when it is over
	progress int64 // how much of the day's totals has come in, in thousandths
}

// days lists the days from..to that have begun.
func (m moment) days(from, to time.Time) []day {
	var list []day
	for d := from; !d.After(to); d = d.AddDate(0, 0, 1) {
		one := m.day(d)
		if one.start.After(m.asOf) {
			break
		}
		list = append(list, one)
	}
	return list
}

// day looks at the date of d; its clock and zone do not matter.
func (m moment) day(d time.Time) day {
	year, month, date := d.Date()
	start := time.Date(year, month, date, 0, 0, 0, 0, m.zone)
	end := time.Date(year, month, date+1, 0, 0, 0, 0, m.zone)
	return day{
		text:     start.Format(time.DateOnly),
		number:   uint64(time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() / 86400),
		start:    start,
		endHour:  end.Unix() / 3600,
		progress: progress(m.asOf, start, end),
	}
}

// today is the date it is in the platform's zone.
func (m moment) today() time.Time { return dateOf(m.asOf.In(m.zone)) }

// dateOf is t's date, as midnight UTC: a form that days can be added to.
func dateOf(t time.Time) time.Time {
	year, month, date := t.Date()
	return time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
}

// arrived is how much of a day, in thousandths, has come in after each hour:
// little by night, most in the evening.
var arrived = [25]int64{
	0, 18, 30, 38, 44, 50, 60, 80, 112, 150, 190, 232, 278,
	326, 374, 422, 472, 526, 588, 656, 728, 800, 870, 940, 1000,
}

// progress counts the hour that has just begun as if it were over. Days of 23
// and 25 hours are stretched.
func progress(asOf, start, end time.Time) int64 {
	elapsed := int64(asOf.Sub(start)/time.Hour) + 1
	length := int64(end.Sub(start) / time.Hour)
	return arrived[max(0, min(24, elapsed*24/length))]
}

// version counts how often an ad's day has been restated: hour by hour the
// same share of all (ad, day) pairs, each at moments of its own.
func (m moment) version(pair uint64, endHour int64) int64 {
	return m.versionAt(m.hour, pair, endHour)
}

func (m moment) versionAt(hour int64, pair uint64, endHour int64) int64 {
	if hour <= endHour {
		return 0
	}
	phase := int64(pair >> 20 % million)
	last := min(hour, endHour+restatedDays*24)
	return (last*m.changed+phase)/million - (endHour*m.changed+phase)/million
}

// revised counts how many of the revisions from the first'th on changed the pair.
func (m moment) revised(pair uint64, first int) int64 {
	var n int64
	for i := first; i < len(m.revisions); i++ {
		if below(mix(pair^mix(uint64(i)+77)), million) < m.revisions[i] {
			n++
		}
	}
	return n
}
