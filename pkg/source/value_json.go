package source

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

const maxDigits = 400 // of a number in an attribute, written without exponent

// appendCanonical appends a valid JSON value in the one form that equal values
// have: names sorted (of a name given twice the last), no spaces, numbers
// without exponent, and no more escapes than needed.
func appendCanonical(dst, raw []byte) ([]byte, string) {
	switch raw[0] {
	case '{':
		return appendObject(dst, raw)
	case '[':
		return appendArray(dst, raw)
	case '"':
		if inside := raw[1 : len(raw)-1]; bytes.IndexByte(inside, '\\') < 0 {
			if reason := checkText(inside); reason != "" {
				return dst, reason
			}
			return appendQuoted(dst, inside)
		}
		text, reason := appendString(nil, raw)
		if reason != "" {
			return dst, reason
		}
		return appendQuoted(dst, text)
	case 't', 'f', 'n':
		return append(dst, raw...), ""
	default:
		return appendNumber(dst, raw)
	}
}

func appendArray(dst, raw []byte) (_ []byte, reason string) {
	dst = append(dst, '[')
	for i := skipSpace(raw, 1); raw[i] != ']'; {
		if raw[i] == ',' {
			dst = append(dst, ',')
			i = skipSpace(raw, i+1)
		}
		end, _ := valueEnd(raw, i, 0)
		if dst, reason = appendCanonical(dst, raw[i:end]); reason != "" {
			return dst, reason
		}
		i = skipSpace(raw, end)
	}
	return append(dst, ']'), ""
}

type member struct{ name, value []byte }

func appendObject(dst, raw []byte) (_ []byte, reason string) {
	var members []member
	for i := skipSpace(raw, 1); raw[i] != '}'; {
		if raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
		var m member
		end, _ := stringEnd(raw, i)
		if m.name, reason = appendString(nil, raw[i:end]); reason != "" {
			return dst, reason
		}
		i = skipSpace(raw, skipSpace(raw, end)+1)
		end, _ = valueEnd(raw, i, 0)
		m.value = raw[i:end]
		members = append(members, m)
		i = skipSpace(raw, end)
	}
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	dst = append(dst, '{')
	comma := false
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.name, members[i+1].name) {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		if dst, reason = appendQuoted(dst, m.name); reason != "" {
			return dst, reason
		}
		if dst, reason = appendCanonical(append(dst, ':'), m.value); reason != "" {
			return dst, reason
		}
	}
	return append(dst, '}'), ""
}

// appendNumber appends a JSON number without exponent, minus zero, leading or
// trailing zeros.
func appendNumber(dst, raw []byte) ([]byte, string) {
	if plainWhole(raw) {
		return append(dst, raw...), ""
	}
	mantissa, exponent := raw, 0
	if e := bytes.IndexAny(raw, "eE"); e >= 0 {
		mantissa = raw[:e]
		n, err := strconv.Atoi(string(bytes.TrimPrefix(raw[e+1:], []byte("+"))))
		if err != nil { // too long for an int: as good as without end
			n = cmp.Or(map[bool]int{true: -1 << 30}[raw[e+1] == '-'], 1<<30)
		}
		exponent = max(min(n, 1<<30), -1<<30)
	}
	negative := mantissa[0] == '-'
	whole, fraction, _ := bytes.Cut(bytes.TrimPrefix(mantissa, []byte("-")), []byte("."))
	digits := append(bytes.Clone(whole), fraction...)
	point := len(whole) + exponent
	trimmed := bytes.TrimLeft(digits, "0")
	point -= len(digits) - len(trimmed)
	digits = bytes.TrimRight(trimmed, "0")
	if len(digits) == 0 {
		return append(dst, '0'), ""
	}
	if max(point, len(digits))-min(point, 0) > maxDigits {
		return dst, fmt.Sprintf("is %s; a number of at most %d digits is allowed", found(string(raw)), maxDigits)
	}
	if negative {
		dst = append(dst, '-')
	}
	return appendDecimal(dst, digits, point), ""
}

// plainWhole reports whether raw is a whole number already in its plain form.
func plainWhole(raw []byte) bool {
	if len(raw) > 18 || raw[0] == '-' || (raw[0] == '0' && len(raw) > 1) {
		return false
	}
	for _, b := range raw {
		if b < '0' || b > '9' {
			return false
		}
	}
	return true
}

// appendDecimal appends digits with the point after the first point of them.
func appendDecimal(dst, digits []byte, point int) []byte {
	if point <= 0 {
		dst = append(dst, '0', '.')
		dst = append(dst, bytes.Repeat([]byte("0"), -point)...)
		return append(dst, digits...)
	}
	if point >= len(digits) {
		dst = append(dst, digits...)
		return append(dst, bytes.Repeat([]byte("0"), point-len(digits))...)
	}
	dst = append(dst, digits[:point]...)
	dst = append(dst, '.')
	return append(dst, digits[point:]...)
}

// unquoteName returns the name of a field, with its invalid bytes replaced.
func unquoteName(raw []byte) string {
	text, _ := jsontext.AppendUnquote(nil, raw)
	return string(text)
}
