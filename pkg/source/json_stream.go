package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	maxRecord = 1 << 20  // bytes of one record
	maxToken  = 16 << 20 // bytes of one text in JSON, even in a field that is not read
	window    = 64 << 10 // bytes that are read at once
)

var (
	errTooLong = errors.New("more bytes than may be held")
	errBroken  = errors.New("JSON that is broken") // what is wrong with it, a reference knows
)

// A jsonStream reads JSON from one place on, and checks it. What it holds is
// bounded: a value that is too long is an error, after which it can still be
// skipped.
type jsonStream struct {
	in    io.Reader
	ended error  // of in: there is no more than what buf holds
	buf   []byte // the window
	at    int    // of what was not passed yet
	base  int64  // offset of buf in the answer
	read  int64  // offset of the end of what was read last
	due   byte   // the colon or comma that must follow it; 0: none
	depth int    // objects and arrays that are open
	whole bool   // a value or name is read at once, not token by token
	err   error  // why next returned nothing
}

func newStream(window int) *jsonStream { return &jsonStream{buf: make([]byte, 0, window)} }

// start reads from r on, whose first byte stands at base, after what is due.
func (s *jsonStream) start(r io.Reader, base int64, due byte) {
	*s = jsonStream{in: r, buf: s.buf[:0], base: base, read: base, due: due}
}

// more reads more bytes behind those that were not passed yet.
func (s *jsonStream) more() error {
	held := copy(s.buf[:cap(s.buf)], s.buf[s.at:])
	s.base += int64(s.at)
	s.at, s.buf = 0, s.buf[:held]
	if held == cap(s.buf) {
		s.buf = append(make([]byte, 0, 2*held), s.buf...)
	}
	for s.ended == nil && len(s.buf) < cap(s.buf) {
		n, err := s.in.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf, s.ended = s.buf[:len(s.buf)+n], err
	}
	if len(s.buf) > held {
		return nil
	}
	return s.ended
}

// offset returns where what was read last ends in the answer.
func (s *jsonStream) offset() int64 { return s.read }

// next returns the first byte of what follows, or 0; then the error comes with
// reading it.
func (s *jsonStream) next() byte {
	c := s.peek()
	switch {
	case s.due == 0 || s.err != nil || (s.due == ',' && isClosing(c)):
		return c
	case c != s.due:
		s.err = errBroken
		return 0
	}
	s.at++
	s.due = 0
	if c = s.peek(); isClosing(c) {
		s.err = errBroken
		return 0
	}
	return c
}

func isClosing(c byte) bool { return c == '}' || c == ']' }

// peek passes over space.
func (s *jsonStream) peek() byte {
	for s.err == nil {
		if s.at = skipSpace(s.buf, s.at); s.at < len(s.buf) {
			return s.buf[s.at]
		}
		if s.base+int64(s.at)-s.read > maxToken {
			s.err = errTooLong
		} else {
			s.err = s.more()
		}
	}
	return 0
}

// pass takes what ends at a place of the window as read.
func (s *jsonStream) pass(end int, due byte) {
	s.at, s.read, s.due = end, s.base+int64(end), due
}

// open reads the bracket with which an object or array begins.
func (s *jsonStream) open() error {
	s.whole = false
	if s.depth == maxDepth {
		return errBroken
	}
	s.depth++
	s.pass(s.at+1, 0)
	return nil
}

// close reads the bracket with which it ends.
func (s *jsonStream) close() {
	s.depth--
	s.pass(s.at+1, ',')
}

// name reads the name of a field: JSON with its quotes, until the next read.
func (s *jsonStream) name() ([]byte, error) {
	s.whole = true
	return s.text()
}

// text reads a name as a token.
func (s *jsonStream) text() ([]byte, error) {
	if s.next() != '"' && s.err == nil {
		s.err = errBroken
	}
	return s.take(nil, maxToken, ':')
}

// value reads a value, which is valid until the next read; the fields of an
// object into a level, where one is given. Of a value that is longer than a
// record may be it returns the beginning, and passes over it.
func (s *jsonStream) value(l *level) (v []byte, tooLong bool, err error) {
	s.next()
	s.whole = true
	v, err = s.take(l, maxRecord, ',')
	if !errors.Is(err, errTooLong) || s.err != nil {
		return v, false, err
	}
	v = bytes.Clone(s.buf[s.at : s.at+maxRejectText])
	return v, true, s.skip()
}

// skip passes over a value without holding it.
func (s *jsonStream) skip() error {
	c := s.next()
	s.whole = false
	if c != '{' && c != '[' {
		_, err := s.take(nil, maxToken, ',')
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	for closing := c + 2; s.next() != closing; { // } is two after {, and ] after [
		if c == '{' {
			if _, err := s.text(); err != nil {
				return err
			}
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
	s.close()
	return nil
}

// nothing reports whether nothing follows.
func (s *jsonStream) nothing() bool { return errors.Is(s.err, io.EOF) }

// end reads the end of the JSON: io.EOF, or what follows it.
func (s *jsonStream) end() error {
	s.due = 0
	if c := s.next(); c == '{' || c == '[' {
		return s.open()
	}
	s.whole = false
	_, err := s.take(nil, maxToken, 0)
	return err
}

// take reads a value that begins at the place in hand, is not longer than limit
// and is valid until the next read.
func (s *jsonStream) take(l *level, limit int, due byte) ([]byte, error) {
	for s.err == nil {
		end, ok := l.element(s.buf, s.at, s.depth)
		switch {
		case end-s.at > limit:
			return nil, errTooLong
		case ok && (end < len(s.buf) || !isDigit(s.buf[end-1])): // a number may go on
			return s.taken(end, due), nil
		case end < len(s.buf):
			return nil, errBroken
		}
		if err := s.more(); err != nil {
			if ok && errors.Is(err, io.EOF) {
				return s.taken(len(s.buf), due), nil
			}
			return nil, err
		}
	}
	return nil, s.err
}

// taken passes over what ends at a place of the window, and returns it.
func (s *jsonStream) taken(end int, due byte) []byte {
	v := s.buf[s.at:end:end]
	s.pass(end, due)
	return v
}

// formError puts an error into the answer's words; errors of the file and of
// ctx stay as they are, and so does what a reference must explain.
func (s *jsonStream) formError(err error) error {
	var broken *FormError
	switch {
	case err == nil || errors.As(err, &broken):
		return err
	case errors.Is(err, errTooLong):
		return badForm(bytePosition(s.offset()), fmt.Sprintf("a text of more than %d MiB", maxToken>>20), "shorter texts")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return badCut(s.base + int64(len(s.buf)))
	default:
		return err
	}
}

func badCut(end int64) error {
	return badForm(bytePosition(end), "the end of an answer that is cut off", "the rest of the JSON")
}

func bytePosition(offset int64) string { return fmt.Sprintf("byte %d", offset) }
