package floor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// elements calls f with each element of the array that follows `"list":[` in
// what r says. The bytes are f's until it returns.
func elements(r io.Reader, list string, f func([]byte) error) error {
	s := splitter{r: r, buf: make([]byte, 0, 2<<20)}
	if err := s.find([]byte(`"` + list + `":[`)); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	for {
		element, err := s.next()
		if err != nil || element == nil {
			return err
		}
		if err := f(element); err != nil {
			return err
		}
	}
}

// A splitter cuts a stream between the elements of an array.
type splitter struct {
	r     io.Reader
	buf   []byte
	start int // of the element
	at    int // what is before it has been looked at
}

var errCutOff = errors.New("the answer ends in the middle")

// more reads on. What is before the element makes room.
func (s *splitter) more() error {
	if s.start > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.start:])]
		s.at -= s.start
		s.start = 0
	}
	if len(s.buf) == cap(s.buf) {
		s.buf = append(make([]byte, 0, 2*cap(s.buf)), s.buf...)
	}
	n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	switch {
	case n > 0:
		return nil
	case err == io.EOF:
		return errCutOff
	}
	return err
}

func (s *splitter) find(text []byte) error {
	for {
		if i := bytes.Index(s.buf, text); i >= 0 {
			s.at = i + len(text)
			return nil
		}
		if err := s.more(); err != nil {
			return err
		}
	}
}

// next returns the next element, nil at the end of the array.
func (s *splitter) next() ([]byte, error) {
	s.start = s.at
	for depth := 0; ; s.at++ {
		for s.at >= len(s.buf) {
			if err := s.more(); err != nil {
				return nil, err
			}
		}
		switch s.buf[s.at] {
		case '"':
			if err := s.skipString(); err != nil {
				return nil, err
			}
		case '{', '[':
			if depth == 0 {
				s.start = s.at
			}
			depth++
		case '}', ']':
			depth--
			switch {
			case depth < 0:
				return nil, nil
			case depth == 0:
				s.at++
				return s.buf[s.start:s.at], nil
			}
		}
	}
}

// skipString goes from a string's first quote to its last.
func (s *splitter) skipString() error {
	for s.at++; ; {
		i := bytes.IndexByte(s.buf[s.at:], '"')
		if i < 0 {
			s.at = len(s.buf)
			if err := s.more(); err != nil {
				return err
			}
			continue
		}
		s.at += i
		if !escaped(s.buf[s.start:s.at]) {
			return nil
		}
		s.at++
	}
}

// escaped reports whether what follows text is escaped: it ends in an odd number
// of backslashes.
func escaped(text []byte) bool {
	n := 0
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}
