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

// Plan cuts a job into slices: one for each account and so many days. Cursors
// hold, by account, the day that a refresh begins at. Its errors name the field.
func Plan(j Job, src *source.Source, cursors map[string]metric.Day, now time.Time) ([]event.Slice, error) {
	asOf, err := j.asOf()
	if err != nil {
		return nil, err
	}
	accounts, err := accountsOf(j, src)
	if err != nil {
		return nil, err
	}
	slice := event.Slice{Source: src.Name, Version: src.Hash, URL: j.URL, AsOf: asOf, Refresh: j.mode() == ModeRefresh}
	if j.URL != "" {
		slice.Account = j.Account
		return []event.Slice{slice}, nil
	}
	if src.Fetch.Report.Path == "" {
		return nil, fmt.Errorf(`source %s has no fetch.report.path: a job for it needs a "url"`, src.Name)
	}
	var out []event.Slice
	for _, account := range accounts {
		from, to, err := daysOf(j, src, account, cursors, now)
		if err != nil {
			return nil, err
		}
		slice.Account = account
		if !strings.Contains(src.Fetch.Report.Path, "{from}") && !strings.Contains(src.Fetch.Report.Path, "{to}") {
			out = append(out, slice)
			continue
		}
		step := metric.Day(src.Fetch.Report.Slice)
		if step <= 0 {
			step = to - from + 1
		}
		for ; from <= to; from += step {
			slice.From, slice.To = from.String(), min(from+step-1, to).String()
			out = append(out, slice)
		}
	}
	return out, nil
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
	today := metric.DayOf(now.In(src.Location(account)))
	from, to = today-metric.Day(src.Fetch.Report.Lookback)+1, today
	switch cursor, ok := cursors[account]; j.mode() {
	case ModeRefresh:
		if ok {
			from = min(cursor, today)
		}
	case ModeFull:
		if src.Fetch.Report.Since != "" {
			from, err = metric.ParseDay(src.Fetch.Report.Since)
		}
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
