package source

import (
	"strings"
	"testing"
)

const live = rest + "http: {base_url: 'http://h'}\n"

func TestEachMistakeOfStreamsAndPollsSaysWhatIsAllowed(t *testing.T) {
	for more, want := range map[string]string{
		"stream: {}":                                     "fetch.stream.path: missing",
		"stream: {path: '/s?c={cur}'}":                   "fetch.stream.path: found {cur}; ",
		"stream: {path: /s, format: csv}":                `fetch.stream.format: found "csv"; allowed: sse, ndjson`,
		"stream: {path: /s, format: ndjson}":             "fetch.stream.cursor: missing; ndjson has no ids",
		"stream: {path: /s, format: ndjson, cursor: id}": "fetch.stream.path: lacks {cursor}",
		"stream: {path: '/s?c={cursor}', format: ndjson, cursor: id, events: [a]}":            "fetch.stream.events: is of sse; the stream's format is ndjson",
		"stream: {path: /s, cursor: a..b}":                                                    `fetch.stream.cursor: found "a..b"`,
		"stream: {path: /s, lease: 30m}":                                                      "fetch.stream.lease: found 30m0s; allowed are 10s to 20m0s",
		"stream: {path: /s, lease: 1s}":                                                       "fetch.stream.lease: found 1s; allowed are 10s to 20m0s",
		"stream: {path: /s, expired: [200]}":                                                  `fetch.stream.expired[0]: found "200"; it must be a status from 400 to 499`,
		"stream: {path: /s, curser: id}":                                                      "fetch.stream.curser: unknown key; did you mean cursor?",
		"poll: {every: 30s}":                                                                  "fetch.poll: needs fetch.report.path",
		"report: {path: /r}, poll: {}":                                                        "fetch.poll.every: found 0s; it must be a time such as 30s, at least 1s",
		"report: {path: /r}, poll: {every: 1s, seen: id}":                                     `fetch.poll.seen: found "id"; allowed: hash, key`,
		"report: {path: /r}, pages: {link: true}, poll: {every: 1s}":                          "fetch.poll: has no use for fetch.pages",
		"report: {path: '/r?f={from}', slice: 1d}, poll: {every: 1s}":                         "fetch.poll: has no use for fetch.report.slice",
		"report: {path: /r}, stream: {path: /s}, poll: {every: 1s}":                           "fetch.poll: found fetch.stream too",
		"report: {path: /r}, changes: {path: '/c?s={cursor}', cursor: a}, stream: {path: /s}": "fetch.stream: found fetch.changes too",
		"report: {path: /r}, changes: {path: '/c?s={cursor}', cursor: a}, poll: {every: 1h}":  "fetch.poll: found fetch.changes too",
	} {
		if _, err := Parse([]byte(live+"fetch: {"+more+"}\n"), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", more, err, want)
		}
	}
	const events = "source: s\nhttp: {base_url: 'http://h'}\nstats: {kind: count}\nrecords: [{object: {type: a, key: id}, stat: {day: at, metrics: [n]}}]\nfetch: "
	for _, way := range []string{"{stream: {path: /s}}", "{report: {path: /r}, poll: {every: 1s}}"} {
		if _, err := Parse([]byte(events+way+"\n"), nil); err == nil || !strings.Contains(err.Error(), "needs the id of each stat: an event of a may come twice") {
			t.Errorf("%s: %v", way, err)
		}
	}
	if _, err := Parse([]byte(rest+"fetch: {stream: {path: /s}}\n"), nil); err == nil || !strings.Contains(err.Error(), "http.base_url: missing; fetch.stream.path is relative to it") {
		t.Error(err)
	}
}

func TestStreamsAndPollsAreExplained(t *testing.T) {
	for way, want := range map[string]string{
		"{stream: {path: /s, events: [a, b]}}":                                          "a refresh listens to /s, sse (a, b), 5m0s at a time, for ever; it goes on after the last event's id",
		"{stream: {path: '/s?c={cursor}', format: ndjson, cursor: meta.id, lease: 1m}}": "ndjson, 1m0s at a time, for ever; it goes on after the meta.id of the last record",
		"{report: {path: /r}, poll: {every: 30s}}":                                      "a refresh asks every 30s, for ever, and takes what is another than before",
		"{report: {path: /r}, poll: {every: 1h, seen: key}}":                            "and takes the objects that were never seen",
	} {
		s, err := Parse([]byte(live+"fetch: "+way+"\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := s.Explain(&b); err != nil || !strings.Contains(b.String(), want) || strings.Contains(b.String(), "nothing by itself") || !s.Live() {
			t.Errorf("%s: %v\n%s", way, err, b.String())
		}
	}
}
