package fetch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// Plan cuts a job into slices: for each feed and account one for so many days, or
// one that asks what changed. Its errors name the field.
func Plan(j Job, src *source.Source, cursors AllCursors, now time.Time) ([]event.Slice, error) {
	asOf, err := j.asOf()
	if err != nil {
		return nil, err
	}
	accounts, err := accountsOf(j, src)
	if err != nil {
		return nil, err
	}
	feeds, err := feedsOf(j, src)
	if err != nil {
		return nil, err
	}
	slice := event.Slice{Source: src.Name, Version: src.Hash, URL: j.URL, AsOf: asOf, Refresh: j.mode() == ModeRefresh}
	if j.URL != "" {
		slice.Account, slice.Feed = j.Account, j.Feed
		return []event.Slice{slice}, nil
	}
	var out []event.Slice
	for _, feed := range feeds {
		slice.Feed = feed.FeedName()
		these, err := planFeed(j, feed, slice, accounts, cursors[slice.Feed], now)
		if err != nil {
			return nil, err
		}
		out = append(out, these...)
	}
	return out, nil
}

// feedsOf returns the source as each feed that a job is for has it. Those of
// which only a job with a url is possible have no part in a job for all.
func feedsOf(j Job, src *source.Source) ([]*source.Source, error) {
	feeds := src.EachFeed()
	if j.Feed != "" || j.URL != "" {
		feed, err := src.Feed(j.Feed)
		if err != nil {
			return nil, err
		}
		feeds = []*source.Source{feed}
	}
	if j.URL != "" {
		return feeds, nil
	}
	asked := slices.DeleteFunc(slices.Clone(feeds), func(feed *source.Source) bool { return len(feeds) > 1 && isForURLs(feed) })
	if len(asked) == 0 {
		return nil, fmt.Errorf(`no feed of source %s has fetch.report.path: a job for it needs a "url"`, src.Name)
	}
	for _, feed := range asked {
		if err := possible(j, feed); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

// isForURLs reports whether there is nothing to ask without a job's url.
func isForURLs(src *source.Source) bool { return src.Fetch.Report.Path == "" && !src.Live() }

// planFeed cuts a job for one feed, or for a source without any.
func planFeed(j Job, src *source.Source, slice event.Slice, accounts []string, cursors Cursors, now time.Time) (out []event.Slice, err error) {
	for _, account := range accounts {
		slice.Account = account
		if src.Live() && slice.Refresh {
			out = append(out, lives(slice, src, cursors, now)...)
			continue
		}
		if src.Fetch.Changes != nil && slice.Refresh {
			ask, since := slice, cursors.Changes[account]
			ask.Since = &since
			out = append(out, ask)
			continue
		}
		from, to, err := daysOf(j, src, account, cursors.Days, now)
		if err != nil {
			return nil, err
		}
		out = append(out, reports(slice, src, from, to)...)
	}
	return out, nil
}

// possible refuses what the source file has no request for.
func possible(j Job, src *source.Source) error {
	switch live := src.Live() && j.mode() == ModeRefresh; {
	case live && j.AsOf != "":
		return fmt.Errorf("as_of: a refresh of source %s reads what happens now; a backfill or a url may have been true at another time", src.Name)
	case !live && src.Fetch.Report.Path == "":
		return fmt.Errorf(`source %s has no fetch.report.path: a job for it needs a "url"`, src.Name)
	}
	return nil
}

// lives are the slices that read what happens. A stream without a position begins
// now: what was before is in the report, where the source has one.
func lives(slice event.Slice, src *source.Source, cursors Cursors, now time.Time) []event.Slice {
	if src.Fetch.Poll != nil {
		from, to := lookback(src, slice.Account, now)
		poll := reports(slice, src, from, to)[0]
		poll.Live = event.LivePoll
		return []event.Slice{poll}
	}
	listen := slice
	listen.Live = event.LiveStream
	out := []event.Slice{listen}
	if cursors.Streams[slice.Account] == "" && src.Fetch.Report.Path != "" {
		slice.Refresh = false
		from, to := fullDays(src, slice.Account, now)
		out = append(out, reports(slice, src, from, to)...)
	}
	return out
}

// reports are the slices that ask for the report of some days.
func reports(slice event.Slice, src *source.Source, from, to metric.Day) []event.Slice {
	if asks := src.Fetch.Report.Asks(); !strings.Contains(asks, "{from}") && !strings.Contains(asks, "{to}") {
		return []event.Slice{slice}
	}
	step := metric.Day(src.Fetch.Report.Slice)
	if step <= 0 {
		step = to - from + 1
	}
	var out []event.Slice
	for ; from <= to; from += step {
		slice.From, slice.To = from.String(), min(from+step-1, to).String()
		out = append(out, slice)
	}
	return out
}

// lookback returns the days that a source still corrects, on the account's clock.
func lookback(src *source.Source, account string, now time.Time) (from, to metric.Day) {
	today := metric.DayOf(now.In(src.Location(account)))
	return today - metric.Day(src.Fetch.Report.Lookback) + 1, today
}

// fullDays returns all the days that a source has.
func fullDays(src *source.Source, account string, now time.Time) (from, to metric.Day) {
	from, to = lookback(src, account, now)
	if since, err := metric.ParseDay(src.Fetch.Report.Since); err == nil { // the file was validated
		from = since
	}
	return from, to
}

// accountsOf returns the accounts that a job is for; "" where a source has none.
func accountsOf(j Job, src *source.Source) ([]string, error) {
	names := src.AccountNames()
	switch {
	case j.Account != "" && !slices.Contains(names, j.Account):
		if len(names) == 0 {
			return nil, fmt.Errorf("account: found %q, but source %s has no accounts", j.Account, src.Name)
		}
		return nil, fmt.Errorf("account: found %q; source %s has %s", j.Account, src.Name, strings.Join(names, ", "))
	case j.Account != "":
		return []string{j.Account}, nil
	case len(names) == 0:
		return []string{""}, nil
	}
	return names, nil
}

// daysOf returns the days that a job asks for, on the account's clock.
func daysOf(j Job, src *source.Source, account string, cursors map[string]metric.Day, now time.Time) (from, to metric.Day, err error) {
	from, to = lookback(src, account, now)
	today := to
	switch cursor, ok := cursors[account]; j.mode() {
	case ModeRefresh:
		if ok {
			from = min(cursor, today)
		}
	case ModeFull:
		from, to = fullDays(src, account, now)
	case ModeBackfill:
		if j.From != "" {
			from, err = metric.ParseDay(j.From)
		}
		if j.To != "" && err == nil {
			to, err = metric.ParseDay(j.To)
		}
		if err == nil && from > to {
			err = fmt.Errorf("from %s is after to %s", from, to)
		}
		if err == nil && (from < earliest || to > today+latestAhead) {
			err = fmt.Errorf("from %s, to %s: days between %s and %s are allowed", from, to, earliest, today+latestAhead)
		}
	}
	return from, to, err
}

// The days that a source may speak of.
const (
	earliest    = metric.Day(10957) // 2000-01-01
	latestAhead = 400
)
