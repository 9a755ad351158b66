// Package event is the contract between the stages: every payload that crosses
// the broker, one struct a kind, and how it is written and read. A later version
// of a kind adds fields; it never renames or removes one that a stage may still
// read. What cannot be said so is the next kind, and the struct reads both.
package event

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/leatflow/leat/pkg/metric"
)

// The kinds of message, which are AMQP's type property. KindJob is also what a
// message without a type is taken for.
const (
	KindJob     = "leat.job.v1"
	KindSlice   = "leat.slice.v1"
	KindPart    = "leat.part.v2"
	KindChanges = "leat.changes.v2"
	KindUpdates = "leat.updates.v1"
)

// Kinds that are read and not written any more: encoding/json, by the tags of
// the structs.
const (
	kindPart1    = "leat.part.v1"
	kindChanges1 = "leat.changes.v1"
)

// A Slice is a piece of a job that fetch sends to itself: one request to the
// source. From and To are days in the source's (or account's) zone, inclusive.
type Slice struct {
	Source  string     `json:"source"`
	Version string     `json:"version"` // hash of the source file that the job runs under
	Account string     `json:"account,omitempty"`
	From    string     `json:"from,omitempty"`
	To      string     `json:"to,omitempty"`
	URL     string     `json:"url,omitempty"` // fetch this in place of the source's own address
	AsOf    *time.Time `json:"as_of,omitempty"`
	Refresh bool       `json:"refresh,omitempty"` // moves the cursor when its parts are done
	Feed    string     `json:"feed,omitempty"`    // of a source that has several
	Page    *Page      `json:"page,omitempty"`    // nil: the first, or the only one
	Since   *string    `json:"since,omitempty"`   // asks what changed since this cursor; empty: there is none yet
	All     bool       `json:"all,omitempty"`     // with since: only the cursor is wanted, everything is asked for anyway
	IDs     []string   `json:"ids,omitempty"`     // asks for these objects only
	Live    string     `json:"live,omitempty"`    // goes on, until another job has it
	Report  *Report    `json:"report,omitempty"`  // a report that the source makes first; nil: none was created yet
}

// A Report is one that the source makes, and how far it is.
type Report struct {
	Step    string    `json:"step"`             // what is asked now
	ID      string    `json:"id,omitempty"`     // the source's; there is none before it is created
	URL     string    `json:"url,omitempty"`    // where it lies, if the source says so
	Created time.Time `json:"created,omitzero"` // just before
	Try     int       `json:"try,omitempty"`    // reports before it that came to nothing
}

// The steps of a report.
const (
	ReportCreate   = "create"
	ReportPoll     = "poll"
	ReportDownload = "download"
	ReportDelete   = "delete"
)

// What a live slice does.
const (
	LiveStream = "stream" // it listens
	LivePoll   = "poll"   // it asks again and again
)

// A Page is one after the first of what a slice asks for.
type Page struct {
	N     int    `json:"n"`     // 2 is the second
	At    string `json:"at"`    // what it is asked with: a cursor, number, offset or address
	First string `json:"first"` // id of the slice that asked for the first
}

// Kind implements pipeline.Payload.
func (Slice) Kind() string { return KindSlice }

// A Part is up to about 1,000 records cut from one answer, in the answer's order.
// The tags are those of leat.part.v1.
type Part struct {
	Source     string    `json:"source"`
	Version    string    `json:"version"` // hash of the source file
	Account    string    `json:"account,omitempty"`
	Feed       string    `json:"feed,omitempty"` // of a source that has several
	Answer     int       `json:"answer"`         // n of the answer within the job
	Ordinal    int       `json:"ordinal"`        // of the part within the answer, from 0
	ObservedAt time.Time `json:"observed_at"`    // when the answer was true, plus Ordinal microseconds: a later row of an answer is newer than an earlier one
	Objects    []Object  `json:"objects"`        // parents before their children, each object once
	Stats      []Stat    `json:"stats,omitempty"`
	Rejected   int       `json:"rejected,omitempty"` // records refused since the part before, all of them in rejects already
}

// Kind implements pipeline.Payload.
func (Part) Kind() string { return KindPart }

// AnswerAt is when the whole answer was true.
func (p Part) AnswerAt() time.Time {
	return p.ObservedAt.Add(-time.Duration(p.Ordinal) * time.Microsecond)
}

