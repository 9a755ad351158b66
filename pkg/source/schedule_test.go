package source

import (
	"strings"
	"testing"
	"time"
)

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	m, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scheduled is a source with a path, and the schedules given.
func scheduled(schedule string) (*Source, error) {
	return Parse([]byte(`source: test
timezone: Europe/Berlin
http: {base_url: https://a.example}
fetch: {report: {path: /r}}
records: [{object: {type: a, key: id}}]
schedule: `+schedule+"\n"), nil)
}

func TestSchedules(t *testing.T) {
	for _, test := range []struct{ name, rule, after, now, last, next string }{
		{"a full hour has begun", "{every: 1h}", "2026-11-28T09:00:00Z", "2026-11-28T10:00:01Z", "2026-11-28T10:00:00Z", "2026-11-28T11:00:00Z"},
		{"none has", "{every: 1h}", "2026-11-28T10:00:00Z", "2026-11-28T10:59:59Z", "", "2026-11-28T11:00:00Z"},
		{"a day was missed, which is one time", "{every: 1h}", "2026-11-27T10:00:00Z", "2026-11-28T10:30:00Z", "2026-11-28T10:00:00Z", "2026-11-28T11:00:00Z"},
		{"twice a day", "{every: 12h}", "1970-01-01T00:00:00Z", "2026-11-28T10:30:00Z", "2026-11-28T00:00:00Z", "2026-11-28T12:00:00Z"},
		{"six o'clock in Berlin", `{cron: "0 6 * * *"}`, "2026-11-27T12:00:00Z", "2026-11-28T05:00:00Z", "2026-11-28T05:00:00Z", "2026-11-29T05:00:00Z"},
		{"in summer too", `{cron: "0 6 * * *"}`, "2026-07-27T12:00:00Z", "2026-07-28T04:00:00Z", "2026-07-28T04:00:00Z", "2026-07-29T04:00:00Z"},
		{"a week was missed", `{cron: "0 6 * * 1-5"}`, "2026-11-20T12:00:00Z", "2026-11-28T05:00:00Z", "2026-11-27T05:00:00Z", "2026-11-30T05:00:00Z"},
		{"it is not due yet", `{cron: "@daily"}`, "2026-11-27T23:00:00Z", "2026-11-28T22:59:59Z", "", "2026-11-28T23:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := scheduled("[" + test.rule + "]")
			if err != nil {
				t.Fatal(err)
			}
			rule, zone, now := s.Schedule[0], s.Location(""), moment(t, test.now)
			last := rule.Last(moment(t, test.after), now, zone)
			got := ""
			if !last.IsZero() {
				got = last.UTC().Format(time.RFC3339)
			}
			if next := rule.Next(now, zone).UTC().Format(time.RFC3339); got != test.last || next != test.next {
				t.Errorf("last %q, next %s; want %q, %s", got, next, test.last, test.next)
			}
		})
	}
}

func TestWrongSchedules(t *testing.T) {
	for rule, want := range map[string]string{
		"[{every: 1h, cron: \"0 6 * * *\"}]":  "schedule[0]: has every and cron; one of them says when",
		"[{mode: full}]":                      "schedule[0].every: missing; every or cron says when",
		"[{every: 1ms}]":                      "schedule[0].every: found \"1ms\"; it must be a time such as 30s, at least 1s and at most 8784h",
		"[{every: 1h, mode: refesh}]":         "schedule[0].mode: found \"refesh\"; did you mean refresh? allowed: refresh, backfill, full",
		"[{cron: \"0 6 * *\"}]":               "schedule[0].cron: found \"0 6 * *\" (",
		"[{cron: \"CRON_TZ=UTC 0 6 * * *\"}]": "a time zone, which is the source's",
		"[{cron: \"@every 1h\"}]":             "@every, which is written every: 1h",
		"[{cron: \"0 6 30 2 *\"}]":            "which is never",
		"[{every: 1h}, {every: 60m}]":         "schedule[1]: stands twice: refresh every 1h",
		"[{evry: 1h}]":                        "schedule[0].evry: unknown key; did you mean every? allowed: every, cron, mode",
		"{every: 1h}":                         "schedule: found a map; it must be a list such as [{every: 1h, mode: refresh}]",
	} {
		_, err := scheduled(rule)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", rule, err, want)
		}
	}
	const feeds = "source: test\nhttp: {base_url: https://a.example}\nfeeds:\n  one: {fetch: {report: {path: /r}}, records: [{object: {type: a, key: id}}]}\n  two: {records: [{object: {type: a, key: id}}]}\n"
	if _, err := Parse([]byte(feeds+"schedule: [{every: 1h}]\n"), nil); err != nil {
		t.Errorf("of a feed that can be asked: %v", err)
	}
	_, err := Parse([]byte("source: test\nrecords: [{object: {type: a, key: id}}]\nschedule: [{every: 1h}]\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "3:11: schedule: has no use: a job must name the url") {
		t.Errorf("without a path: %v", err)
	}
}

func TestExplainSaysWhenJobsAreDue(t *testing.T) {
	s, err := scheduled(`[{every: 1h}, {cron: "0 6 * * *", mode: backfill}, {every: 90m, mode: full}]`)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := s.Explain(&text); err != nil || !strings.Contains(text.String(), "due by itself: backfill cron 0 6 * * *; full every 1h30m; refresh every 1h, with leat-scheduler running") {
		t.Errorf("%v, %s", err, text.String())
	}
}
