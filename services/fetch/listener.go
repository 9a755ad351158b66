package fetch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/source"
)

// A record is one that came over a stream: a line of NDJSON, without its end.
type record struct {
	text     []byte
	position string // the stream goes on after it so; "": it does not say
}

// A listener takes records out of what comes over a connection.
type listener struct {
	stream  *source.Stream
	records chan record
	err     error         // why it ended; to be read after records is closed
	retry   time.Duration // what the source asks to wait then
	in      *bufio.Reader
	event   gathered
	id      string // of the last event that had one
	skip    bool   // the \n of a line that ended with \r
}

// A gathered event is one of SSE as its lines come.
type gathered struct {
	kind string
	data []byte
	any  bool // there is data, if only an empty line
}

// waitingRecords is how many records wait for a stretch; then the source waits.
const waitingRecords = 256

func newListener(s *source.Stream) *listener {
	return &listener{stream: s, records: make(chan record, waitingRecords)}
}

// read reads until the connection ends or ctx does. What was not whole by then is
// left out: the source says it again.
func (l *listener) read(ctx context.Context, answer io.Reader) {
	defer close(l.records)
	l.in = bufio.NewReader(answer)
	for first := true; ; first = false {
		line, err := l.line()
		if err != nil {
			l.err = err
			return
		}
		if first {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		r, whole := l.take(line)
		if !whole {
			continue
		}
		select {
		case l.records <- r:
		case <-ctx.Done():
			l.err = context.Cause(ctx)
			return
		}
	}
}

// line reads a line without its end, of one that is too long more than a record
// may have and no more. In SSE a line may end with \r too.
func (l *listener) line() (line []byte, err error) {
	for {
		c, err := l.in.ReadByte()
		skipped := l.skip && c == '\n'
		l.skip = false
		switch {
		case err != nil:
			return nil, err
		case skipped:
		case c == '\n':
			return line, nil
		case c == '\r' && l.stream.SSE():
			l.skip = true
			return line, nil
		case len(line) <= longRecord+len("data: "):
			line = append(line, c)
		}
	}
}

// take takes the next line, and returns a record if one is whole now.
func (l *listener) take(line []byte) (r record, whole bool) {
	if !l.stream.SSE() {
		line = bytes.TrimSpace(line)
		return record{line, at(line, l.stream.Cursor)}, len(line) > 0
	}
	if len(line) > 0 {
		l.field(line)
		return r, false
	}
	e := l.event
	l.event = gathered{}
	if !e.any || len(l.stream.Events) > 0 && !slices.Contains(l.stream.Events, cmp.Or(e.kind, "message")) {
		return r, false
	}
	for i, c := range e.data { // between the tokens of JSON; a text has no such thing in it
		if c == '\n' || c == '\r' {
			e.data[i] = ' '
		}
	}
	r = record{e.data, l.id}
	if l.stream.Cursor != "" {
		r.position = at(r.text, l.stream.Cursor)
	}
	return r, true
}

// field takes a line of an event. One that begins with a colon is a comment.
func (l *listener) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if l.event.any {
			l.event.data = append(l.event.data, '\n')
		}
		l.event.any, l.event.data = true, append(l.event.data, value...)
		l.event.data = l.event.data[:min(len(l.event.data), longRecord+1)]
	case "event":
		l.event.kind = string(value)
	case "id":
		if len(value) <= maxPosition && !bytes.ContainsRune(value, 0) {
			l.id = string(value)
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			l.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

const maxPosition = 8 << 10 // bytes of what is sent in a header

// at is the text or number at a path of a record; "" where there is none.
func at(text []byte, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) != nil {
			return ""
		}
		text = fields[name]
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}
