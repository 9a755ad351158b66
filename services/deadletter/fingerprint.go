package deadletter

import (
	"regexp"
	"strings"

	"github.com/leatflow/leat/pkg/pipeline"
)

// varying is what differs between two errors of one cause, in the order in which
// it is taken out: an address may hold a date, a date holds numbers.
var varying = []struct {
	found *regexp.Regexp
	as    string
}{
	{regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://[^\s"'<>]+`), "URL"},
	{regexp.MustCompile(`"(?:[^"\\]|\\.)*"`), `"…"`},
	{regexp.MustCompile("`[^`]*`"), "`…`"},
	{regexp.MustCompile(`(^|[\s(=:,])'[^']*'`), "$1'…'"},
	{regexp.MustCompile(`(^|[\s(=:,\[])(?:/[^\s/:;,()\[\]]+){2,}`), "${1}PATH"},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "ID"},
	{regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?`), "TIME"},
	{regexp.MustCompile(`(?i)\b(?:0x[0-9a-f]+|[0-9a-f]{16,})\b`), "ID"},
	{regexp.MustCompile(`[+-]?\d+(?:[.,:]\d+)*`), "N"},
	{regexp.MustCompile(`\s+`), " "},
}

// Shape is an error without what differs from message to message: ids, numbers,
// quoted values, dates, paths and addresses.
func Shape(text string) string {
	for _, v := range varying {
		text = v.found.ReplaceAllString(text, v.as)
	}
	return strings.TrimSpace(text)
}

// fingerprint is the same for deaths of the same cause: in one stage, of one
// class, with one shape of error.
func fingerprint(stage, class, text string) string {
	return pipeline.Hash("dead letter", stage, class, Shape(text))[:16]
}
