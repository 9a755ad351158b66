package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a job of the source is due without anybody's asking: by
// every or by cron, which is one of both.
type Schedule struct {
	Every Interval `yaml:"every"` // 1h: on every full hour of UTC; 12h: at midnight and noon
	Cron  string   `yaml:"cron"`  // minute, hour, day of the month, month, day of the week, on the source's clock: "0 6 * * 1-5"
	Mode  string   `yaml:"mode"`  // refresh (the default), backfill or full

	times cron.Schedule // of Cron
}

// Interval is a time between two, which may be long: 30s, 12h.
type Interval time.Duration

// String is what tells the schedules of a source apart: "refresh every 1h".
func (s Schedule) String() string {
	if s.Cron != "" {
		return s.Mode + " cron " + s.Cron
	}
	return s.Mode + " every " + brief(time.Duration(s.Every))
}

// Next returns when the schedule is due after a moment; the zero time: never.
func (s Schedule) Next(after time.Time, zone *time.Location) time.Time {
	if s.Cron == "" {
		return after.Truncate(time.Duration(s.Every)).Add(time.Duration(s.Every))
	}
	return s.times.Next(after.In(zone))
}

// Last returns when the schedule was due last after one moment and not after
// another; the zero time: it was not. What was missed in between counts as one.
func (s Schedule) Last(after, now time.Time, zone *time.Location) (due time.Time) {
	if s.Cron == "" {
		if due = now.Truncate(time.Duration(s.Every)); !due.After(after) {
			return time.Time{}
		}
		return due
	}
	for t := s.Next(after, zone); !t.IsZero() && !t.After(now); t = s.Next(t, zone) {
		due = t
	}
	return due
}

const (
	soonest     = time.Second
	latest      = 366 * 24 * time.Hour
	longestCron = 100
	modes       = "refresh, backfill, full"
)

var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// schedule checks when jobs are due.
func (v *validator) schedule() {
	seen := map[string]bool{}
	for i := range v.Schedule {
		s, at := &v.Schedule[i], index("schedule", i)
		setDefault(&s.Mode, "refresh")
		v.oneOf(join(at, "mode"), s.Mode, strings.Split(modes, ", ")...)
		switch hasEvery, hasCron := v.has(join(at, "every")), v.has(join(at, "cron")); {
		case hasEvery && hasCron:
			v.failf(at, "has every and cron; one of them says when")
		case !hasEvery && !hasCron:
			v.failf(join(at, "every"), "missing; every or cron says when")
		case hasCron:
			v.cron(join(at, "cron"), s)
		}
		if seen[s.String()] {
			v.failf(at, "stands twice: %s", s)
		}
		seen[s.String()] = true
	}
	asks := v.Fetch.Report.Path != "" || v.Fetch.Stream != nil
	for _, f := range v.Feeds {
		asks = asks || f.Fetch.Report.Path != "" || f.Fetch.Stream != nil
	}
	if len(v.Schedule) > 0 && !asks {
		v.failf("schedule", "has no use: a job must name the url, since fetch.report.path is missing")
	}
}

func (v *validator) cron(at string, s *Schedule) {
	const form = "five fields (minute, hour, day of the month, month, day of the week) such as \"0 6 * * 1-5\", or @hourly, @daily, @weekly, @monthly"
	var err error
	switch {
	case len(s.Cron) > longestCron:
		err = fmt.Errorf("%d bytes; at most %d are allowed", len(s.Cron), longestCron)
	case strings.Contains(s.Cron, "TZ="):
		err = errors.New("a time zone, which is the source's")
	case strings.HasPrefix(s.Cron, "@every"):
		err = errors.New("@every, which is written every: 1h")
	default:
		s.times, err = cronParser.Parse(s.Cron)
	}
	if err != nil {
		v.failf(at, "found %s (%v); it must be %s", found(s.Cron), err, form)
	} else if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.UTC).IsZero() {
		v.failf(at, "found %s, which is never", found(s.Cron))
	}
}

// explainSchedule says when jobs are due.
func (s *Source) explainSchedule() string {
	var parts []string
	for _, rule := range s.Schedule {
		parts = append(parts, rule.String())
	}
	slices.Sort(parts)
	return "due by itself: " + strings.Join(parts, "; ") + ", with leat-scheduler running"
}