// An Object is one that a record describes, or one that is only named as the
// parent of another.
type Object struct {
	Type      string `json:"t"`
	Key       string `json:"k"`
	Parent    int    `json:"p,omitempty"` // 1 + index in Objects; 0: a described object has no parent, that of a named one is not known
	Described bool   `json:"d,omitempty"` // a record says what Parent, Name and Attrs are
	Name      string `json:"n,omitempty"`
	// Attrs is a JSON object with sorted keys and plain numbers (no exponent, no
	// minus zero), so that equal attributes have equal bytes. Nil for none.
	Attrs json.RawMessage `json:"a,omitempty"`
}

// A Stat is the metrics of one object for one day (and hour) and one
// combination of dimensions.
type Stat struct {
	Object  int        `json:"o"` // index in Objects
	Day     metric.Day `json:"day"`
	Hour    *int       `json:"h,omitempty"`    // of the local clock, 0 to 24 (24: the second pass of an hour that comes twice); kinds hour and count
	Rule    string     `json:"rule,omitempty"` // of the stat rule, where a type has several
	Dims    string     `json:"dims,omitempty"` // canonical: country=DE,os=ios
	Metrics metric.Set `json:"m"`              // zeros absent
	ID      string     `json:"id,omitempty"`   // of the event; kind count
}

// Changes says which objects are different since a message: what delta wrote,
// or annotate after it. The tags are those of leat.changes.v1.
type Changes struct {
	Source  string   `json:"source"`
	Version string   `json:"version"`
	Objects []Change `json:"objects"`
	Try     int      `json:"try,omitempty"` // of annotate, which tries again what it could not say
}

// Kind implements pipeline.Payload.
func (Changes) Kind() string { return KindChanges }

// A Change is what is different about one object.
type Change struct {
	ID    int64        `json:"id"`
	New   bool         `json:"new,omitempty"`   // first written now, as described
	Self  bool         `json:"self,omitempty"`  // name, attributes, parent or tags differ
	Above bool         `json:"above,omitempty"` // an ancestor differs: its tags may
	Moved bool         `json:"moved,omitempty"` // its parent differs, and was From
	From  int64        `json:"from,omitempty"`  // 0: it had no parent
	Days  []metric.Day `json:"days,omitempty"`  // whose stats differ
}

// Updates says which documents were written: one message a bulk, in the stream
// leat.feed. They come at least once; a reader drops an update whose rev is not
// above the last that it saw of that document.
type Updates struct {
	Documents []Update `json:"documents"`
}

// Kind implements pipeline.Payload.
func (Updates) Kind() string { return KindUpdates }

// An Update is one document's.
type Update struct {
	Source string                     `json:"source"`
	ID     string                     `json:"id"` // the document's _id
	Rev    int64                      `json:"rev"`
	Name   string                     `json:"name"`
	Gone   bool                       `json:"gone,omitempty"` // the document is no more
	Days   map[string]json.RawMessage `json:"days,omitempty"` // the sums of the days that differ; empty: the day has none left
}

// AppendJSON implements pipeline.Appender. The text is what encoding/json writes,
// but for what it escapes.
func (u Updates) AppendJSON(b []byte) ([]byte, error) {
	size := 20
	for i := range u.Documents {
		size += u.Documents[i].size()
	}
	b = append(slices.Grow(b, size), `{"documents":[`...)
	for i := range u.Documents {
		if i > 0 {
			b = append(b, ',')
		}
		b = u.Documents[i].append(b)
	}
	return append(b, "]}"...), nil
}

// size estimates the text's.
func (u *Update) size() int {
	n := 80 + len(u.Source) + len(u.ID) + len(u.Name)
	for _, sums := range u.Days {
		n += 20 + len(sums)
	}
	return n
}

func (u *Update) append(b []byte) []byte {
	b = appendString(append(b, `{"source":`...), u.Source)
	b = appendString(append(b, `,"id":`...), u.ID)
	b = strconv.AppendInt(append(b, `,"rev":`...), u.Rev, 10)
	b = appendString(append(b, `,"name":`...), u.Name)
	if u.Gone {
		b = append(b, `,"gone":true`...)
	}
	if len(u.Days) == 0 {
		return append(b, '}')
	}
	next := byte('{')
	b = append(b, `,"days":`...)
	for _, day := range slices.Sorted(maps.Keys(u.Days)) {
		b = append(appendString(append(b, next), day), ':')
		b = append(b, u.Days[day]...)
		next = ','
	}
	return append(b, "}}"...)
}
