package source

import (
	"bytes"
	"errors"
	"io"
)

// split makes fields of the record that begins in raw, and reads on where a
// quoted field holds the end of a line.
func (t *sheet) split() error {
	t.spans, t.buffer = t.spans[:0], t.buffer[:0]
	end := len(chomp(t.raw))
	for at, more := 0, true; more; {
		s := span{start: at}
		if at < len(t.raw) && t.raw[at] == '"' {
			var err error
			if s, at, err = t.quoted(at); err != nil {
				return err
			}
			end = len(chomp(t.raw))
		} else {
			for at < end && t.raw[at] != t.comma {
				at++
			}
			s.end = at
		}
		t.spans = append(t.spans, s)
		more = at < len(t.raw) && t.raw[at] == t.comma
		at++
	}
	t.fields = t.fields[:0]
	for _, s := range t.spans {
		from := t.raw
		if s.quoted {
			from = t.buffer
		}
		t.fields = append(t.fields, from[s.start:s.end:s.end])
	}
	return nil
}

// quoted unescapes the quoted field that begins at a place of raw, and returns
// the place after it.
func (t *sheet) quoted(at int) (span, int, error) {
	s := span{start: len(t.buffer), quoted: true}
	for at++; ; {
		end := bytes.IndexByte(t.raw[at:], '"')
		if end < 0 {
			t.buffer = append(t.buffer, t.raw[at:]...)
			at = len(t.raw)
			if err := t.readOn(); err != nil {
				return s, at, err
			}
			continue
		}
		t.buffer = append(t.buffer, t.raw[at:at+end]...)
		at += end + 1
		if at >= len(t.raw) || t.raw[at] != '"' {
			break
		}
		t.buffer = append(t.buffer, '"')
		at++
	}
	s.end = len(t.buffer)
	if rest := chomp(t.raw[at:]); len(rest) > 0 && rest[0] != t.comma {
		return s, at, errRow("text follows the end of a quoted field; the separator or the line's end is allowed")
	}
	return s, at, nil
}

// readOn appends the next line to the record in hand.
func (t *sheet) readOn() error {
	first := t.line
	line, tooLong, err := t.readLine()
	t.line = first
	switch {
	case errors.Is(err, io.EOF):
		return errRow("a quoted field has no end")
	case err != nil:
		return err
	case tooLong: // and gone
		return errRow("a quoted field has no end within 1 MiB")
	case len(t.raw)+len(line) > maxRecord:
		t.raw = append(t.raw, line...)
		return errRow("a quoted field has no end within 1 MiB")
	}
	t.raw = append(t.raw, line...)
	return nil
}
