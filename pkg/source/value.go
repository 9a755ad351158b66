package source

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A cell is the value of one field of the element in hand.
type cell struct {
	kind kind
	b    []byte // text, or raw JSON
}

type kind uint8

const (
	cellAbsent kind = iota
	cellNull
	cellText   // of a flat file: as it is
	cellQuoted // a JSON string
	cellNumber
	cellBool
	cellCompound // a JSON object or array
)

// kindOf returns the kind of a JSON value by its first byte.
func kindOf(first byte) kind {
	switch first {
	case '"':
		return cellQuoted
	case '{', '[':
		return cellCompound
	case 'n':
		return cellNull
	case 't', 'f':
		return cellBool
	default:
		return cellNumber
	}
}

func (k kind) String() string {
	return [...]string{"nothing", "null", "text", "text", "a number", "true or false", "an object or array"}[k]
}

// appendText appends a cell as text: a number in its plain form, nothing for
// what is absent.
func (v *cell) appendText(dst []byte) ([]byte, string) {
	switch v.kind {
	case cellAbsent, cellNull:
		return dst, ""
	case cellText:
		return appendPlain(dst, v.b)
	case cellQuoted:
		return appendString(dst, v.b)
	case cellNumber:
		return appendNumber(dst, v.b)
	case cellBool:
		return append(dst, v.b...), ""
	default:
		return dst, fmt.Sprintf("is %s; text or a number is allowed", v.kind)
	}
}

// maxAttributeDepth keeps an attribute within what MongoDB takes (100 levels, of
// which the document has some), and its canonical form cheap.
const maxAttributeDepth = 50

// appendJSON appends a cell as canonical JSON.
func (v *cell) appendJSON(dst []byte) ([]byte, string) {
	if v.kind != cellText {
		if _, ok := valueEnd(v.b, 0, maxDepth-maxAttributeDepth); !ok {
			return dst, fmt.Sprintf("has more than %d objects or arrays within one another", maxAttributeDepth)
		}
		return appendCanonical(dst, v.b)
	}
	if reason := checkText(v.b); reason != "" {
		return dst, reason
	}
	return appendQuoted(dst, v.b)
}

func appendPlain(dst, b []byte) ([]byte, string) {
	if reason := checkText(b); reason != "" {
		return dst, reason
	}
	return append(dst, b...), ""
}

// checkText says what PostgreSQL would refuse.
func checkText(b []byte) string {
	switch {
	case bytes.IndexByte(b, 0) >= 0:
		return fmt.Sprintf("is %s, which holds a NUL; text without is allowed", found(string(b)))
	case !utf8.Valid(b):
		return fmt.Sprintf("is %s, which is not UTF-8; UTF-8 is allowed", found(string(b)))
	}
	return ""
}

// appendString appends the text of a JSON string.
func appendString(dst, raw []byte) ([]byte, string) {
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return appendPlain(dst, inside)
	}
	start := len(dst)
	dst, err := jsontext.AppendUnquote(dst, raw)
	if err != nil {
		return dst[:start], fmt.Sprintf("is %s, which is not Unicode text; UTF-8 is allowed", found(string(raw)))
	}
	if reason := checkText(dst[start:]); reason != "" {
		return dst[:start], reason
	}
	return dst, ""
}

// appendQuoted appends valid text as a JSON string.
func appendQuoted(dst, b []byte) ([]byte, string) {
	dst, err := jsontext.AppendQuote(dst, b)
	if err != nil {
		return dst, fmt.Sprintf("is %s: %v", found(string(b)), err)
	}
	return dst, ""
}
