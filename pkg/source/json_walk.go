package source

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A walker takes the elements out of JSON, in the order in which they stand.
type walker struct {
	*cutter
	file  io.ReaderAt // the answer, or the line in hand; nil: nothing is read out of its order
	line  int         // 0: not a line
	trail []step
	free  []*jsonStream
	begin int64 // of the element in hand, where its raw text is not at hand
	count int   // of elements that have arrays in them
}

func (c *cutter) walker(file io.ReaderAt) *walker {
	w := &walker{cutter: c, file: file}
	c.position = w.where
	c.record = func() []byte { return w.textAt(w.begin) }
	return w
}

// A step is a place on the way to the element in hand.
type step struct {
	name  string // as in positions, with its dot
	index int    // of the element; -1: the array itself
}

// readJSON takes the records out of one JSON document.
func (c *cutter) readJSON(in *input) error {
	s := newStream(window)
	s.start(in.stream, 0, 0)
	return c.walker(in.file).document(s)
}

// document walks a document to its end.
func (w *walker) document(s *jsonStream) error {
	err := w.top(s)
	if err == nil {
		switch err = s.end(); {
		case err == nil:
			return badForm(bytePosition(s.offset()), "more after the end of the JSON", "one JSON array or object")
		case s.nothing():
			return nil
		}
	}
	if errors.Is(err, errBroken) {
		return w.broken(s.offset(), s.whole)
	}
	return s.formError(err)
}

// top walks the document: an array is of rows, an object is one row, in which
// the arrays may lie.
func (w *walker) top(s *jsonStream) error {
	const expected = "a JSON array or object"
	switch k := s.next(); {
	case k == '[':
		return w.elements(s, w.root, nil)
	case k == '{':
		return w.element(s, w.root, nil)
	case s.nothing():
		return badForm(bytePosition(0), "nothing", expected)
	case strings.IndexByte(`"-0123456789tfn}]`, k) >= 0:
		return badForm(bytePosition(0), kindName(k), expected)
	default:
		return s.skip()
	}
}

// kindName names the kind of a JSON value by its first byte.
func kindName(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "text"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	default:
		return "a number"
	}
}

// elements walks an array.
func (w *walker) elements(s *jsonStream, l *level, outer []*node) error {
	if err := s.open(); err != nil {
		return err
	}
	at := len(w.trail)
	w.trail = append(w.trail, step{index: -1})
	if at > 0 && w.trail[at-1].index < 0 {
		at--
		w.trail = w.trail[:at+1]
	}
	for s.next() != ']' {
		w.trail[at].index++
		if err := w.element(s, l, outer); err != nil {
			return err
		}
	}
	w.trail = w.trail[:at]
	s.close()
	return nil
}

// element walks one element, whose rules are those of l.
func (w *walker) element(s *jsonStream, l *level, outer []*node) error {
	if l.below != nil && s.next() == '{' {
		return w.open(s, l, outer)
	}
	raw, tooLong, err := s.value(l)
	if err != nil {
		return err
	}
	w.raw = raw
	switch {
	case tooLong:
		return w.reject(w.where(), tooLongReason, raw)
	case raw[0] != '{':
		return w.reject(w.where(), fmt.Sprintf("%s was found where an object is allowed", kindName(raw[0])), raw)
	}
	return w.apply(l, outer)
}

const tooLongReason = "the record has more than 1 MiB; 1 MiB is allowed"

// An array is one within an element that was passed over, since it stands
// before fields that must be known first.
type array struct {
	name       string
	branch     *branch
	start, end int64
}

// open walks an element that has arrays in it. They are walked when the fields
// that the rules name are known: at once, or after the element's end.
func (w *walker) open(s *jsonStream, l *level, outer []*node) error {
	w.count++
	e := &element{walker: w, level: l, outer: outer, owner: w.count, start: s.offset()}
	if err := s.open(); err != nil {
		return err
	}
	l.begin()
	for n := 0; s.next() != '}'; n++ {
		raw, err := s.name()
		if err != nil {
			return err
		}
		f := l.lookup(n, raw)
		if f.branch != nil {
			err = e.array(s, f)
		} else {
			err = e.field(s, f)
		}
		if err != nil {
			return err
		}
	}
	s.close()
	return e.finish()
}

// where returns the position of the element in hand.
func (w *walker) where() string {
	var b []byte
	if w.line > 0 {
		b = strconv.AppendInt(append(b, "line "...), int64(w.line), 10)
		if len(w.trail) > 0 {
			b = append(b, ": "...)
		}
	}
	for i, s := range w.trail {
		if i > 0 && s.name != "" {
			b = append(b, '.')
		}
		b = append(b, s.name...)
		if s.index >= 0 {
			b = append(strconv.AppendInt(append(b, '['), int64(s.index), 10), ']')
		}
	}
	if len(b) == 0 {
		return "the answer"
	}
	return string(b)
}
