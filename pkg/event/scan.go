package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A scanner reads JSON in one pass, without reflection. After the first error it
// stands still, and all that it returns is zero.
type scanner struct {
	body []byte
	text string // the same, for the strings that are cut from it
	at   int
	err  error

	field string // of the outer object, and the item of it: where an error is
	item  int
}

func newScanner(body []byte) scanner {
	return scanner{body: body, text: string(body), item: -1}
}

func (s *scanner) failf(format string, args ...any) {
	if s.err != nil {
		return
	}
	place := s.field
	if s.item >= 0 {
		place = fmt.Sprintf("%s[%d]", place, s.item)
	}
	s.err = fmt.Errorf("%q, byte %d: %s", place, s.at, fmt.Sprintf(format, args...))
	s.at = len(s.body)
}

// peek returns the next byte that is not space, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.body); s.at++ {
		if c := s.body[s.at]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// take steps over c if it is next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) want(c byte) {
	if s.err == nil && !s.take(c) {
		s.failf("%.20q where %q was due", s.body[s.at:], c)
	}
}

// object reads the outer object; read reads the value of each field.
func (s *scanner) object(read func(field string)) error {
	s.want('{')
	for more := !s.take('}'); more && s.err == nil; {
		s.field = s.string()
		s.want(':')
		read(s.field)
		if more = s.take(','); !more {
			s.want('}')
		}
	}
	return s.end()
}

// end returns the error that there was, or that there is more to read.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.body) {
		s.failf("%.20q after the end", s.body[s.at:])
	}
	return s.err
}

// list reads the array that a field is; read reads each item.
func (s *scanner) list(read func()) {
	s.want('[')
	s.item = 0
	for more := !s.take(']'); more && s.err == nil; s.item++ {
		read()
		if more = s.take(','); !more {
			s.want(']')
		}
	}
	s.item = -1
}

func (s *scanner) strings() (all []string) {
	s.list(func() { all = append(all, s.string()) })
	return all
}

// string reads a string.
func (s *scanner) string() string {
	s.peek()
	start := s.at
	plain := s.skipString()
	if s.err != nil {
		return ""
	}
	text := s.text[start+1 : s.at-1]
	if plain || (utf8.ValidString(text) && strings.IndexByte(text, '\\') < 0) {
		return text
	}
	return s.unquote(s.body[start:s.at])
}

func (s *scanner) unquote(quoted []byte) (text string) {
	if err := json.Unmarshal(quoted, &text); err != nil {
		s.failf("%v", err)
	}
	return text
}

// skipString steps over a string and reports whether it is ASCII without escapes.
func (s *scanner) skipString() (plain bool) {
	s.want('"')
	plain = true
	for s.at < len(s.body) {
		c := s.body[s.at]
		s.at++
		switch {
		case c == '"':
			return plain
		case c == '\\':
			plain = false
			s.skipEscape()
		case c < ' ':
			s.failf("control character %#x in a string", c)
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	s.failf("a string without end")
	return false
}

// skipEscape steps over what follows a backslash.
func (s *scanner) skipEscape() {
	if s.at == len(s.body) {
		return
	}
	switch c := s.body[s.at]; {
	case c == 'u' && s.at+4 < len(s.body) && isHex(s.body[s.at+1:s.at+5]):
		s.at += 5
	case strings.IndexByte(`"\/bfnrt`, c) >= 0:
		s.at++
	default:
		s.failf("escape %q in a string", c)
	}
}

func isHex(digits []byte) bool {
	for _, c := range digits {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// number reads a whole number of up to 18 digits.
func (s *scanner) number() int64 {
	negative := s.take('-')
	text, digits, n := s.body[s.at:], 0, int64(0)
	for digits < len(text) && text[digits]-'0' <= 9 {
		n = n*10 + int64(text[digits]-'0')
		digits++
	}
	if digits == 0 || digits > 18 {
		s.failf("%.20q is not a number of up to 18 digits", text)
		return 0
	}
	s.at += digits
	if negative {
		return -n
	}
	return n
}

// index reads a number from 0 to below n.
func (s *scanner) index(what string, n int) int {
	i := s.number()
	if s.err == nil && (i < 0 || i >= int64(n)) {
		s.failf("%s %d of %d", what, i, n)
	}
	if s.err != nil {
		return 0
	}
	return int(i)
}

// deepest is how far values may be nested, as in encoding/json.
const deepest = 10_000

// value steps over any value, and checks it.
func (s *scanner) value(depth int) {
	switch c := s.peek(); {
	case depth > deepest:
		s.failf("nested deeper than %d", deepest)
	case c == '"':
		s.skipString()
	case c == '{':
		s.values('}', depth)
	case c == '[':
		s.values(']', depth)
	case c == '-' || c >= '0' && c <= '9':
		s.decimal()
	default:
		s.literal()
	}
}

// values steps over an object or an array.
func (s *scanner) values(end byte, depth int) {
	s.at++
	for more := !s.take(end); more && s.err == nil; {
		if end == '}' {
			s.peek()
			s.skipString()
			s.want(':')
		}
		s.value(depth + 1)
		if more = s.take(','); !more {
			s.want(end)
		}
	}
}

func (s *scanner) literal() {
	for _, word := range []string{"true", "false", "null"} {
		if rest := s.body[s.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.at += len(word)
			return
		}
	}
	s.failf("%.20q is not a value", s.body[s.at:])
}

// decimal steps over a number.
func (s *scanner) decimal() {
	start := s.at
	for s.at < len(s.body) && strings.IndexByte("+-.0123456789Ee", s.body[s.at]) >= 0 {
		s.at++
	}
	if !json.Valid(s.body[start:s.at]) {
		s.failf("%.20q is not a number", s.body[start:])
	}
}
