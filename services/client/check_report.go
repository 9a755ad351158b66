package client

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/redact"
)

// Found says in a few words what the check came to.
func (c Checked) Found() string {
	switch {
	case c.Differences > 0:
		return fmt.Sprintf("%d differences", c.Differences)
	case len(c.Unchecked) > 0:
		return "no difference, but not all could be looked at"
	}
	return "all agrees"
}

// Write writes what the check came to, for people.
func (c Checked) Write(w io.Writer) {
	fmt.Fprintf(w, "%s: %d objects and %d documents compared in %.1f s\n", c.Found(), c.Objects, c.Documents, c.Seconds)
	if c.Passed > 0 {
		fmt.Fprintf(w, "%d more documents and tags differ and are on their way: annotate and rollup are about to write them\n", c.Passed)
	}
	if c.OpenJobs > 0 && c.Differences > 0 {
		fmt.Fprintf(w, "%d jobs are open: what they changed may still be on its way; check again when they are done\n", c.OpenJobs)
	}
	for _, r := range c.Repairs {
		fmt.Fprintf(w, "%s: leat job %s\n", r.What(), r.Job)
	}
	if c.Beyond > 0 {
		fmt.Fprintf(w, "%d of the differences are in the rows themselves, where no repair reaches\n", c.Beyond)
	}
	for _, text := range c.Unchecked {
		fmt.Fprintf(w, "not looked at: %s\n", text)
	}
}

// mostReported is how many differences a report names.
const mostReported = 100

// A Report is what is sent of a check. Its JSON is a contract.
type Report struct {
	Checked
	At    time.Time    `json:"-"`
	Err   error        `json:"-"`
	Error string       `json:"error,omitempty"` // why it could not look, or not to the end
	List  []Difference `json:"list"`            // the first hundred
}

// Add adds a difference.
func (r *Report) Add(d Difference) {
	if len(r.List) < mostReported {
		r.List = append(r.List, d)
	}
}

// quiet reports whether there is nothing that anybody has to hear of.
func (r Report) quiet() bool {
	return r.Err == nil && r.Differences == 0 && len(r.Unchecked) == 0
}

// text is the report as a letter.
func (r Report) text() string {
	var b strings.Builder
	if r.Err != nil {
		fmt.Fprintf(&b, "leat check could not look: %v\n", r.Err)
	} else {
		fmt.Fprint(&b, "leat check: ")
		r.Write(&b)
	}
	if len(r.List) > 0 {
		fmt.Fprintln(&b)
	}
	for _, d := range r.List {
		fmt.Fprintln(&b, d.Text)
	}
	if more := r.Differences - int64(len(r.List)); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return redact.Text(b.String())
}
