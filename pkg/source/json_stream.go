package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxRecord = 1 << 20  // bytes of one record
	maxToken  = 16 << 20 // bytes of one text in JSON, even in a field that is not read
)

var errTooLong = errors.New("more bytes than may be held")

// A jsonStream reads JSON from one place on. What it holds is bounded: a value
// that is too long is an error, after which it can still be skipped.
type jsonStream struct {
	*jsontext.Decoder
	in    *bufio.Reader
	base  int64 // offset of its first byte in the answer
	taken int64
	limit int64 // of taken
}

func newStream() *jsonStream {
	s := &jsonStream{in: bufio.NewReaderSize(nil, 32<<10)}
	s.Decoder = jsontext.NewDecoder(s, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return s
}

// start reads from r on, whose first byte stands at base.
func (s *jsonStream) start(r io.Reader, base int64) {
	s.in.Reset(r)
	s.base, s.taken, s.limit = base, 0, maxToken
	s.Reset(s, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Read implements io.Reader for the decoder.
func (s *jsonStream) Read(p []byte) (int, error) {
	if s.taken >= s.limit {
		return 0, errTooLong
	}
	n, err := s.in.Read(p[:min(int64(len(p)), s.limit-s.taken)])
	s.taken += int64(n)
	return n, err
}

// offset returns where the decoder stands in the answer.
func (s *jsonStream) offset() int64 { return s.base + s.InputOffset() }

// next returns the kind of what follows; the error comes with reading it.
func (s *jsonStream) next() jsontext.Kind {
	s.limit = s.taken + maxToken
	return s.PeekKind()
}

// token reads a token.
func (s *jsonStream) token() (jsontext.Token, error) {
	s.limit = s.taken + maxToken
	return s.ReadToken()
}

// name reads the name of a field: JSON with its quotes, until the next read.
func (s *jsonStream) name() ([]byte, error) {
	s.limit = s.taken + maxToken
	return s.ReadValue()
}

// value reads a value, which is valid until the next read. Of one that is longer
// than a record may be it returns the beginning, and passes over it.
func (s *jsonStream) value() (v []byte, tooLong bool, err error) {
	s.next()
	s.limit = s.taken + maxRecord
	v, err = s.ReadValue()
	if !errors.Is(err, errTooLong) {
		return v, len(v) > maxRecord, err
	}
	v = bytes.TrimLeft(s.UnreadBuffer(), " \t\r\n:,")
	v = bytes.Clone(v[:min(len(v), maxRejectText)])
	return v, true, s.skip()
}

// skip passes over a value without holding it.
func (s *jsonStream) skip() error {
	for depth := s.StackDepth(); ; {
		if _, err := s.token(); err != nil {
			return err
		}
		if s.StackDepth() <= depth {
			return nil
		}
	}
}

// formError puts what the decoder says into the answer's words; errors of the
// file and of ctx stay as they are.
func (s *jsonStream) formError(err error) error {
	var broken *FormError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil || errors.As(err, &broken):
		return err
	case errors.Is(err, errTooLong):
		return badForm(s.position(s.InputOffset()), fmt.Sprintf("a text of more than %d MiB", maxToken>>20), "shorter texts")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return badForm(s.position(s.taken), "the end of an answer that is cut off", "the rest of the JSON")
	case errors.As(err, &syntax):
		what := "JSON that is broken"
		if syntax.Err != nil {
			what = syntax.Err.Error()
		}
		if syntax.JSONPointer != "" {
			what += " in " + string(syntax.JSONPointer)
		}
		return badForm(s.position(syntax.ByteOffset), what, "valid JSON")
	default:
		return err
	}
}

func (s *jsonStream) position(offset int64) string { return fmt.Sprintf("byte %d", s.base+offset) }
