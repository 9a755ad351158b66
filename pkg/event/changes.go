package event

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/leatflow/leat/pkg/metric"
)

// The text of changes has an array for each object: its id, what is different
// as a sum of the bits below, the parent that it had, and its days since first,
// which comes before.
//
//	{"source":"ads","version":"…","first":"2026-11-14","objects":[[17,2,0,0,1],[18,8,16]]}
//
// What is zero at an array's end is left out, and so is "try" where it is 0.
const (
	isNew = 1 << iota
	isSelf
	isAbove
	isMoved
	allBits = 1<<iota - 1
)

const maxTry = 1000 // more than annotate ever counts to

// AppendJSON implements pipeline.Appender.
func (c Changes) AppendJSON(b []byte) ([]byte, error) {
	days, first := 0, lastDay
	for i := range c.Objects {
		days += len(c.Objects[i].Days)
		for _, d := range c.Objects[i].Days {
			first = min(first, d)
		}
	}
	b = slices.Grow(b, 100+len(c.Source)+len(c.Version)+30*len(c.Objects)+4*days)
	b = appendString(append(b, `{"source":`...), c.Source)
	b = appendString(append(b, `,"version":`...), c.Version)
	if days > 0 {
		b = appendString(append(b, `,"first":`...), first.String())
	}
	if c.Try > 0 {
		b = strconv.AppendInt(append(b, `,"try":`...), int64(c.Try), 10)
	}
	b = append(b, `,"objects":[`...)
	for i := range c.Objects {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.Objects[i].append(b, first)
	}
	return append(b, "]}"...), nil
}

func (c *Change) append(b []byte, first metric.Day) []byte {
	bits := number(c.New)*isNew | number(c.Self)*isSelf | number(c.Above)*isAbove | number(c.Moved)*isMoved
	b = strconv.AppendInt(append(b, '['), c.ID, 10)
	b = strconv.AppendInt(append(b, ','), bits, 10)
	if c.From != 0 || len(c.Days) > 0 {
		b = strconv.AppendInt(append(b, ','), c.From, 10)
	}
	for _, d := range c.Days {
		b = strconv.AppendInt(append(b, ','), int64(d-first), 10)
	}
	return append(b, ']')
}

// Reads implements pipeline.Reader.
func (*Changes) Reads(kind string) bool { return kind == KindChanges || kind == kindChanges1 }

// ReadJSON implements pipeline.Reader.
func (c *Changes) ReadJSON(kind string, body []byte) error {
	if kind == kindChanges1 {
		return json.Unmarshal(body, c)
	}
	r := changesReader{scanner: newScanner(body), changes: c}
	return r.object(r.read)
}

type changesReader struct {
	scanner
	changes *Changes
	first   metric.Day
	days    []metric.Day // all objects' are cut from it
}

func (r *changesReader) read(field string) {
	switch field {
	case "source":
		r.changes.Source = strings.Clone(r.string())
	case "version":
		r.changes.Version = strings.Clone(r.string())
	case "first":
		r.first = r.day()
	case "try":
		r.changes.Try = r.index("try", maxTry+1)
	case "objects":
		r.readObjects()
	default:
		r.value(0) // a later version's
	}
}

// readObjects makes room for all at once: every object begins with a bracket,
// and before every day there is a comma.
func (r *changesReader) readObjects() {
	rest := r.text[r.at:]
	objects := min(strings.Count(rest, "["), len(rest)/len("[1,0]"))
	r.changes.Objects = make([]Change, 0, objects)
	r.days = make([]metric.Day, 0, strings.Count(rest, ","))
	r.list(func() { r.changes.Objects = append(r.changes.Objects, r.readObject()) })
}

func (r *changesReader) readObject() (c Change) {
	r.want('[')
	c.ID = r.number()
	r.want(',')
	bits := r.index("bits", allBits+1)
	c.New, c.Self, c.Above, c.Moved = bits&isNew != 0, bits&isSelf != 0, bits&isAbove != 0, bits&isMoved != 0
	if r.take(',') {
		c.From = r.number()
	}
	start := len(r.days)
	for r.take(',') {
		r.days = append(r.days, r.first+metric.Day(r.index("day", int(lastDay-r.first)+1)))
	}
	r.want(']')
	if len(r.days) > start {
		c.Days = r.days[start:len(r.days):len(r.days)]
	}
	return c
}
