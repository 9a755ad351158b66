package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
)

// mixed are rules in which elements with arrays have numbers under "*" too.
const mixed = `
records:
  - each: ads
    object: {type: ad, key: id, attributes: [size]}
    stat: {day: date, metrics: "*", rule: own}
    children:
      - each: a.stats
        stat: {day: date, dimensions: [os], metrics: "*", rule: a}
      - each: b
        stat: {day: date, metrics: [n], rule: b}
`

var mixedAnswers = []string{
	`{"ads":[{"id":"a","date":"2026-11-01","n":1,"x":[1,2,{"y":"z"}],"a":{"stats":[{"date":"2026-11-01","n":1}],"q":[]},"b":[{"date":"2026-11-02","m":1.5}]}]}`,
	`{"ads":[{"b":[{"date":"2026-11-02"}],"a":{"stats":[{}]},"date":"2026-11-03","k":3,"id":"z"},{"id":"a\u00e9\ud800","date":"x"},17,"text",null]}`,
	`{ "ads" : [ { "id" : "a" , "a" : { "stats" : [ { "date" : "2026-11-01" , "n" : -1.25e2 , "n" : 0.5 , "os" : "i\"\\" , "u" : { "v" : [ { } , [ ] , true , false , null ] } } ] } } ] } `,
	`{"ads":[{"id":"a","a":{"stats":[{"date":"2026-11-01","n":1000000000000},{"date":"2026-11-01","n":01},{"date":"2026-11-01","n":+1}]}}]}`,
	`{"ads":[{"id":"a","a":{"stats":5},"a":{"stats":[{"date":"2026-11-01","` + strings.Repeat("x", 70) + `":1,"é":2}]}}],"x":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`,
	"[{\"ads\":[]}]", "", " ", "\ufeff{}", "<html>", "17", "{}{", "[]x", `{"ads":[{"id":"` + "\xff\x00" + `"}]}`,
}

// TestAnswersAreReadInAnyPieces cuts answers that are whole and broken in every
// place, with windows so small that each place is the end of one.
func TestAnswersAreReadInAnyPieces(t *testing.T) {
	s := sourceOf(t, mixed)
	r := rand.New(rand.NewPCG(3, 4))
	for _, body := range mixedAnswers {
		for at := range len(body) + 1 {
			inPieces(t, s, []byte(body), at+1)
			inPieces(t, s, []byte(body[:at]), 1)
			odd := []string{`"`, "\\", ",", ":", "}", "]", "{", "[", "0", "-", ".", "e9", "nul", " ", "\x01", "\xc3"}
			inPieces(t, s, []byte(body[:at]+odd[r.IntN(len(odd))]+body[at:]), 1+r.IntN(9))
		}
	}
}

func FuzzPieces(f *testing.F) {
	s := sourceOf(f, mixed)
	for i, body := range mixedAnswers {
		f.Add([]byte(body), i+1)
	}
	f.Fuzz(func(t *testing.T, body []byte, window int) { inPieces(t, s, body, 1+max(window, 0)%1000) })
}

// inPieces cuts an answer with a window of so many bytes to begin with, and
// checks it against the same in one piece, and the form against jsontext.
func inPieces(t *testing.T, s *Source, body []byte, window int) {
	t.Helper()
	if body = bytes.TrimPrefix(body, markUTF8); len(body) > 1 && body[0]^body[1] == 0xff^0xfe {
		return // perhaps UTF-16, which is made UTF-8 before this
	}
	whole, pieces := cutBytes(t, s, formatJSON, body), cutWindow(t, s, body, window)
	if whole.String() != pieces.String() {
		t.Errorf("%q in windows of %d:\n%s\nin one piece:\n%s", body, window, pieces, whole)
	}
	value := jsontext.Value(bytes.TrimLeft(body, " \t\r\n"))
	valid := value.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) && (value[0] == '{' || value[0] == '[')
	if valid != (whole.err == nil) {
		t.Errorf("%q: error %v; that it is valid is %v", body, whole.err, valid)
	}
}

