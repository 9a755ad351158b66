package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A lineReader reads lines of up to maxRecord bytes.
type lineReader struct {
	in   *bufio.Reader
	line int // number of the line in hand, from 1
}

func newLineReader(in *input) *lineReader {
	size := int64(maxRecord + 2) // with \r\n
	if in.file != nil {
		size = min(size, in.size+1)
	}
	return &lineReader{in: bufio.NewReaderSize(in.stream, int(size))}
}

// read returns the next line with its end, valid until the next read. Of one
// that is too long it returns the beginning, and passes over it.
func (r *lineReader) read() (line []byte, tooLong bool, err error) {
	line, err = r.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil
	}
	r.line++
	if err == nil {
		return line, len(chomp(line)) > maxRecord, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, false, err
	}
	head := bytes.Clone(line[:maxRejectText])
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.in.ReadSlice('\n')
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return head, true, err
}

// chomp cuts the end off a line.
func chomp(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// readLines takes the records out of NDJSON: each line is an element, and may
// have arrays in it. A broken line costs that line.
func (c *cutter) readLines(in *input) error {
	r := newLineReader(in)
	w := c.walker(nil)
	s := newStream(window)
	for {
		line, tooLong, err := r.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.line, w.trail = r.line, w.trail[:0]
		if err := w.readLine(s, bytes.TrimSpace(line), tooLong); err != nil {
			return err
		}
	}
}

func (w *walker) readLine(s *jsonStream, line []byte, tooLong bool) error {
	switch {
	case tooLong:
		return w.reject(w.where(), tooLongReason, line)
	case len(line) == 0:
		return nil
	case w.line == 1 && line[0] == '<':
		return badForm("line 1", "HTML or XML, "+found(rawText(line)), "a JSON object on each line")
	}
	end, ok := w.root.element(line, 0, 0)
	switch {
	case !ok || end < len(line):
		return w.reject(w.where(), brokenLine(line), line)
	case line[0] != '{':
		return w.reject(w.where(), kindName(line[0])+" was found where an object is allowed", line)
	case w.root.below == nil:
		w.raw = line
		return w.apply(w.root, nil)
	}
	text := bytes.NewReader(line)
	w.file = text
	s.start(text, 0, 0)
	return s.formError(w.element(s, w.root, nil))
}
