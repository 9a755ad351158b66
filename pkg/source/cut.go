package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
)

// An Answer is what a source said, as it lies in the archive.
type Answer struct {
	File       io.ReaderAt // the bytes as received: plain, gzip or zstd, which is noticed by the first of them
	Size       int64       // of File
	Format     string      // json (the default), ndjson, csv or tsv
	Encoding   string      // utf-8 (the default), utf-16 or latin-1; the source file's, which Cut fills in
	Hash       string      // of the bytes, in hex
	Account    string
	N          int       // of the answer within its job
	ObservedAt time.Time // when it was true: PostgreSQL's clock just before the request went out
	Now        time.Time // what the bounds on days are counted from; of the answer and not of the attempt, so that a second attempt cuts the same parts; zero: ObservedAt
	Temp       string    // folder for a decompressed copy, where JSON is nested and must be read out of its order; empty: the system's
	MaxSize    int64     // bytes, when decompressed; 0: any
}

// A Reject is a record that was refused.
type Reject struct {
	Position string // within the answer, where no other reject has it: "line 17", "campaigns[3].adgroups[0].ads[2].stats[1]"
	Reason   string // names the field, what was found and what is allowed
	Record   string // the raw text, at most 4 KiB of it, valid UTF-8 without NUL
}

// A FormError says that an answer is not what its format promises: broken JSON,
// HTML in place of JSON, an answer cut off in the middle, damaged gzip.
type FormError struct {
	Position string // "byte 1234", "line 1"
	Found    string
	Expected string
}

func (e *FormError) Error() string {
	return fmt.Sprintf("the answer, %s: found %s; expected %s", e.Position, e.Found, e.Expected)
}

func badForm(position, found, expected string) error {
	return &FormError{Position: position, Found: found, Expected: expected}
}

// The formats of an answer.
const (
	formatJSON   = "json"
	formatNDJSON = "ndjson"
	formatCSV    = "csv"
	formatTSV    = "tsv"
)

// Cut makes parts of an answer without holding it. It calls emit for each part
// with the records refused since the part before; a part without records only
// carries rejects (at the end, or where very many were refused in a row). The
// same answer gives the same parts to the byte. The parts are emit's to keep.
//
// An error about the answer's form is a *FormError: what was complete before it
// has been emitted. Errors of emit, of the file and of ctx are returned as they
// are, and nothing is emitted after them.
func (s *Source) Cut(ctx context.Context, a Answer, emit func(p event.Part, rejects []Reject) error) error {
	a.Format, a.Encoding = cmp.Or(a.Format, formatJSON), s.Fetch.Report.Encoding
	c, err := s.newCutter(ctx, a, emit)
	if err != nil {
		return err
	}
	in, err := openAnswer(ctx, a, a.Format == formatJSON && c.root.seeks())
	if err == nil {
		err = c.read(in)
		in.close()
	}
	return c.finish(err)
}

// A cutter is one call of Cut.
type cutter struct {
	ctx    context.Context
	answer Answer
	kind   string // of the stats
	zone   *time.Location
	table  *Table
	number *numberForm // nil: as usual
	forms  []dateForm  // none: the usual two
	first  metric.Day  // the bounds on days
	last   metric.Day
	oldest metric.Day // event that is still counted
	root   *level
	parts  *parter
	scratch

	// What the element in hand is: where it stands, its raw text, and what came of it.
	position func() string
	raw      []byte
	record   func() []byte // reads the raw text where raw is nil
	refused  []refusal
	objects  []*node
	stats    []ownStat
}

// scratch is memory that is used again, and values that return.
type scratch struct {
	key, name, attrs, part []byte
	days                   map[string]metric.Day
	dims                   map[string]string
	metrics                []metric.Metric // the chunk that sets are cut from
}

// A refusal is why an element gives nothing for one of its rules.
type refusal struct {
	rule   *rulePlan
	reason string
	object bool // the object is refused, not only its stat
}

const (
	daysAhead    = 400 // a day may be so far in the future
	daysOfEvents = 7   // the ids of events are kept so long after their day
)

var firstDay = metric.DayOf(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))

func (s *Source) newCutter(ctx context.Context, a Answer, emit func(event.Part, []Reject) error) (*cutter, error) {
	root, err := s.plan()
	if err != nil {
		return nil, err
	}
	c := &cutter{ctx: ctx, answer: a, kind: cmp.Or(s.Stats.Kind, KindTotal), zone: s.Location(a.Account), table: &s.Fetch.Report.Table, number: s.Numbers.form(), forms: s.forms, root: root}
	if c.zone == nil {
		c.zone = time.UTC
	}
	now := a.Now
	if now.IsZero() {
		now = a.ObservedAt
	}
	today := metric.DayOf(now.In(c.zone))
	c.first, c.last, c.oldest = firstDay, today+daysAhead, today-daysOfEvents
	c.days, c.dims = map[string]metric.Day{}, map[string]string{}
	c.parts = newParter(event.Part{Source: s.Name, Version: s.Hash, Account: a.Account, Feed: s.feed, Answer: a.N, ObservedAt: a.ObservedAt}, emit)
	return c, nil
}

// read takes the records out of an opened answer.
func (c *cutter) read(in *input) error {
	switch c.answer.Format {
	case formatJSON:
		return c.readJSON(in)
	case formatNDJSON:
		return c.readLines(in)
	case formatCSV:
		return c.readTable(in, c.table.separator(','))
	case formatTSV:
		return c.readTable(in, c.table.separator('\t'))
	default:
		return fmt.Errorf("format %s: allowed: %s, %s, %s, %s", found(c.answer.Format), formatJSON, formatNDJSON, formatCSV, formatTSV)
	}
}

// finish emits what is left. Of an answer that broke off, the object in hand is
// left out: it may not be whole.
func (c *cutter) finish(err error) error {
	var broken *FormError
	switch {
	case err == nil:
		return c.parts.finish(c.ctx)
	case errors.As(err, &broken):
		if err := c.parts.abandon(c.ctx); err != nil {
			return err
		}
		return broken
	default:
		return err
	}
}