func cutWindow(t *testing.T, s *Source, body []byte, window int) (got cutting) {
	t.Helper()
	a := Answer{Format: formatJSON, File: bytes.NewReader(body), Size: int64(len(body)), ObservedAt: noon, Hash: "hash"}
	c, err := s.newCutter(t.Context(), a, func(p event.Part, rejects []Reject) error {
		got.parts, got.rejects = append(got.parts, p), append(got.rejects, rejects...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w, stream := c.walker(a.File), newStream(window)
	w.free = append(w.free, newStream(window))
	stream.start(bytes.NewReader(body), 0, 0)
	got.err = c.finish(w.document(stream))
	return got
}

var elements = []string{
	`{}`, `{"date":"2026-11-01","os":"ios","n":1,"m":2.50,"n":-3,"m":0}`, `{"n":1e3,"n":5}`, `{"n":5,"n":1e3}`, `{"n":9999999999999,"m":1}`,
	`{ "date" : null , "\u006e" : 0.1234567 , "x" : {"n":1} , "` + strings.Repeat("y", 70) + `" : 1 , "m" : 1}`, `{"n":-0,"m":123456789012.123456}`, `{"n":007}`, `{"n":1,}`,
}

// TestElementsAreReadAsJsontextReadsThem compares the one pass over an element
// with jsontext's tokens, after an element that has other fields.
func TestElementsAreReadAsJsontextReadsThem(t *testing.T) {
	for _, body := range elements {
		for _, before := range elements {
			sameElement(t, []byte(before), []byte(body))
		}
	}
}

func FuzzElements(f *testing.F) {
	for i, body := range elements {
		f.Add([]byte(elements[(i+1)%len(elements)]), []byte(body))
	}
	f.Fuzz(sameElement)
}

func sameElement(t *testing.T, before, body []byte) {
	if len(body) == 0 || body[0] != '{' {
		return
	}
	fast, slow := statLevel(t), statLevel(t)
	fast.element(before, 0, 0)
	end, ok := fast.element(body, 0, 0)
	err := slow.tokens(body)
	if (err == nil) != (ok && len(bytes.TrimLeft(body[end:], " \t\r\n")) == 0) {
		t.Fatalf("%q after %q: %v at %d, jsontext says %v", body, before, ok, end, err)
	}
	if got, want := fast.state(), slow.state(); err == nil && got != want {
		t.Errorf("%q after %q: got\n%s\nwant\n%s", body, before, got, want)
	}
}

// statLevel is the level of the stats of statRules.
func statLevel(t *testing.T) *level {
	root, err := sourceOf(t, statRules).plan()
	if err != nil {
		t.Fatal(err)
	}
	return root.below.next["ads"].level.below.next["stats"].level
}

// tokens reads an element with jsontext.
func (l *level) tokens(body []byte) error {
	l.begin()
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for n := 0; d.PeekKind() == '"'; n++ {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		f := l.lookup(n, name)
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		l.put(f, kindOf(value[0]), bytes.Clone(value))
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.Join(err, errBroken)
	}
	return nil
}

func (l *level) state() string {
	var b strings.Builder
	for _, c := range l.cells {
		fmt.Fprintf(&b, "%s %q\n", c.kind, c.b)
	}
	for _, at := range l.nonZero() {
		fmt.Fprintf(&b, "%s %s\n", l.metrics[at], l.values[at])
	}
	return b.String() + l.odd
}

func TestPlainNumbers(t *testing.T) {
	for _, test := range []struct {
		in  string
		end int // 0: not plain
	}{
		{"0", 1}, {"7,", 1}, {"12.5}", 4}, {"0.000001 ", 8}, {"999999999999.999999", 19}, {"10.0", 4}, {"1-", 1},
		{"", 0}, {"-1", 0}, {"00", 0}, {"01", 0}, {"1.", 0}, {".5", 0}, {"+1", 0}, {"1e3", 0}, {"1.5E3", 0}, {"0.0000001", 0}, {"1000000000000", 0}, {"x", 0},
	} {
		v, end, ok := plainNumber([]byte(" "+test.in), 1)
		if ok != (test.end > 0) || end != 1+test.end {
			t.Errorf("%q: %v at %d", test.in, ok, end)
			continue
		}
		if want, err := metric.Parse(test.in[:test.end]); ok && (err != nil || v != want) {
			t.Errorf("%q: got %s, want %s, %v", test.in, v, want, err)
		}
	}
}
