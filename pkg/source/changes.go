package source

import (
	"fmt"
	"strings"
)

// Changes says how a source is asked what changed since a cursor. The answer is JSON.
type Changes struct {
	Path    string   `yaml:"path"`    // {account} and {cursor} are filled in; an empty cursor asks for the first one
	Cursor  string   `yaml:"cursor"`  // path of the field with the next cursor
	IDs     string   `yaml:"ids"`     // path of the ids of what changed: ads.id; absent: where the cursor differs, the report is asked for as always
	More    string   `yaml:"more"`    // path of the field that says true while there is more after the next cursor
	Report  string   `yaml:"report"`  // what is asked for then; {account}, {ids}, {from} and {to} (of the lookback) are filled in
	Batch   int      `yaml:"batch"`   // ids a request; default 50
	Expired []string `yaml:"expired"` // statuses that say that a cursor is too old; default 410
}

const maxBatch = 1000 // ids in an address

// changes checks that each request has what tells it apart.
func (v *validator) changes() {
	c := v.Fetch.Changes
	if c == nil {
		return
	}
	const at = "fetch.changes"
	v.changesPath(join(at, "path"), c.Path, "{cursor}")
	v.fieldPath(join(at, "cursor"), c.Cursor)
	if c.IDs != "" || c.Report != "" {
		v.changesPath(join(at, "report"), c.Report, "{ids}", "{from}", "{to}")
		v.fieldPath(join(at, "ids"), c.IDs)
	}
	if c.More != "" {
		v.fieldPath(join(at, "more"), c.More)
		v.fieldPath(join(at, "ids"), c.IDs)
	}
	if c.Batch < 1 || c.Batch > maxBatch {
		v.failf(join(at, "batch"), "found %d; allowed are 1 to %d", c.Batch, maxBatch)
	}
	v.statuses(join(at, "expired"), c.Expired)
	if v.Fetch.Report.Path == "" {
		v.failf(at, "needs fetch.report.path too: the first refresh asks for all")
	}
	if v.Stats.Kind == KindCount {
		v.failf(at, "has no use for stats of kind count: what changed would be added again")
	}
}

// changesPath checks what a request asks for, which differs by the first place.
func (v *validator) changesPath(at, path string, places ...string) {
	if path == "" {
		v.failf(at, "missing")
		return
	}
	v.path(at, path, places...)
	if !strings.Contains(path, places[0]) {
		v.failf(at, "lacks %s", places[0])
	}
}

func (c *Changes) explain() string {
	if c.IDs == "" {
		return fmt.Sprintf("asks %s whether anything changed, and then for all", c.Path)
	}
	return fmt.Sprintf("asks %s what changed, and then for those alone, %d at a time: %s", c.Path, c.Batch, c.Report)
}
