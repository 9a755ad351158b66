package fetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatflow/leat/pkg/metric"
)

// The modes of a job.
const (
	ModeRefresh  = "refresh"
	ModeBackfill = "backfill"
	ModeFull     = "full"
	ModeURL      = "url" // of a job that names a document; not a word of the job itself
)

// A Job is a wish to fetch a source: the message that a person writes.
type Job struct {
	Source   string `json:"source"`
	Account  string `json:"account,omitempty"`
	Feed     string `json:"feed,omitempty"` // of a source that has several; none: all
	Mode     string `json:"mode,omitempty"` // refresh, backfill or full
	From     string `json:"from,omitempty"` // days in the source's zone, inclusive
	To       string `json:"to,omitempty"`
	URL      string `json:"url,omitempty"`      // fetch this document in place of the source's own address
	AsOf     string `json:"as_of,omitempty"`    // RFC 3339: when it was true, if not now
	Callback string `json:"callback,omitempty"` // kept with the job
	ID       string `json:"id,omitempty"`       // the sender's own; the same id within a source is the same job
}

const (
	maxJob = 64 << 10
	maxID  = 200
)

// ParseJob reads a job. Its errors name the field, what was found, and what is allowed.
func ParseJob(body []byte) (Job, error) {
	var j Job
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return j, errors.New(`the body is empty; a job is a JSON object such as {"source":"ads"}`)
	case len(body) > maxJob:
		return j, fmt.Errorf("the body has %d bytes; a job has at most %d", len(body), maxJob)
	case !utf8.Valid(body):
		return j, fmt.Errorf(`the body is not text (it begins with %.20q); a job is a JSON object such as {"source":"ads"}`, body)
	}
	if err := checkNames(body); err != nil {
		return j, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return j, explainJSON(err, body)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return j, errors.New("there is more after the JSON object; a message holds one job")
	}
	return j, j.validate()
}

// checkNames refuses what encoding/json lets pass: a field that differs in case
// only, and a field given twice. What is no object is for the decoder to refuse.
func checkNames(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil //nolint:nilerr // the decoder says it better
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil //nolint:nilerr // the decoder says it better
		}
		switch {
		case !slices.Contains(strings.Split(fields, ", "), name):
			return fmt.Errorf("unknown field %q; a job has %s", name, fields)
		case seen[name]:
			return fmt.Errorf("%s is given twice", name)
		}
		seen[name] = true
	}
	return nil
}

const fields = "source, account, feed, mode, from, to, url, as_of, callback, id"

// explainJSON says what is wrong in words of the job.
func explainJSON(err error, body []byte) error {
	var wrong *json.UnmarshalTypeError
	switch name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); {
	case unknown:
		return fmt.Errorf("unknown field %s; a job has %s", name, fields)
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%s: found %s, a text is allowed", wrong.Field, article(wrong.Value))
	case errors.As(err, &wrong):
		return fmt.Errorf(`found a JSON %s; a job is a JSON object such as {"source":"ads"}`, wrong.Value)
	}
	return fmt.Errorf(`not JSON (%w; the body begins with %.40q); a job is a JSON object such as {"source":"ads"}`, err, body)
}

func article(kind string) string {
	if strings.HasPrefix(kind, "array") || strings.HasPrefix(kind, "object") {
		return "an " + kind
	}
	return "a " + kind
}

// schemes begin the addresses that a job may name.
var schemes = []string{"http://", "https://", "file://", archived}

func (j Job) validate() error {
	switch {
	case j.Source == "":
		return errors.New("source is missing; it names a file in the folder of sources")
	case j.Mode != "" && j.Mode != ModeRefresh && j.Mode != ModeBackfill && j.Mode != ModeFull:
		return fmt.Errorf("mode: found %q; allowed are refresh, backfill and full", j.Mode)
	case len(j.ID) > maxID:
		return fmt.Errorf("id: %d bytes; at most %d are allowed", len(j.ID), maxID)
	case j.URL != "" && (j.Mode != "" || j.From != "" || j.To != ""):
		return errors.New("url: a job for one document has no mode, from or to")
	case j.URL != "" && !slices.ContainsFunc(schemes, func(s string) bool { return strings.HasPrefix(j.URL, s) }):
		return fmt.Errorf("url: found %q; %s are allowed", j.URL, strings.Join(schemes, ", "))
	case strings.HasPrefix(j.URL, archived) && !pastPattern.MatchString(j.URL):
		return fmt.Errorf("url: found %q; an answer of the past is archive://HASH, of 64 hex digits, or archive://JOB/N, of the job's id and the answer's number", j.URL)
	case (j.From != "" || j.To != "") && j.Mode != ModeBackfill:
		return errors.New(`from, to: only a job of mode "backfill" has days`)
	}
	for _, field := range [][2]string{{"source", j.Source}, {"account", j.Account}, {"feed", j.Feed}, {"url", j.URL}, {"callback", j.Callback}, {"id", j.ID}} {
		if strings.ContainsRune(field[1], 0) {
			return fmt.Errorf("%s: %.40q holds a NUL character, which is not allowed", field[0], field[1])
		}
	}
	return j.validateTimes()
}

func (j Job) validateTimes() error {
	days := make(map[string]metric.Day, 2)
	for name, text := range map[string]string{"from": j.From, "to": j.To} {
		if text == "" {
			continue
		}
		d, err := metric.ParseDay(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		days[name] = d
	}
	from, hasFrom := days["from"]
	if to, hasTo := days["to"]; hasFrom && hasTo && from > to {
		return fmt.Errorf("from %s is after to %s", j.From, j.To)
	}
	if j.AsOf != "" {
		if _, err := j.asOf(); err != nil {
			return err
		}
	}
	return nil
}

// asOf returns when the job's answers were true, nil for now.
func (j Job) asOf() (*time.Time, error) {
	if j.AsOf == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, j.AsOf)
	switch {
	case err != nil:
		return nil, fmt.Errorf("as_of: %q is not a moment (2026-11-20T15:04:05Z)", j.AsOf)
	case t.After(time.Now().Add(time.Hour)):
		return nil, fmt.Errorf("as_of: %s is in the future", j.AsOf)
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t, nil
}

// mode is the job's mode in the table of jobs.
func (j Job) mode() string {
	switch {
	case j.URL != "":
		return ModeURL
	case j.Mode == "":
		return ModeRefresh
	}
	return j.Mode
}

// The priorities of messages.
const (
	backfillPriority = 1
	usualPriority    = 5
)

// Priority is the job's messages': refreshes pass backfills.
func (j Job) Priority() uint8 {
	if j.mode() == ModeBackfill || j.mode() == ModeFull {
		return backfillPriority
	}
	return usualPriority
}
