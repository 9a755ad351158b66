package event

import (
	"encoding/json"
	"unicode/utf8"
)

// appendString writes a string as JSON. What is not UTF-8 in it is replaced, as
// encoding/json does.
func appendString(b []byte, s string) []byte {
	if !isPlain(s) {
		text, _ := json.Marshal(s) // a string always has a text
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// isPlain reports whether a string is written as it is.
func isPlain(s string) bool {
	ascii := true
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.ValidString(s)
}

func appendStrings(b []byte, all []string) []byte {
	b = append(b, '[')
	for i, s := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// check returns why a text is not a JSON value.
func check(text []byte) error {
	s := scanner{body: text, item: -1}
	s.value(0)
	return s.end()
}

// A table numbers texts, the first 0. Neighbours are often of the same text or
// go through the texts in turn, so those are looked at first.
type table struct {
	texts []string
	known map[string]int
	last  int
}

func (t *table) index(s string) int {
	next := t.last + 1
	if next >= len(t.texts) {
		next = 0
	}
	switch {
	case len(t.texts) > 0 && t.texts[t.last] == s:
	case len(t.texts) > 0 && t.texts[next] == s:
		t.last = next
	default:
		t.last = t.find(s)
	}
	return t.last
}

func (t *table) find(s string) int {
	if i, ok := t.known[s]; ok {
		return i
	}
	if t.known == nil {
		t.known = map[string]int{}
	}
	i := len(t.texts)
	t.known[s] = i
	t.texts = append(t.texts, s)
	return i
}
