package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/leatflow/leat/pkg/metric"
)

// A sheet reads CSV or TSV as RFC 4180 has it, and quotes within a field that
// does not begin with one as they are. A record that cannot be read costs its
// first line.
type sheet struct {
	lines   *lineReader
	comma   byte
	pending []byte // lines that were read ahead of the record in hand
	line    int    // of the record in hand
	next    int    // of pending
	raw     []byte // the record in hand
	fields  [][]byte
	spans   []span
	buffer  []byte // fields without their quotes
}

// A span is a field in raw, or in buffer.
type span struct {
	start, end int
	quoted     bool
}

// errRow is why a record cannot be read.
type errRow string

func (e errRow) Error() string { return string(e) }

// readTable takes the records out of CSV or TSV. The first row that is not
// skipped names the columns, unless the source file does.
func (c *cutter) readTable(in *input, comma byte) error {
	t := &sheet{lines: newLineReader(in), comma: comma}
	c.position = func() string { return "line " + strconv.Itoa(t.line) }
	columns, err := c.header(t)
	if err != nil {
		return err
	}
	for {
		err := t.read()
		bad, ok := errors.AsType[errRow](err)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ok:
			err = c.reject(c.position(), string(bad), t.raw)
		case err != nil:
			return err
		case len(t.fields) != len(columns):
			err = c.reject(c.position(), fmt.Sprintf("it has %d fields; the header has %d", len(t.fields), len(columns)), t.raw)
		default:
			err = c.tableRow(t, columns)
		}
		if err != nil {
			return err
		}
	}
}

// header reads the columns' names. One that lacks a column without which there
// is no record is not the header of this answer.
func (c *cutter) header(t *sheet) ([]*fieldInfo, error) {
	const expected = "a header with the columns "
	needed := c.root.columns()
	for range c.table.Skip {
		if _, _, err := t.readLine(); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if len(c.table.Header) > 0 {
		return c.columns(c.table.Header), nil
	}
	err := t.read()
	var bad errRow
	switch {
	case errors.Is(err, io.EOF):
		return nil, badForm("line 1", "nothing", expected+strings.Join(needed, ", "))
	case errors.As(err, &bad):
		return nil, badForm(t.position(), string(bad), expected+strings.Join(needed, ", "))
	case err != nil:
		return nil, err
	}
	var names []string
	for _, name := range t.fields {
		names = append(names, string(name))
	}
	for _, name := range needed {
		if !slices.Contains(names, name) {
			return nil, badForm(t.position(), found(rawText(bytes.TrimSpace(t.raw))), expected+strings.Join(needed, ", "))
		}
	}
	return c.columns(names), nil
}

func (c *cutter) columns(names []string) []*fieldInfo {
	columns := make([]*fieldInfo, len(names))
	for i, name := range names {
		columns[i] = c.root.learn(name, name)
	}
	return columns
}

func (t *sheet) position() string { return "line " + strconv.Itoa(t.line) }

// tableRow makes records of one row.
func (c *cutter) tableRow(t *sheet, columns []*fieldInfo) error {
	c.raw = t.raw
	l := c.root
	l.empty()
	for i, f := range columns {
		b := t.fields[i]
		if f.slot >= 0 {
			l.cells[f.slot] = cell{cellText, b}
		} else if l.all {
			l.column(f, b, c.number)
		}
	}
	return c.apply(l, nil)
}

// column keeps the field of a column that no rule names, where it is a number,
// if perhaps too large a one.
func (l *level) column(f *fieldInfo, b []byte, form *numberForm) {
	if form != nil {
		plain, ok := form.plain(b)
		if !ok {
			return
		}
		b = plain
	}
	if v, end, ok := plainNumber(b, 0); ok && end == len(b) {
		l.number(f, v, nil, nil)
	} else if len(b) > 0 && isNumberStart(b[0]) {
		if v, err := metric.Parse(b); err == nil || errors.Is(err, metric.ErrRange) {
			l.number(f, v, b, err)
		}
	}
}

// read reads the next record into raw and fields. An errRow is one that cannot
// be read.
func (t *sheet) read() error {
	for {
		line, tooLong, err := t.readLine()
		if err != nil {
			return err
		}
		t.raw = append(t.raw[:0], line...)
		if tooLong {
			return errRow(tooLongReason)
		}
		if len(chomp(line)) > 0 {
			break
		}
	}
	first := len(t.raw)
	err := t.split()
	if _, bad := errors.AsType[errRow](err); bad && len(t.raw) > first { // the lines after it may be good
		t.pending = append(bytes.Clone(t.raw[first:]), t.pending...)
		t.next = t.line + 1
		t.raw = t.raw[:first]
	}
	return err
}

// readLine returns the next line, of those read ahead first.
func (t *sheet) readLine() ([]byte, bool, error) {
	if len(t.pending) > 0 {
		end := bytes.IndexByte(t.pending, '\n') + 1
		if end == 0 {
			end = len(t.pending)
		}
		line := t.pending[:end]
		t.pending, t.line = t.pending[end:], t.next
		t.next++
		return line, false, nil
	}
	line, tooLong, err := t.lines.read()
	t.line = t.lines.line
	return line, tooLong, err
}
