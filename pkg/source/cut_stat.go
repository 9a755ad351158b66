package source

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
)

const (
	usualForms  = "a day (2006-01-02) or a moment (RFC 3339)"
	secondPass  = 24 // the hour that comes twice when summer time ends, the second time
	lastHour    = 23 // of an event of which only the day is known
	maxInterned = 1 << 14
)

var hours = func() (h [secondPass + 1]int) {
	for i := range h {
		h[i] = i
	}
	return h
}()

// stat makes the stat of a rule, or says why it is refused.
func (c *cutter) stat(l *level, r *rulePlan) (event.Stat, string) {
	p := r.stat
	s := event.Stat{Rule: p.rule.Rule}
	moment, reason := c.day(l, p, &s)
	if reason != "" {
		return s, reason
	}
	if c.kind != KindTotal {
		if s.Hour, reason = c.hour(l, p, moment); reason != "" {
			return s, reason
		}
	}
	if s.Dims, reason = c.dimensions(l, p.dimensions); reason != "" {
		return s, reason
	}
	if p.rule.Metrics.All {
		s.Metrics, reason = c.allMetrics(l)
	} else {
		s.Metrics, reason = c.listedMetrics(l, p.metrics)
	}
	if reason == "" && c.kind == KindCount {
		s.ID, reason = c.eventID(l, r)
	}
	return s, reason
}

// day reads a stat's day and checks its bounds. The moment is zero where only
// the day is known.
func (c *cutter) day(l *level, p *statPlan, s *event.Stat) (time.Time, string) {
	v := &l.cells[p.day.slot]
	var reason string
	if c.part, reason = v.appendText(c.part[:0]); reason != "" {
		return time.Time{}, p.day.name + " " + reason
	}
	day, moment, ok := c.dayOf(c.part)
	if !ok {
		given := found(string(c.part))
		if len(c.part) == 0 {
			given = "empty"
		}
		return moment, fmt.Sprintf("%s is %s; %s is allowed", p.day.name, given, c.dayForms())
	}
	s.Day = day
	switch {
	case day < c.first || day > c.last:
		return moment, fmt.Sprintf("%s is %s; a day from %s to %s is allowed", p.day.name, found(string(c.part)), c.first, c.last)
	case c.kind == KindCount && day < c.oldest:
		return moment, fmt.Sprintf("%s is %s; an event of %s or later is allowed, since ids are kept for %d days", p.day.name, found(string(c.part)), c.oldest, daysOfEvents)
	}
	return moment, ""
}

// dayForms says how days may be written.
func (c *cutter) dayForms() string {
	if len(c.forms) > 0 {
		return "what dates in the source file has"
	}
	return usualForms
}

// dayOf reads a day, or a moment, which is put on the account's clock.
func (c *cutter) dayOf(text []byte) (metric.Day, time.Time, bool) {
	for _, f := range c.forms {
		if day, moment, ok := f.read(string(text), c.zone); ok {
			return day, moment, true
		}
	}
	if len(c.forms) > 0 {
		return 0, time.Time{}, false
	}
	if len(text) != len(time.DateOnly) {
		var moment time.Time
		if len(text) < len("2006-01-02T15:04:05Z") || moment.UnmarshalText(text) != nil {
			return 0, time.Time{}, false
		}
		moment = moment.In(c.zone)
		return metric.DayOf(moment), moment, true
	}
	if day, ok := c.days[string(text)]; ok {
		return day, time.Time{}, true
	}
	day, err := metric.ParseDay(string(text))
	if err != nil {
		return 0, time.Time{}, false
	}
	if len(c.days) > maxInterned {
		clear(c.days)
	}
	c.days[string(text)] = day
	return day, time.Time{}, true
}

