package source

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/redact"
)

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// validator checks a decoded source and derives what is compiled of it.
type validator struct {
	*decoder
	*Source

	prefix    string            // of the paths: "feeds.tickets." within a feed
	unread    map[string]bool   // paths that could not be decoded: what they lack is no further problem
	described map[string]string // path of the object rule that describes a type
}

// newValidator returns the validator of what d has decoded into s.
func newValidator(d *decoder, s *Source) *validator {
	v := &validator{decoder: d, Source: s, unread: map[string]bool{}, described: map[string]string{}}
	for _, p := range d.problems {
		v.unread[p.Path] = true
	}
	for _, path := range d.meant {
		v.unread[path] = true
	}
	return v
}

// failf notes a problem, unless the setting or one around it could not be read.
func (v *validator) failf(path, format string, args ...any) {
	path = v.prefix + path
	for outer := path; ; outer = around(outer) {
		if v.unread[outer] {
			return
		}
		if outer == "" {
			break
		}
	}
	v.decoder.failf(path, format, args...)
}

func (v *validator) validate() {
	v.name("source", v.Name)
	v.zones()
	v.reached()
	v.lookups()
	v.numbers()
	v.dates()
	v.oneOf("stats.kind", v.Stats.Kind, KindTotal, KindHour, KindCount)
	v.oneOf("stats.absent", v.Stats.Absent, AbsentKeep, AbsentZero)
	if v.Stats.Kind == KindCount && v.Stats.Absent == AbsentZero {
		v.failf("stats.absent", "found \"zero\"; events of kind count only add, so it must be keep")
	}
	parts := []*validator{v}
	if v.has("feeds") {
		parts = v.feeds()
		v.rank()
	} else {
		v.asked()
	}
	for _, part := range parts {
		part.ruleNames()
	}
	v.rollup()
	v.schedule()
}

// reached checks how the source is reached.
func (v *validator) reached() {
	v.http()
	v.auth("http.auth", v.HTTP.Auth)
	if v.HTTP.Auth.PerAccount() && len(v.Accounts) == 0 {
		v.failf("http.auth", "holds {account}; the source has no accounts")
	}
	v.rate("http.rate", v.HTTP.Rate)
}

// asked checks what is asked, and what the answers hold.
func (v *validator) asked() {
	v.based()
	v.report()
	v.changes()
	v.pages()
	v.errorRules()
	v.form()
	v.records()
	v.stream()
	v.poll()
}

// based checks that there is an address which the paths are relative to.
func (v *validator) based() {
	switch {
	case v.HTTP.BaseURL != "":
	case v.Fetch.Report.Path != "":
		v.failf("http.base_url", "missing; fetch.report.path is relative to it")
	case v.Fetch.Stream != nil:
		v.failf("http.base_url", "missing; fetch.stream.path is relative to it")
	}
}

// name checks a name that is used in keys, columns and documents.
func (v *validator) name(path, name string) {
	switch {
	case name == "" && !v.has(path):
		v.failf(path, "missing")
	case !namePattern.MatchString(name):
		v.failf(path, "found %s; a name has letters, digits and _, begins with a letter or _, and is at most 63 long", found(name))
	}
}

// has reports whether the file says something at path.
func (v *validator) has(path string) bool {
	_, ok := v.at[v.prefix+path]
	return ok
}

func (v *validator) names(path string, names []string) {
	for i, n := range names {
		v.name(index(path, i), n)
	}
}

func (v *validator) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.failf(path, "found %s; %s", found(value), oneOf(value, allowed))
	}
}

// zones checks the accounts and loads the time zones.
func (v *validator) zones() {
	v.compiled.zone = v.location("timezone", v.Timezone)
	v.compiled.zones = make(map[string]*time.Location, len(v.Accounts))
	for i, a := range v.Accounts {
		path := join("accounts", a.Name)
		if !v.has(path) {
			path = index("accounts", i)
		}
		if a.Name == "" || len(a.Name) > 200 || strings.TrimSpace(a.Name) != a.Name || strings.ContainsFunc(a.Name, unicode.IsControl) {
			v.failf(path, "found %s; an account has 1 to 200 bytes, no control characters, and no blanks around it", found(a.Name))
		}
		v.compiled.zones[a.Name] = v.compiled.zone
		if a.Timezone != v.Timezone {
			v.compiled.zones[a.Name] = v.location(path+".timezone", a.Timezone)
		}
	}
}

func (v *validator) location(path, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		v.failf(path, "found %s; it must be the name of a time zone, such as Europe/Berlin or UTC", found(name))
		return time.UTC
	}
	return zone
}

