package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// A reference says what is wrong with JSON that is broken.
type reference struct {
	*jsontext.Decoder
	in    io.Reader
	taken int64
}

func newReference(in io.Reader) *reference {
	r := &reference{in: in}
	r.Decoder = jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return r
}

// Read implements io.Reader for the decoder.
func (r *reference) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.taken += int64(n)
	return n, err
}

// broken reads the answer once more, up to the value (where it is read whole) or
// token that is broken and begins after a place, to say what is wrong with it.
func (c *cutter) broken(at int64, whole bool) error {
	in, err := openAnswer(c.ctx, c.answer, false)
	if err != nil {
		return err
	}
	defer in.close()
	r := newReference(in.stream)
	if at == 0 && r.PeekKind() == jsontext.KindInvalid {
		if head := r.UnreadBuffer(); bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n\ufeff"), []byte("<")) {
			return badForm(bytePosition(0), "HTML or XML, "+found(rawText(head)), "a JSON array or object")
		}
	}
	for err == nil && r.InputOffset() < at {
		_, err = r.ReadToken()
	}
	if err == nil && whole {
		_, err = r.ReadValue()
	} else if err == nil {
		_, err = r.ReadToken()
	}
	if err == nil { // the file is not what it was
		return badForm(bytePosition(at), errBroken.Error(), "valid JSON")
	}
	return r.formError(err)
}

// formError puts what the decoder says into the answer's words; errors of the
// file and of ctx stay as they are.
func (r *reference) formError(err error) error {
	var broken *FormError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &broken):
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return badCut(r.taken)
	case errors.As(err, &syntax):
		what := syntax.Err.Error()
		if syntax.JSONPointer != "" {
			what += " in " + string(syntax.JSONPointer)
		}
		return badForm(bytePosition(syntax.ByteOffset), what, "valid JSON")
	default:
		return err
	}
}

// brokenLine says what is wrong with a line.
func brokenLine(line []byte) string {
	r := newReference(bytes.NewReader(line))
	_, err := r.ReadToken()
	for err == nil && r.StackDepth() > 0 {
		_, err = r.ReadToken()
	}
	if err == nil {
		return "more after the end of the JSON was found; one JSON object is allowed"
	}
	if broken, ok := errors.AsType[*FormError](r.formError(err)); ok {
		return fmt.Sprintf("%s was found at %s; one JSON object is allowed", broken.Found, broken.Position)
	}
	return err.Error()
}
