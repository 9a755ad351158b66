// Package expect says what rows and documents must come of a report, by a path
// of its own: encoding/json and math/big, one record after the other, nothing
// shared with Leat or the floor.
//
// In: the report's bytes. Out: a line for each row and document; and the first
// that is not as it must be.
package expect

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
)

// A Line is a row or a document: what names it, and all that it holds, spelled
// in one way only.
type Line struct{ Key, Text string }

type digest [16]byte

func digestOf(text string) digest {
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:16])
}

// A Producer emits lines, the same ones each time.
type Producer func(emit func(Line) error) error

// A State is all lines that must come of some reports, by their digests.
type State struct {
	lines map[digest]*line
	turn  int // of comparing
}

type line struct {
	text digest
	seen int // the turn in which it was found
}

// New makes the state of what is produced.
func New(produce Producer) (*State, error) {
	s := &State{lines: map[digest]*line{}}
	err := produce(func(l Line) error {
		s.lines[digestOf(l.Key)] = &line{text: digestOf(l.Text)}
		return nil
	})
	return s, err
}

// Compare fails with the first line of found that is not as it must be, and with
// one that is missing. What the state was made of is produced again only to say
// how a line should be.
func (s *State) Compare(found, produce Producer) error {
	s.turn++
	n := 0
	if err := found(func(l Line) error { n++; return s.look(l, produce) }); err != nil {
		return err
	}
	if n == len(s.lines) {
		return nil
	}
	return produce(func(l Line) error {
		if s.lines[digestOf(l.Key)].seen != s.turn {
			return fmt.Errorf("%s is missing, one of %d: %s", l.Key, len(s.lines)-n, l.Text)
		}
		return nil
	})
}

// Len is how many lines there must be.
func (s *State) Len() int { return len(s.lines) }

func (s *State) look(l Line, produce Producer) error {
	want := s.lines[digestOf(l.Key)]
	switch {
	case want == nil:
		return fmt.Errorf("%s should not be: %s", l.Key, l.Text)
	case want.seen == s.turn:
		return fmt.Errorf("%s is there twice", l.Key)
	case want.text == digestOf(l.Text):
		want.seen = s.turn
		return nil
	}
	return produce(func(w Line) error {
		if w.Key == l.Key {
			at := parting(l.Text, w.Text)
			return fmt.Errorf("%s differs:\n got %s\nwant %s", l.Key, around(l.Text, at), around(w.Text, at))
		}
		return nil
	})
}

// parting is where two texts begin to differ.
func parting(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// around cuts of a long text what stands at a place.
func around(text string, at int) string {
	from, to := max(0, at-200), min(len(text), at+200)
	cut := text[from:to]
	if from > 0 {
		cut = "…" + cut
	}
	if to < len(text) {
		cut += "…"
	}
	return cut
}

// campaigns calls f with each campaign of a report, decoded.
func campaigns(r io.Reader, f func(map[string]any) error) error {
	d := json.NewDecoder(r)
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		if token == "campaigns" {
			break
		}
	}
	if _, err := d.Token(); err != nil { // the bracket
		return err
	}
	for d.More() {
		var c map[string]any
		if err := d.Decode(&c); err != nil {
			return err
		}
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}
