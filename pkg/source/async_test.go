package source

import (
	"strings"
	"testing"
)

const allAsync = "body: '{\"from\":\"{from}\",\"to\":\"{to}\"}', id: id, poll: '/p/{id}', status: status, done: [ready], failed: [broken], download: '/d/{id}', delete: '/p/{id}'"

func asyncFile(more string) string {
	return rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: /a, async: {" + more + "}}}\n"
}

func TestEachMistakeOfAnAsyncReportSaysWhatIsAllowed(t *testing.T) {
	for more, want := range map[string]string{
		strings.Replace(allAsync, "{from}", "{form}", 1):          "fetch.report.async.body: found {form}; did you mean {from}? allowed: {account}, {from}, {to}",
		strings.Replace(allAsync, "\"}'", "\"'", 1):               "fetch.report.async.body: found ",
		allAsync + ", method: PUT":                                `fetch.report.async.method: found "PUT"; allowed: POST, GET`,
		allAsync + ", method: GET":                                "fetch.report.async.body: has no use: a GET has none",
		strings.Replace(allAsync, "id: id, ", "", 1):              "fetch.report.async.id: found \"\"; it must be names",
		strings.Replace(allAsync, "poll: '/p/{id}', ", "", 1):     "fetch.report.async.poll: missing",
		strings.Replace(allAsync, "/p/{id}", "/p", 1):             "fetch.report.async.poll: lacks {id}",
		strings.Replace(allAsync, "/p/{id}", "/p/{idd}", 1):       "fetch.report.async.poll: found {idd}; did you mean {id}? allowed: {account}, {id}",
		strings.Replace(allAsync, "/d/{id}", "d/{id}", 1):         "fetch.report.async.download: found \"d/{id}\"; it must begin with /",
		strings.Replace(allAsync, "done: [ready], ", "", 1):       "fetch.report.async.done: missing",
		strings.Replace(allAsync, "download: '/d/{id}', ", "", 1): "fetch.report.async: needs download or url, and not both",
		allAsync + ", url: result.url":                            "fetch.report.async: needs download or url, and not both",
		allAsync + ", every: 100ms":                               "fetch.report.async.every: found 100ms; allowed are 1s to 1h",
		allAsync + ", every: 10m, timeout: 5m":                    "fetch.report.async.timeout: found 5m0s; allowed are every (10m0s) to 168h",
		allAsync + ", attempts: 21":                               "fetch.report.async.attempts: found 21; allowed are 1 to 20",
		allAsync + ", statuz: x":                                  "fetch.report.async.statuz: unknown key; did you mean status?",
	} {
		if _, err := Parse([]byte(asyncFile(more)), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", more, err, want)
		}
	}
	for text, want := range map[string]string{
		strings.Replace(asyncFile(allAsync), "path: /a, ", "", 1):                                 "fetch.report.async: needs fetch.report.path too",
		strings.Replace(asyncFile(allAsync), "fetch: {", "fetch: {pages: {next: n}, ", 1):         "fetch.report.async: has no use for fetch.pages",
		strings.Replace(asyncFile(allAsync), "/a, ", "/a, slice: 7d, ", 1):                        "",
		"accounts: [x]\n" + asyncFile(allAsync):                                                   "fetch.report.path: lacks {account}",
		"accounts: [x]\n" + strings.Replace(asyncFile(allAsync), "{from}", "{from} {account}", 1): "",
	} {
		_, err := Parse([]byte(text), nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", text, err, want)
		}
	}
}

func TestExplainSaysHowAReportIsMade(t *testing.T) {
	var b strings.Builder
	want := "  the source makes a report first: it is created with POST, asked after every 30s (/p/{id}) until status says ready, downloaded from /d/{id}, and deleted (/p/{id})\n" +
		"  another is created where broken is said instead, or it takes longer than 1h0m0s: 3 reports at most\n"
	if err := parsed(t, asyncFile(allAsync)).Explain(&b); err != nil || !strings.Contains(b.String(), want) {
		t.Errorf("%v, got\n%s", err, b.String())
	}
}