var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// http checks base_url, as far as that can be done without its variables.
func (v *validator) http() {
	for i, host := range v.HTTP.Hosts {
		v.host(index("http.hosts", i), host)
	}
	base := v.HTTP.BaseURL
	if base == "" {
		return
	}
	plain := variable.ReplaceAllString(base, "1")
	if strings.ContainsAny(plain, "${}") {
		v.failf("http.base_url", "found %s; a variable of the environment is written ${NAME}, and other braces are not allowed", found(base))
		return
	}
	if strings.HasPrefix(base, "${") {
		return // it may hold all of the address
	}
	v.literal("http.base_url", base)
	u, err := url.Parse(plain)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		v.failf("http.base_url", "found %s; it must be an address such as https://api.example.com/v1, without ? and #", found(base))
	}
}

// literal refuses a secret that stands in the file: each version of the file is
// kept in PostgreSQL, where every stage reads it.
func (v *validator) literal(path, text string) {
	bare := placeholder.ReplaceAllString(variable.ReplaceAllString(text, ""), "")
	bare = strings.ReplaceAll(bare, ":@", "@") // the password was a variable
	if hidden := redact.Text(bare); hidden != bare {
		v.failf(path, "a password or token stands in the file (found %q); write it as ${NAME}, and put it into fetch's environment", hidden)
	}
}

func (v *validator) report() {
	r := v.Fetch.Report
	v.oneOf("fetch.report.format", r.Format, formatJSON, formatNDJSON, formatCSV, formatTSV)
	v.oneOf("fetch.report.encoding", r.Encoding, encodingUTF8, encodingUTF16, encodingLatin1)
	if r.Path != "" {
		v.requestPath("fetch.report.path", r.Path, "{from}", "{to}")
		v.account("fetch.report.path", r.Asks())
		v.slice(r.Asks())
	}
	v.async()
	if r.Since == "" {
		return
	}
	if day, err := metric.ParseDay(r.Since); err != nil || day < metric.DayOf(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
		v.failf("fetch.report.since", "found %s; it must be a day such as 2026-01-31, not before 2000-01-01", found(r.Since))
	}
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// path checks what a request asks for: an account of each account, and what else
// may be filled in.
func (v *validator) path(at, path string, others ...string) {
	v.requestPath(at, path, others...)
	v.account(at, path)
}

// requestPath checks what is filled in, and that the rest is a path.
func (v *validator) requestPath(at, path string, others ...string) {
	v.literal(at, path)
	path = variable.ReplaceAllString(path, "")
	v.onlyPlaces(at, placeholder.FindAllString(path, -1), others...)
	if strings.ContainsAny(placeholder.ReplaceAllString(path, ""), "{}") {
		v.failf(at, "found %s; a brace stands alone", found(path))
	}
	if !strings.HasPrefix(path, "/") {
		v.failf(at, "found %s; it must begin with /", found(path))
	}
}

// onlyPlaces checks what stands in braces: the account, or another that is allowed.
func (v *validator) onlyPlaces(at string, there []string, others ...string) {
	allowed := append([]string{"{account}"}, others...)
	for _, p := range there {
		if !slices.Contains(allowed, p) {
			v.failf(at, "found %s; %s", p, oneOf(p, allowed))
		}
	}
}

// account checks that a request differs by its account, if there are any.
func (v *validator) account(at, path string) {
	account := strings.Contains(path, "{account}")
	switch {
	case account && len(v.Accounts) == 0:
		v.failf(at, "found {account}; the source has no accounts")
	case !account && len(v.Accounts) > 0:
		v.failf(at, "lacks {account}; every account would get the same answer")
	}
}

// slice checks that requests for some days each differ: by both their days, or
// by either where they are the same.
func (v *validator) slice(path string) {
	slice, from, to := v.Fetch.Report.Slice, strings.Contains(path, "{from}"), strings.Contains(path, "{to}")
	switch {
	case slice > 0 && !from && !to:
		v.failf("fetch.report.slice", "has no use: the path has neither {from} nor {to}")
	case slice > 1 && !(from && to):
		v.failf("fetch.report.slice", "found %dd; the path lacks {from} or {to}, so a slice must be 1d", slice)
	}
}

// rollup checks that what the documents break down and sum up is there.
func (v *validator) rollup() {
	var dimensions, metrics []string
	open := false
	for _, t := range v.types {
		for _, stat := range t.stats {
			dimensions = append(dimensions, stat.Dimensions...)
			metrics = append(metrics, stat.Metrics.Names...)
			open = open || stat.Metrics.All
		}
	}
	for i, d := range v.Rollup.Dimensions {
		if !slices.Contains(dimensions, d) {
			v.failf(index("rollup.dimensions", i), "found %s, which no stat rule has as a dimension; %s", found(d), oneOf(d, unique(dimensions)))
		}
	}
	for i, m := range v.Rollup.NotSummed {
		path := index("rollup.not_summed", i)
		if !open && !slices.Contains(metrics, m) {
			v.failf(path, "found %s, which no stat rule has as a metric; %s", found(m), oneOf(m, unique(metrics)))
			continue
		}
		v.name(path, m)
	}
}

// unique sorts words and drops those that stand twice.
func unique(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return slices.Compact(words)
}
