package demosource

import (
	"io"
	"strconv"
	"strings"
)

// output collects bytes and hands them on in pieces, so that an answer of any
// size takes the memory of one piece.
type output struct {
	to  io.Writer
	buf []byte
	err error // the first one; nothing is written after it
}

const piece = 32 << 10

func newOutput(to io.Writer) *output {
	return &output{to: to, buf: make([]byte, 0, piece+4<<10)}
}

// ok hands on what is ready and says whether to go on.
func (o *output) ok() bool {
	if len(o.buf) >= piece {
		o.flush()
	}
	return o.err == nil
}

func (o *output) flush() {
	if o.err == nil {
		_, o.err = o.to.Write(o.buf)
	}
	o.buf = o.buf[:0]
}

func (o *output) text(parts ...string) {
	for _, part := range parts {
		o.buf = append(o.buf, part...)
	}
}

func (o *output) int(n int64) { o.buf = strconv.AppendInt(o.buf, n, 10) }

// cents writes a whole number of cents as a decimal with two places.
func (o *output) cents(n int64) {
	o.int(n / 100)
	o.buf = append(o.buf, '.', byte('0'+n/10%10), byte('0'+n%10))
}

// value writes a metric; zero is 0 for all of them.
func (o *output) value(m *metric, n int64) {
	if m.cents && n != 0 {
		o.cents(n)
		return
	}
	o.int(n)
}

// json writes a string as JSON. The texts made up here hold no control characters.
func (o *output) json(text string) {
	o.buf = append(o.buf, '"')
	if !strings.ContainsAny(text, `"\`) {
		o.buf = append(o.buf, text...)
	} else {
		for i := range len(text) {
			if text[i] == '"' || text[i] == '\\' {
				o.buf = append(o.buf, '\\')
			}
			o.buf = append(o.buf, text[i])
		}
	}
	o.buf = append(o.buf, '"')
}

// field writes a JSON member that is a string, with the punctuation before it: `,"name":`.
func (o *output) field(before, text string) {
	o.text(before)
	o.json(text)
}

// csv writes one CSV field.
func (o *output) csv(text string) {
	if !strings.ContainsAny(text, `",`) {
		o.text(text)
		return
	}
	o.text(`"`, strings.ReplaceAll(text, `"`, `""`), `"`)
}
