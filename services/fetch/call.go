package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
)

// A saying is what a source says of a report. It is small, and not kept.
type saying struct {
	from  *url.URL
	text  []byte
	asked time.Time // PostgreSQL's clock before
}

const longestSaying = 1 << 20

// String is for people.
func (s saying) String() string {
	return fmt.Sprintf("%s: %.300q", redact.Text(s.from.String()), redact.Text(string(s.text)))
}

// at is the text, number, true or false at a path; empty for none.
func (s saying) at(path string) string {
	d := json.NewDecoder(bytes.NewReader(s.text))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		inner, _ := value.(map[string]any)
		value = inner[name]
	}
	switch value.(type) {
	case string, json.Number, bool:
		return fmt.Sprint(value)
	}
	return ""
}

// address is where the saying says that a report lies.
func (s saying) address(path string, src *source.Source) (string, error) {
	ref := s.at(path)
	if ref == "" {
		return "", pipeline.Paced(fmt.Errorf("report: nothing is at %s (fetch.report.async.url) of %s", path, s))
	}
	text, err := resolve(s.from, ref, src)
	if err != nil {
		return "", pipeline.Permanent(fmt.Errorf("fetch.report.async.url: %w", err))
	}
	u, err := parseAddress(text)
	if err != nil {
		return "", err
	}
	return text, downloadable(u, src)
}

// call asks what a step of a report asks, and returns what the source says.
func (s *Stage) call(ctx context.Context, t task, method string, accepted ...int) (said saying, err error) {
	if said.from, err = address(t.slice, t.src); err != nil {
		return said, err
	}
	if err := s.await(ctx, t, said.from); err != nil {
		return said, err
	}
	defer s.release(ctx, t, said.from)
	if err := s.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&said.asked); err != nil {
		return said, postgres.Classify(err)
	}
	q := question{method: method, accepted: accepted, expired: gone(t)}
	if t.step() == event.ReportCreate {
		if q.body, err = q.bodyOf(t); err != nil {
			return said, err
		}
	}
	response, err := s.request(ctx, t, said.from, q)
	if err != nil {
		return said, err
	}
	defer response.Body.Close() //nolint:errcheck // what was read is all that counts
	if said.text, err = io.ReadAll(io.LimitReader(response.Body, longestSaying)); err != nil {
		return said, pipeline.Paced(fmt.Errorf("answer of %s: cut off after %d bytes: %w", redact.Text(said.from.String()), len(said.text), err))
	}
	return said, nil
}

// gone are the statuses that say that a report which was created is there no more.
func gone(t task) []string {
	if step := t.step(); step == event.ReportPoll || step == event.ReportDownload {
		return []string{"404", "410"}
	}
	return nil
}

// bodyOf fills in the body of the request that creates a report, and says in the
// header what it is.
func (q *question) bodyOf(t task) (string, error) {
	a := async(t.slice, t.src)
	if a.Body == "" {
		return "", nil
	}
	spell, kind := url.QueryEscape, "application/x-www-form-urlencoded"
	if a.JSON() {
		spell, kind = inJSON, "application/json"
	}
	text, err := expand("fetch.report.async.body", a.Body, spell)
	if err != nil {
		return "", pipeline.Permanent(fmt.Errorf("source %s: %w", t.src.Name, err))
	}
	q.header = map[string]string{"Content-Type": kind}
	return strings.NewReplacer("{account}", spell(t.slice.Account), "{from}", t.slice.From, "{to}", t.slice.To).Replace(text), nil
}

// inJSON is a text as it stands between the quotes of JSON.
func inJSON(text string) string {
	quoted, _ := json.Marshal(text) // a text is never refused
	return string(quoted[1 : len(quoted)-1])
}
