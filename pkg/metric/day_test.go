package metric_test

import (
	"encoding/json"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/leatflow/leat/pkg/metric"
)

func TestDayOfIsWhatTheClockThereShows(t *testing.T) {
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	berlin, los, kiritimati := zone("Europe/Berlin"), zone("America/Los_Angeles"), zone("Pacific/Kiritimati")
	tests := []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), "2026-11-20"},
		{time.Date(2026, 11, 19, 23, 59, 59, 999999999, time.UTC), "2026-11-19"},
		{time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC).In(berlin), "2026-11-21"},
		{time.Date(2026, 11, 20, 7, 59, 59, 0, time.UTC).In(los), "2026-11-19"},
		{time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC).In(kiritimati), "2026-11-21"},
		{time.Date(2026, 3, 29, 0, 30, 0, 0, berlin), "2026-03-29"}, // the clocks go forward
		{time.Date(2026, 10, 25, 23, 30, 0, 0, berlin), "2026-10-25"},
		{time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), "1969-12-31"},
		{time.Date(1970, 1, 1, 0, 0, 0, 0, berlin), "1970-01-01"},
		{time.Date(1900, 2, 28, 12, 0, 0, 0, time.UTC), "1900-02-28"},
		{time.Date(2024, 2, 29, 23, 0, 0, 0, los), "2024-02-29"},
	}
	for _, tt := range tests {
		if got := metric.DayOf(tt.at).String(); got != tt.want {
			t.Errorf("DayOf(%s) = %s, want %s", tt.at, got, tt.want)
		}
	}
}

func TestEveryDayIsWrittenReadAndInItsHalf(t *testing.T) {
	from, to := metric.DayOf(time.Date(1959, 1, 1, 0, 0, 0, 0, time.UTC)), metric.DayOf(time.Date(2060, 12, 31, 0, 0, 0, 0, time.UTC))
	for d := from; d <= to; d++ {
		again, err := metric.ParseDay(d.String())
		if err != nil || again != d || metric.DayOf(d.Time()) != d {
			t.Fatalf("day %d is written %s, read %d, %v", d, d, again, err)
		}
		first, last, err := metric.HalfDays(d.Half())
		if err != nil || d < first || d > last || first.Half() != d.Half() || last.Half() != d.Half() || (last+1).Half() == d.Half() {
			t.Fatalf("%s in %s, which is %s to %s, %v", d, d.Half(), first, last, err)
		}
	}
}

func TestHalves(t *testing.T) {
	for day, want := range map[string]string{"2026-01-01": "2026H1", "2026-06-30": "2026H1", "2026-07-01": "2026H2", "2026-12-31": "2026H2"} {
		d, err := metric.ParseDay(day)
		if err != nil || d.Half() != want {
			t.Errorf("%s is in %s, %v, want %s", day, d.Half(), err, want)
		}
	}
	first, last, err := metric.HalfDays("2024H1")
	if err != nil || first.String() != "2024-01-01" || last.String() != "2024-06-30" {
		t.Errorf("2024H1 is %s to %s, %v", first, last, err)
	}
	for _, half := range []string{"", "all", "2026", "2026H", "2026H0", "2026H3", "2026h1", "2026H12", "2026H1 ", " 2026H1", "26H1", "+026H1", "20266H1"} {
		if first, _, err := metric.HalfDays(half); err == nil {
			t.Errorf("%q passes for a half-year that begins %s", half, first)
		}
	}
}

func TestDaysAreTextInJSON(t *testing.T) {
	var days []metric.Day
	if err := json.Unmarshal([]byte(`["2026-11-20","1969-12-31"]`), &days); err != nil || days[1] != -1 {
		t.Fatal(days, err)
	}
	if text, err := json.Marshal(days); err != nil || string(text) != `["2026-11-20","1969-12-31"]` {
		t.Errorf("%s, %v", text, err)
	}
	for _, text := range []string{`""`, `"2026-11-31"`, `"2026-1-1"`, `"20.11.2026"`, `"2026-11-20T00:00:00Z"`, `1`} {
		if err := json.Unmarshal([]byte(text), new(metric.Day)); err == nil {
			t.Errorf("%s passes for a day", text)
		}
	}
}
