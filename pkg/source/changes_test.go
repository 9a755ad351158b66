package source

import (
	"strings"
	"testing"
)

func changesFile(more string) string {
	return rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: /a}, changes: {" + more + "}}\n"
}

const allChanges = "path: '/c?s={cursor}', cursor: next, ids: ads.id, report: '/r?ids={ids}'"

func TestEachMistakeOfChangesSaysWhatIsAllowed(t *testing.T) {
	for more, want := range map[string]string{
		"cursor: next": "fetch.changes.path: missing",
		strings.Replace(allChanges, "{cursor}", "", 1):                "fetch.changes.path: lacks {cursor}",
		strings.Replace(allChanges, "{cursor}", "{cur}", 1):           "fetch.changes.path: found {cur}; ",
		strings.Replace(allChanges, "{ids}", "{id}", 1):               "fetch.changes.report: found {id}; did you mean {ids}? allowed: {account}, {ids}, {from}, {to}",
		strings.Replace(allChanges, "next", "''", 1):                  `fetch.changes.cursor: found ""; it must be names with a dot between them`,
		"path: '/c?s={cursor}', cursor: next, ids: id":                "fetch.changes.report: missing",
		"path: '/c?s={cursor}', cursor: next, report: '/r?ids={ids}'": `fetch.changes.ids: found ""`,
		allChanges + ", batch: 1001":                                  "fetch.changes.batch: found 1001; allowed are 1 to 1000",
		allChanges + ", expired: [410, gone]":                         `fetch.changes.expired[1]: found "gone"; it must be a status from 400 to 499`,
		allChanges + ", idz: x":                                       "fetch.changes.idz: unknown key; did you mean ids?",
	} {
		if _, err := Parse([]byte(changesFile(more)), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", more, err, want)
		}
	}
	for text, want := range map[string]string{
		strings.Replace(changesFile(allChanges), "path: /a", "format: json", 1): "fetch.changes: needs fetch.report.path too",
		changesFile(allChanges) + "stats: {kind: count}\n":                      "fetch.changes: has no use for stats of kind count",
	} {
		if _, err := Parse([]byte(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	}
}

func TestExplainSaysWhatARefreshAsks(t *testing.T) {
	s := parsed(t, changesFile(allChanges))
	if c := s.Fetch.Changes; c.Batch != 50 || len(c.Expired) != 1 || c.Expired[0] != "410" {
		t.Errorf("defaults: %+v", c)
	}
	var b strings.Builder
	want := "  a refresh asks /c?s={cursor} what changed, and then for those alone, 50 at a time: /r?ids={ids}\n" +
		"  the first, and one whose cursor is too old (410), asks for all\n"
	if err := s.Explain(&b); err != nil || !strings.Contains(b.String(), want) {
		t.Errorf("%v, got\n%s", err, b.String())
	}
	b.Reset()
	if err := parsed(t, changesFile("path: '/c?s={cursor}', cursor: next")).Explain(&b); err != nil ||
		!strings.Contains(b.String(), "  a refresh asks /c?s={cursor} whether anything changed, and then for all\n") {
		t.Errorf("%v, got\n%s", err, b.String())
	}
}
