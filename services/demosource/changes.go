package demosource

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cursor is how far a client has seen the changes.
type cursor struct {
	hour     int64
	revision int // how many revisions it has seen
	none     bool
}

func (c cursor) String() string { return fmt.Sprintf("%d.%d", c.hour, c.revision) }

// present is the cursor of a client that has seen everything.
func (m moment) present() cursor { return cursor{hour: m.hour, revision: len(m.revisions)} }

// cursorAge is how many hours a cursor is good for.
const cursorAge = restatedDays * 24

// since reads a cursor. One ahead of the present, from before a restart, is as
// none; one that is too old is gone.
func (q query) since(m moment) (cursor, error) {
	text := q.Get("since")
	if text == "" {
		return cursor{none: true}, nil
	}
	hour, revision, ok := strings.Cut(text, ".")
	h, errHour := strconv.ParseInt(hour, 10, 64)
	n, errRevision := strconv.Atoi(revision)
	if !ok || errHour != nil || errRevision != nil || h < 0 || n < 0 {
		return cursor{}, bad("since is %q; it must be empty or a cursor given as next", text)
	}
	if h < m.hour-cursorAge {
		return cursor{}, problem{http.StatusGone, fmt.Sprintf("since is %q, which is more than %d days old; ask for all", text, restatedDays)}
	}
	return cursor{hour: h, revision: n, none: h > m.hour || n > len(m.revisions)}, nil
}

// changes answers /ads/changes: the ads whose report differs from what it was
// at the cursor, each with the days on which it does.
func (s *server) changes(q query, m moment) (*answer, error) {
	a, err := s.account(q)
	if err != nil {
		return nil, err
	}
	since, err := q.since(m)
	if err != nil {
		return nil, err
	}
	return &answer{contentType: contentTypes["json"], write: func(out *output) {
		c := changes{report: newReport(a, m, m.days(m.firstChangeable(since), m.today()), out), since: since}
		c.write()
	}}, nil
}

// firstChangeable is the oldest day that may have changed since the cursor.
func (m moment) firstChangeable(since cursor) time.Time {
	seen := m.asOf
	if !since.none {
		seen = time.Unix(since.hour*3600, 0)
	}
	first := dateOf(seen.In(m.zone)).AddDate(0, 0, -restatedDays-1)
	oldest := m.today().AddDate(0, 0, 1-mostDays)
	if first.Before(oldest) {
		return oldest
	}
	return first
}

type changes struct {
	*report
	since       cursor
	count       int
	first, last string // days
}

func (c *changes) write() {
	c.out.field(`{"account":`, c.name)
	c.out.field(`,"next":`, c.present().String())
	c.out.text(`,"ads":[`)
	for one := range c.all() {
		if !c.out.ok() {
			break
		}
		c.ad(one)
	}
	c.out.text(`],"count":`)
	c.out.int(int64(c.count))
	if c.first != "" {
		c.out.text(`,"from":"`, c.first, `","to":"`, c.last, `"`)
	}
	c.out.text("}\n")
}

func (c *changes) ad(one ad) {
	days := c.daysOf(one)
	if len(days) == 0 && !c.newHeadline(one) {
		return
	}
	if c.count > 0 {
		c.out.text(",")
	}
	c.count++
	c.out.field("\n"+`{"id":`, c.adID(one.number))
	c.out.text(`,"days":[`)
	for i, d := range days {
		if i > 0 {
			c.out.text(",")
		}
		c.out.text(`"`, d, `"`)
		c.span(d)
	}
	c.out.text("]}")
}

// span widens first..last by a day.
func (c *changes) span(d string) {
	if c.first == "" || d < c.first {
		c.first = d
	}
	c.last = max(c.last, d)
}

func (c *changes) daysOf(one ad) []string {
	var days []string
	for _, d := range c.window {
		if pair := one.pair(d); active(pair) && c.changed(pair, d) {
			days = append(days, d.text)
		}
	}
	return days
}

// changed says whether an ad's day may differ from what it was at the cursor:
// it was not over then, or has been restated or revised.
func (c *changes) changed(pair uint64, d day) bool {
	if c.since.none {
		return true
	}
	growing := c.since.hour < c.hour && c.since.hour < d.endHour
	return growing ||
		c.version(pair, d.endHour) != c.versionAt(c.since.hour, pair, d.endHour) ||
		c.revised(pair, c.since.revision) > 0
}

func (c *changes) newHeadline(one ad) bool {
	if c.since.none {
		return true
	}
	then := c.day(time.Unix(c.since.hour*3600, 0).In(c.zone))
	return headlineTurn(one, then.number) != headlineTurn(one, c.today)
}
