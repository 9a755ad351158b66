package fetch

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// changes reads what changed since a cursor, and publishes slices that ask for
// those objects alone. Where there was no cursor, slices for all follow; they ask
// after the cursor was given, so that nothing falls between the two.
func (s *Stage) changes(ctx context.Context, t task, a Answer, file *os.File) (pieces, error) {
	list := &changeList{task: t, answer: a, self: s.Self, all: t.slice.All || *t.slice.Since == ""}
	list.counts = map[string]int{"answers.fetched": 1, "answers.bytes": int(a.Bytes)}
	c := t.src.Fetch.Changes
	paths := []string{c.Cursor, c.More, c.IDs}
	err := s.stream(ctx, func(ctx context.Context, publish func(pipeline.Envelope) error) error {
		list.publish = publish
		if err := source.Pick(ctx, a.forCutting(file), paths, list.found); err != nil {
			return err
		}
		return list.flush()
	})
	if err == nil {
		err = list.end()
	}
	return list.pieces, err
}

// A changeList is an answer about changes as it is read.
type changeList struct {
	task
	answer  Answer
	self    string
	all     bool // everything is asked for, whatever changed
	publish func(pipeline.Envelope) error
	ids     []string
	next    string
	more    bool
	pieces
}

// found takes a value at one of the paths: cursor, more, ids.
func (l *changeList) found(path int, value string) error {
	switch {
	case path == 0:
		l.next = value
	case path == 1:
		l.more = value == "true"
	case value != "" && !l.all:
		l.ids = append(l.ids, value)
		l.counts["objects.named"]++
		if len(l.ids) == l.src.Fetch.Changes.Batch {
			return l.flush()
		}
	}
	return nil
}

// flush publishes a slice for the ids that have gathered.
func (l *changeList) flush() error {
	if len(l.ids) == 0 {
		return nil
	}
	ask := l.base()
	from, to := lookback(l.src, ask.Account, l.answer.AskedAt)
	ask.IDs, ask.From, ask.To = l.ids, from.String(), to.String()
	e, err := l.Emit(l.self, l.answer.key(l.src, len(l.names)), ask)
	if err != nil {
		return err
	}
	l.ids, l.names = nil, append(l.names, e.ID)
	return l.publish(e)
}

// base is a slice like the one in hand that asks for nothing yet, and moves no cursor.
func (t task) base() event.Slice {
	return event.Slice{Source: t.slice.Source, Version: t.slice.Version, Account: t.slice.Account, Feed: t.slice.Feed}
}

// end adds what follows from the whole list.
func (l *changeList) end() error {
	n, first := pageOf(l.task)
	switch c := l.src.Fetch.Changes; {
	case l.next == "":
		return &source.FormError{Position: c.Cursor, Found: "nothing", Expected: "the next cursor"}
	case l.more && l.next == *l.slice.Since:
		return pipeline.Permanent(fmt.Errorf("changes: there is more after cursor %q, which was asked with: the source does not go on", l.next))
	}
	l.cursor = &move{stream: StreamChanges, next: l.next}
	if l.more {
		after := l.slice
		after.Since, after.All, after.Page = &l.next, l.all, &event.Page{N: n + 1, At: l.next, First: first}
		l.follow = append(l.follow, follower{"page " + strconv.Itoa(n+1), after})
	}
	switch asked := *l.slice.Since; {
	case l.all && n == 1:
		l.askForAll(fullDays(l.src, l.slice.Account, l.answer.AskedAt))
	case !l.all && l.src.Fetch.Changes.IDs == "" && l.next != asked:
		l.askForAll(lookback(l.src, l.slice.Account, l.answer.AskedAt))
	}
	return nil
}

// askForAll adds the slices of the report of some days.
func (l *changeList) askForAll(from, to metric.Day) {
	for i, ask := range reports(l.base(), l.src, from, to) {
		l.follow = append(l.follow, follower{"all " + strconv.Itoa(i), ask})
	}
}

// anew begins without a cursor, or with another report, since the source does not
// know the one any more.
func (t task) anew(reason error) (pieces, error) {
	if t.slice.Report != nil {
		return t.another(reason)
	}
	none := ""
	ask := t.base()
	ask.Refresh, ask.Since = true, &none
	return pieces{counts: map[string]int{"cursors.expired": 1}, follow: []follower{{"anew", ask}}}, nil
}
