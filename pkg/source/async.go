package source

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Async says how a report is had that the source makes first: it is created at
// report.path, asked after until it is done, and downloaded. What the source says
// of it is JSON.
type Async struct {
	Method   string        `yaml:"method"`   // of the request that creates a report, at report.path: POST or GET; default POST
	Body     string        `yaml:"body"`     // of that request; {account}, {from} and {to} are filled in. JSON if it begins with { or [, else a form
	ID       string        `yaml:"id"`       // path of the report's id in the answer
	Poll     string        `yaml:"poll"`     // what says how the report is; {id} and {account} are filled in
	Status   string        `yaml:"status"`   // path of the status in that answer
	Done     []string      `yaml:"done"`     // statuses of a report that can be downloaded
	Failed   []string      `yaml:"failed"`   // statuses of one that never can: another is created
	Every    time.Duration `yaml:"every"`    // between polls; default 30s
	Timeout  time.Duration `yaml:"timeout"`  // so long after it was created another is; default 1h
	Attempts int           `yaml:"attempts"` // reports created for a slice at most; default 3
	Download string        `yaml:"download"` // where the report lies; {id} and {account} are filled in
	URL      string        `yaml:"url"`      // in place of download: path of its address in the answer that says done
	Delete   string        `yaml:"delete"`   // asked with DELETE when delta has all of it; absent: it stays
}

// Asks is all that requests for a report may differ by.
func (r Report) Asks() string {
	if r.Async == nil {
		return r.Path
	}
	return r.Path + r.Async.Body
}

// JSON reports whether the body is JSON, and not a form.
func (a *Async) JSON() bool {
	return strings.HasPrefix(a.Body, "{") || strings.HasPrefix(a.Body, "[")
}

const (
	shortestPoll    = time.Second
	longestPoll     = time.Hour
	longestReport   = 7 * 24 * time.Hour
	mostReports     = 20
	defaultPoll     = 30 * time.Second
	defaultReport   = time.Hour
	defaultAttempts = 3
)

func (v *validator) asyncDefaults() {
	if a := v.Fetch.Report.Async; a != nil {
		setDefault(&a.Method, http.MethodPost)
		setDefault(&a.Every, defaultPoll)
		setDefault(&a.Timeout, defaultReport)
		setDefault(&a.Attempts, defaultAttempts)
	}
}

// async checks that each step has what it needs.
func (v *validator) async() {
	a := v.Fetch.Report.Async
	if a == nil {
		return
	}
	const at = "fetch.report.async"
	v.oneOf(join(at, "method"), a.Method, http.MethodPost, http.MethodGet)
	v.asyncBody(join(at, "body"), a)
	v.fieldPath(join(at, "id"), a.ID)
	v.idPath(join(at, "poll"), a.Poll)
	v.fieldPath(join(at, "status"), a.Status)
	if len(a.Done) == 0 {
		v.failf(join(at, "done"), "missing; it lists the statuses of a report that can be downloaded")
	}
	v.asyncTimes(a)
	switch {
	case (a.Download == "") == (a.URL == ""):
		v.failf(at, "needs download or url, and not both")
	case a.URL != "":
		v.fieldPath(join(at, "url"), a.URL)
	default:
		v.idPath(join(at, "download"), a.Download)
	}
	if a.Delete != "" {
		v.idPath(join(at, "delete"), a.Delete)
	}
	if v.Fetch.Report.Path == "" {
		v.failf(at, "needs fetch.report.path too: a report is created there")
	}
	if v.Fetch.Pages != nil {
		v.failf(at, "has no use for fetch.pages: a report is one document")
	}
	if v.Fetch.Poll != nil {
		v.failf(at, "has no use for fetch.poll: a report that is made first says nothing of now")
	}
}

func (v *validator) asyncTimes(a *Async) {
	const at = "fetch.report.async"
	if a.Every < shortestPoll || a.Every > longestPoll {
		v.failf(join(at, "every"), "found %s; allowed are 1s to 1h", a.Every)
	}
	if a.Timeout < a.Every || a.Timeout > longestReport {
		v.failf(join(at, "timeout"), "found %s; allowed are every (%s) to 168h", a.Timeout, a.Every)
	}
	if a.Attempts < 1 || a.Attempts > mostReports {
		v.failf(join(at, "attempts"), "found %d; allowed are 1 to %d", a.Attempts, mostReports)
	}
}

// place is a name in braces, which no JSON has.
var place = regexp.MustCompile(`\{[A-Za-z_]*\}`)

func (v *validator) asyncBody(at string, a *Async) {
	if a.Body == "" {
		return
	}
	v.literal(at, a.Body)
	if a.Method == http.MethodGet {
		v.failf(at, "has no use: a GET has none")
	}
	bare := variable.ReplaceAllString(a.Body, "1")
	v.onlyPlaces(at, place.FindAllString(bare, -1), "{from}", "{to}")
	if a.JSON() && !json.Valid([]byte(place.ReplaceAllString(bare, "1"))) {
		v.failf(at, "found %s; it begins as JSON, and is none", found(a.Body))
	}
}

// idPath checks what a request about one report asks for.
func (v *validator) idPath(at, path string) {
	if path == "" {
		v.failf(at, "missing")
		return
	}
	v.requestPath(at, path, "{id}")
	if !strings.Contains(path, "{id}") {
		v.failf(at, "lacks {id}")
	}
}

func (a *Async) explain() string {
	text := fmt.Sprintf("the source makes a report first: it is created with %s, asked after every %s (%s) until %s says %s, downloaded from %s",
		a.Method, a.Every, a.Poll, a.Status, strings.Join(a.Done, " or "), orElse(a.Download, "the address at "+a.URL))
	if a.Delete != "" {
		text += ", and deleted (" + a.Delete + ")"
	}
	text += "\n  another is created where " + orElse(strings.Join(a.Failed, " or "), "nothing") + " is said instead, or it takes longer than " + a.Timeout.String() +
		": " + count(a.Attempts, "report") + " at most"
	return text
}
