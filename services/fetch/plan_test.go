package fetch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

const (
	head = "source: ads\n"
	tail = "records: [{each: ads, object: {type: ad, key: id}, stat: {day: date, metrics: '*'}}]\n"
)

func parse(t testing.TB, text string) *source.Source {
	t.Helper()
	src, err := source.Parse([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestPlan(t *testing.T) {
	const (
		days     = head + "http: {base_url: 'http://a.example'}\nfetch: {report: {path: '/r?from={from}&to={to}', lookback: 3d}}\n" + tail
		week     = head + "http: {base_url: 'http://a.example'}\nfetch: {report: {path: '/r?from={from}&to={to}', lookback: 10d, slice: 7d, since: 2026-11-01}}\n" + tail
		whole    = head + "http: {base_url: 'http://a.example'}\nfetch: {report: {path: '/r'}}\n" + tail
		accounts = "accounts: {acme: {timezone: America/New_York}, globex: {timezone: Asia/Tokyo}}\n" + head + "http: {base_url: 'http://a.example'}\nfetch: {report: {path: '/r?a={account}&from={from}&to={to}', lookback: 3d}}\n" + tail
	)
	now := time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC) // still the 19th in New York
	for _, c := range []struct {
		name, source, job string
		cursors           string // account=day
		want              string // account from..to
		says              string
	}{
		{name: "a first refresh asks for the lookback", source: days, job: `{"source":"ads"}`, want: " 2026-11-18..2026-11-20 refresh"},
		{name: "later ones begin at the cursor", source: days, job: `{"source":"ads"}`, cursors: "=2026-11-19", want: " 2026-11-19..2026-11-20 refresh"},
		{name: "a cursor from tomorrow is today", source: days, job: `{"source":"ads"}`, cursors: "=2026-11-22", want: " 2026-11-20..2026-11-20 refresh"},
		{name: "a backfill without days asks for the lookback", source: days, job: `{"source":"ads","mode":"backfill"}`, cursors: "=2026-11-19", want: " 2026-11-18..2026-11-20"},
		{name: "a backfill", source: days, job: `{"source":"ads","mode":"backfill","from":"2026-10-01","to":"2026-10-31"}`, want: " 2026-10-01..2026-10-31"},
		{name: "slices", source: week, job: `{"source":"ads","mode":"backfill","from":"2026-10-01","to":"2026-10-15"}`,
			want: " 2026-10-01..2026-10-07;  2026-10-08..2026-10-14;  2026-10-15..2026-10-15"},
		{name: "full", source: week, job: `{"source":"ads","mode":"full"}`, want: " 2026-11-01..2026-11-07;  2026-11-08..2026-11-14;  2026-11-15..2026-11-20"},
		{name: "each account has its midnight", source: accounts, job: `{"source":"ads"}`, cursors: "globex=2026-11-20",
			want: "acme 2026-11-17..2026-11-19 refresh; globex 2026-11-20..2026-11-20 refresh"},
		{name: "one account", source: accounts, job: `{"source":"ads","account":"acme"}`, want: "acme 2026-11-17..2026-11-19 refresh"},
		{name: "an address without days is asked once", source: whole, job: `{"source":"ads"}`, want: " .. refresh"},
		{name: "a document", source: accounts, job: `{"source":"ads","url":"http://b.example/x.json"}`, want: " .. http://b.example/x.json"},
		{name: "an unknown account", source: accounts, job: `{"source":"ads","account":"initech"}`, says: `account: found "initech"; source ads has acme, globex`},
		{name: "an account of a source without any", source: days, job: `{"source":"ads","account":"acme"}`, says: `account: found "acme", but source ads has no accounts`},
		{name: "days before all", source: days, job: `{"source":"ads","mode":"backfill","from":"1999-12-31"}`, says: "days between 2000-01-01 and"},
		{name: "days too far ahead", source: days, job: `{"source":"ads","mode":"backfill","to":"2028-01-01"}`, says: "days between 2000-01-01 and"},
		{name: "from after the day that to is by default", source: days, job: `{"source":"ads","mode":"backfill","from":"2026-11-21"}`, says: "from 2026-11-21 is after to 2026-11-20"},
		{name: "a source without an address", source: head + tail, job: `{"source":"ads"}`, says: `a job for it needs a "url"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			j, err := ParseJob([]byte(c.job))
			if err != nil {
				t.Fatal(err)
			}
			src := parse(t, c.source)
			cursors := map[string]metric.Day{}
			if account, day, ok := strings.Cut(c.cursors, "="); ok {
				if cursors[account], err = metric.ParseDay(day); err != nil {
					t.Fatal(err)
				}
			}
			slices, err := Plan(j, src, AllCursors{"": {Days: cursors}}, now)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %s", err, c.says)
				}
				return
			}
			var got []string
			for _, s := range slices {
				text := fmt.Sprintf("%s %s..%s", s.Account, s.From, s.To)
				if s.Refresh {
					text += " refresh"
				}
				if s.URL != "" {
					text += " " + s.URL
				}
				got = append(got, text)
				if s.Version != src.Hash || s.Source != "ads" {
					t.Errorf("slice %+v is not of this version", s)
				}
			}
			if strings.Join(got, "; ") != c.want || err != nil {
				t.Errorf("%q, %v, want %q", strings.Join(got, "; "), err, c.want)
			}
		})
	}
}

func TestADayAfterTheClockChangedIsStillADay(t *testing.T) {
	src := parse(t, "timezone: Europe/Berlin\n"+head+"http: {base_url: 'http://a.example'}\nfetch: {report: {path: '/r?from={from}&to={to}', lookback: 2d}}\n"+tail)
	for now, want := range map[string]string{
		"2026-03-28T22:59:00Z": "2026-03-27..2026-03-28",
		"2026-03-28T23:00:00Z": "2026-03-28..2026-03-29", // the day of 23 hours begins
		"2026-03-29T21:59:00Z": "2026-03-28..2026-03-29",
		"2026-03-29T22:00:00Z": "2026-03-29..2026-03-30",
		"2026-10-25T22:59:00Z": "2026-10-24..2026-10-25", // the end of a day of 25
		"2026-10-25T23:00:00Z": "2026-10-25..2026-10-26",
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		slices, err := Plan(Job{Source: "ads"}, src, nil, at)
		if err != nil || len(slices) != 1 || slices[0].From+".."+slices[0].To != want {
			t.Errorf("at %s: %+v, %v, want %s", now, slices, err, want)
		}
	}
}