// hour reads a stat's hour from its field, or from the moment. An event of which
// only the day is known is put into the day's last hour.
func (c *cutter) hour(l *level, p *statPlan, moment time.Time) (*int, string) {
	if p.hour.slot < 0 {
		switch {
		case !moment.IsZero():
			return &hours[localHour(moment)], ""
		case c.kind == KindCount:
			return &hours[lastHour], ""
		default:
			return nil, fmt.Sprintf("%s is %s, which has no hour; a moment (RFC 3339) is allowed", p.day.name, found(string(c.part)))
		}
	}
	text, reason := l.cells[p.hour.slot].appendText(nil)
	if reason != "" {
		return nil, p.hour.name + " " + reason
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 || n > secondPass {
		return nil, fmt.Sprintf("%s is %s; an hour from 0 to %d is allowed", p.hour.name, found(string(text)), secondPass)
	}
	return &hours[n], ""
}

// localHour is the hour that the clock shows; 24 when it shows it for the
// second time since the clock was put back.
func localHour(t time.Time) int {
	start, _ := t.ZoneBounds()
	if start.IsZero() {
		return t.Hour()
	}
	_, now := t.Zone()
	_, before := start.Add(-time.Second).Zone()
	if t.Sub(start) < time.Duration(before-now)*time.Second {
		return secondPass
	}
	return t.Hour()
}

// dimensions writes the canonical text of a stat's dimensions.
func (c *cutter) dimensions(l *level, fields []field) (string, string) {
	dst := c.part[:0]
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, f.name...), '=')
		start := len(dst)
		var reason string
		if dst, reason = l.cells[f.slot].appendText(dst); reason != "" {
			c.part = dst
			return "", f.name + " " + reason
		}
		if slices.ContainsFunc(dst[start:], parting) {
			dst = append(dst[:start], dimensionEscaper.Replace(string(dst[start:]))...)
		}
	}
	c.part = dst
	if len(dst) > maxDims {
		return "", fmt.Sprintf("dimensions of %d bytes, names and all, were found; at most %d are allowed", len(dst), maxDims)
	}
	return intern(c.dims, dst), ""
}

// parting reports whether a byte in a value would be taken for the end of it.
func parting(b byte) bool { return b == '%' || b == ',' || b == '=' }

// maxDims bounds what is a part of a key in PostgreSQL.
const maxDims = 1024

// intern returns the string of b, which is made once.
func intern(known map[string]string, b []byte) string {
	if s, ok := known[string(b)]; ok {
		return s
	}
	if len(known) > maxInterned {
		clear(known)
	}
	s := string(b)
	known[s] = s
	return s
}

// listedMetrics reads the metrics that a rule names, which are sorted.
func (c *cutter) listedMetrics(l *level, fields []field) (metric.Set, string) {
	set := c.newSet(len(fields))
	for _, f := range fields {
		v, reason := l.cells[f.slot].metric(c.number)
		if reason != "" {
			return nil, f.name + " " + reason
		}
		if v != 0 {
			set = append(set, metric.Metric{Name: f.name, Value: v})
		}
	}
	return c.keep(set), ""
}

// metric reads the cell of a listed metric.
func (v *cell) metric(form *numberForm) (metric.Value, string) {
	b := v.b
	switch v.kind {
	case cellAbsent, cellNull:
		return 0, ""
	case cellNumber:
		form = nil
	case cellText:
	case cellQuoted:
		var reason string
		if b, reason = appendString(nil, v.b); reason != "" {
			return 0, reason
		}
	default:
		return 0, fmt.Sprintf("is %s; a number is allowed", v.kind)
	}
	plain, ok := b, true
	if form != nil {
		plain, ok = form.plain(b)
	}
	switch {
	case !ok:
		return 0, refusedNumber(b, errNumber)
	case len(plain) == 0:
		return 0, ""
	}
	value, err := metric.Parse(plain)
	return value, refusedNumber(b, err)
}

func refusedNumber(b []byte, err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("is %s; a number with at most 12 digits before the point is allowed", found(string(b)))
}

// allMetrics reads every number of the element that no rule names.
func (c *cutter) allMetrics(l *level) (metric.Set, string) {
	if l.odd != "" {
		return nil, l.odd
	}
	places := l.nonZero()
	set := c.newSet(len(places))
	for _, at := range places {
		set = append(set, metric.Metric{Name: l.metrics[at], Value: l.values[at]})
	}
	return c.keep(set), ""
}

// newSet returns an empty set with room for n metrics; keep must follow.
func (c *cutter) newSet(n int) metric.Set {
	const chunk = 2048
	if cap(c.metrics)-len(c.metrics) < n {
		c.metrics = make([]metric.Metric, 0, max(chunk, n))
	}
	return metric.Set(c.metrics[len(c.metrics):])
}

// keep takes a set that was made in the chunk out of it.
func (c *cutter) keep(set metric.Set) metric.Set {
	c.metrics = c.metrics[:len(c.metrics)+len(set)]
	return slices.Clip(set)
}

// eventID names the event: what the file maps, else the answer's hash and the
// record's position.
func (c *cutter) eventID(l *level, r *rulePlan) (string, string) {
	p := r.stat
	if p.id == nil {
		id := c.answer.Hash + "#" + c.position()
		if p.numbered {
			id += " (" + r.label + ")"
		}
		return id, ""
	}
	id, reason := c.keyText(c.part[:0], l, p.id)
	c.part = id
	if reason != "" {
		return "", "id: " + reason
	}
	return string(id), ""
}
