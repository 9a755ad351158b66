// Package redact takes secrets out of text that people read: logs, errors, dead
// letters, pages.
//
// It knows them by their form (the password of a URL, token=…, an Authorization
// header), and by their value, once Secret was told of it.
package redact

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// What looks like a secret: the password of a URL, which may have a space in it
// where the URL is quoted; name=value pairs as in queries and connection strings;
// what a header shows. No pattern leaves a quoted string, so that a JSON line
// stays one.
var (
	urlPassword = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@"]*:)(?:[^\s"\\]|\\.)*@|` +
		`("[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@"]*:)(?:[^"\\]|\\.)*@`)
	namedSecret = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|api_?key)=)[^\s&"'\\]+`)
	header      = regexp.MustCompile(`(?i)(authorization[\\"']{0,3}\s*[:=]\s*\[?[\\"']{0,3}(?:[a-z]+ +)?)[^\s"'\\,\]]+`)
)

// What stands where a secret was.
const mask = "xxxxx"

// shortest is the length of the shortest value that Secret takes: what is
// shorter is no secret, and stands in every other word.
const shortest = 6

// values are what Secret was told of.
type values struct {
	spellings []string // the longest first
	replacer  *strings.Replacer
}

var (
	mu    sync.Mutex // of those who change known
	known atomic.Pointer[values]
)

// Secret has Text leave out a value from now on, however a URL, JSON or Go spells it.
func Secret(value string) {
	if len(value) < shortest {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	all := spellings(value)
	if before := known.Load(); before != nil {
		if slices.Contains(before.spellings, value) {
			return
		}
		all = append(all, before.spellings...)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	all = slices.Compact(all)
	pairs := make([]string, 0, 2*len(all))
	for _, spelling := range all {
		pairs = append(pairs, spelling, mask)
	}
	known.Store(&values{all, strings.NewReplacer(pairs...)})
}

func spellings(value string) []string {
	quoted := strconv.Quote(value)
	all := []string{
		value, url.QueryEscape(value), url.PathEscape(value),
		strings.TrimPrefix(url.UserPassword("", value).String(), ":"), quoted[1 : len(quoted)-1],
	}
	if text, err := json.Marshal(value); err == nil {
		all = append(all, string(text[1:len(text)-1]))
	}
	return all
}

// Text returns text, a URL or anything with URLs in it, without the secrets.
func Text(text string) string {
	if k := known.Load(); k != nil {
		text = k.withoutPiece(k.replacer.Replace(text))
	}
	if strings.Contains(text, "://") {
		text = urlPassword.ReplaceAllString(text, "${1}${2}"+mask+"@")
	}
	if strings.Contains(text, "=") {
		text = namedSecret.ReplaceAllString(text, "${1}"+mask)
	}
	return header.ReplaceAllString(text, "${1}"+mask)
}

// withoutPiece takes the beginning of a secret off the end of text, which may have
// been cut there.
func (k *values) withoutPiece(text string) string {
	for _, spelling := range k.spellings {
		for n := min(len(spelling)-1, len(text)); n >= shortest; n-- {
			if strings.HasSuffix(text, spelling[:n]) {
				return text[:len(text)-n] + mask
			}
		}
	}
	return text
}
