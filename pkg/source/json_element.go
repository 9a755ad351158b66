package source

import (
	"fmt"
	"strings"
)

// An element is one that has arrays in it, while it is walked.
type element struct {
	*walker
	level   *level
	outer   []*node
	owner   int   // tells it from all others
	start   int64 // in the answer
	own     int64 // bytes of its fields without the arrays
	known   int   // fields that a rule names and that were there
	made    bool  // its objects are made
	tooLong bool
	fields  bool // it has any
	found   bool // any of the arrays was there
	later   []array
}

// field reads a field that holds no elements.
func (e *element) field(s *jsonStream, f *fieldInfo) error {
	from, l := s.offset(), e.level
	e.fields = true
	if f.slot < 0 && !(l.all && isNumberStart(s.next())) {
		err := s.skip()
		e.own += s.offset() - from
		return err
	}
	raw, tooLong, err := s.value(nil)
	if err != nil {
		return err
	}
	e.own += s.offset() - from
	e.tooLong = e.tooLong || tooLong
	if e.tooLong || e.own > maxRecord || e.made {
		return nil
	}
	if f.slot >= 0 && l.cells[f.slot].kind == cellAbsent {
		e.known++
	}
	at := len(l.copied)
	l.copied = append(l.copied, raw...)
	l.put(f, kindOf(raw[0]), l.copied[at:])
	return nil
}

// array walks an array, or passes over it for later.
func (e *element) array(s *jsonStream, f *fieldInfo) error {
	e.found = true
	if !e.made && e.known == len(e.level.names) && !e.level.all {
		if err := e.make(); err != nil {
			return err
		}
	}
	if e.made && e.refusedBelow(f.branch) {
		return s.skip()
	}
	if e.made {
		return e.descend(s, f.name, f.branch)
	}
	from := s.offset()
	err := s.skip()
	e.later = append(e.later, array{f.name, f.branch, from, s.offset()})
	return err
}

// refusedBelow reports whether nothing below a branch has an object to belong to.
func (e *element) refusedBelow(b *branch) bool {
	refused := true
	b.each(func(l *level) {
		for _, r := range l.rules {
			_, ok := r.over(l, e.level.nodes)
			refused = refused && r.inner < 0 && !ok
		}
	})
	return refused
}

// make makes the element's objects, of the fields that are known by now.
func (e *element) make() error {
	e.made = true
	e.raw, e.begin = nil, e.start
	if !e.tooLong && e.own <= maxRecord {
		return e.apply(e.level, e.outer)
	}
	clear(e.level.nodes)
	if len(e.level.rules) == 0 {
		return nil
	}
	return e.reject(e.where(), tooLongReason+"; refused with everything below it", e.textAt(e.start))
}

// textAt reads the beginning of the element that begins at a place.
func (w *walker) textAt(start int64) []byte {
	if w.file == nil {
		return nil
	}
	b := make([]byte, maxRejectText)
	n, _ := w.file.ReadAt(b, start) // what cannot be read again is not shown
	return b[:n]
}

// finish walks the arrays that were passed over.
func (e *element) finish() error {
	if !e.made {
		if err := e.make(); err != nil {
			return err
		}
	}
	if e.fields && !e.found && len(e.level.rules) == 0 {
		return e.reject(e.where(), "it has no "+strings.Join(e.level.paths(), " and no ")+", of which the records are made", e.textAt(e.start))
	}
	for _, a := range e.later {
		if e.refusedBelow(a.branch) {
			continue
		}
		if err := e.again(a); err != nil {
			return err
		}
	}
	return nil
}

// again walks an array that was passed over.
func (e *element) again(a array) error {
	s := e.borrow()
	s.start(&section{ctx: e.ctx, file: e.file, at: a.start, end: a.end}, a.start, ':')
	err := e.descend(s, a.name, a.branch)
	e.free = append(e.free, s)
	return s.formError(err)
}

func (w *walker) borrow() *jsonStream {
	if last := len(w.free) - 1; last >= 0 {
		s := w.free[last]
		w.free = w.free[:last]
		return s
	}
	return newStream(window)
}

// descend walks the value of a name on the way to an array, or the array.
func (e *element) descend(s *jsonStream, name string, b *branch) error {
	if b.owner != e.owner {
		b.owner, b.times = e.owner, 0
	}
	if b.times++; b.times > 1 {
		name = fmt.Sprintf("%s#%d", name, b.times) // given twice: each has its own positions
	}
	at := len(e.trail)
	e.trail = append(e.trail, step{name, -1})
	defer func() { e.trail = e.trail[:at] }()
	switch k := s.next(); {
	case k == 'n':
		return s.skip()
	case k == '[' && b.level != nil:
		return e.elements(s, b.level, e.level.nodes)
	case k == '{' && b.next != nil:
		return e.inside(s, b)
	default:
		raw, _, err := s.value(nil)
		if err != nil {
			return err
		}
		return e.reject(e.where(), kindName(k)+" was found where an array is allowed", raw)
	}
}

// inside walks an object on the way to an array.
func (e *element) inside(s *jsonStream, b *branch) error {
	if err := s.open(); err != nil {
		return err
	}
	for s.next() != '}' {
		raw, err := s.name()
		if err != nil {
			return err
		}
		name := unquoteName(raw)
		if next := b.next[name]; next != nil {
			err = e.descend(s, name, next)
		} else {
			err = s.skip()
		}
		if err != nil {
			return err
		}
	}
	s.close()
	return nil
}
