package metric

import (
	"fmt"
	"strings"
	"time"
)

// A Day is a calendar day, counted from 1970-01-01.
type Day int32

// DayOf returns the day that t shows on the clock of its location.
func DayOf(t time.Time) Day {
	_, offset := t.Zone()
	local := t.Unix() + int64(offset)
	return Day((local - (local%86400+86400)%86400) / 86400)
}

// ParseDay reads a day written 2006-01-02.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a day (YYYY-MM-DD)", s)
	}
	return DayOf(t), nil
}

// Time returns the day's midnight in UTC.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String writes the day as 2006-01-02.
func (d Day) String() string { return d.Time().Format(time.DateOnly) }

// Half names the half-year of the day: 2026H2.
func (d Day) Half() string {
	t := d.Time()
	return fmt.Sprintf("%04dH%d", t.Year(), (t.Month()+5)/6)
}

// HalfDays returns the first and the last day of a half-year.
func HalfDays(half string) (first, last Day, err error) {
	year, n, _ := strings.Cut(half, "H")
	from, err := time.Parse("2006", year)
	if err != nil || (n != "1" && n != "2") {
		return 0, 0, fmt.Errorf("%q is not a half-year (2026H1)", half)
	}
	if n == "2" {
		from = from.AddDate(0, 6, 0)
	}
	return DayOf(from), DayOf(from.AddDate(0, 6, -1)), nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Day) MarshalText() ([]byte, error) { return d.Time().AppendFormat(nil, time.DateOnly), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Day) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDay(string(text))
	return err
}
