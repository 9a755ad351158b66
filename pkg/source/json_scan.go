package source

import "github.com/leatflow/leat/pkg/metric"

// The functions of this file return where the piece of JSON ends that begins at
// a place of b, and check it. Where it is not JSON they return the place of the
// fault, which is len(b) where b ends too early, and false.

// maxDepth bounds how many objects and arrays may lie within one another.
const maxDepth = 10_000

// valueEnd passes over a value that lies within so many others. A number that
// ends with b is whole.
func valueEnd(b []byte, i, depth int) (int, bool) {
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{':
		return objectEnd(b, i, depth)
	case '[':
		return arrayEnd(b, i, depth)
	case 'n':
		return wordEnd(b, i, "null")
	case 't':
		return wordEnd(b, i, "true")
	case 'f':
		return wordEnd(b, i, "false")
	default:
		return numberEnd(b, i)
	}
}

func objectEnd(b []byte, i, depth int) (int, bool) {
	i, more, ok := firstOf(b, i, '}', depth)
	for ok && more {
		if i, ok = nameEnd(b, i); ok {
			i, ok = afterName(b, i)
		}
		if ok {
			i, ok = valueEnd(b, i, depth+1)
		}
		if ok {
			i, more, ok = nextOf(b, i, '}')
		}
	}
	return i, ok
}

func arrayEnd(b []byte, i, depth int) (int, bool) {
	i, more, ok := firstOf(b, i, ']', depth)
	for ok && more {
		if i, ok = valueEnd(b, i, depth+1); ok {
			i, more, ok = nextOf(b, i, ']')
		}
	}
	return i, ok
}

// firstOf passes over the bracket before the first of an object or array, and
// over that behind it where it is empty.
func firstOf(b []byte, i int, closing byte, depth int) (_ int, more, ok bool) {
	if depth >= maxDepth {
		return i, false, false
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == closing {
		return i + 1, false, true
	}
	return i, true, true
}

// nextOf passes over the comma before the next of an object or array, or over
// the bracket behind the last.
func nextOf(b []byte, i int, closing byte) (_ int, more, ok bool) {
	i = skipSpace(b, i)
	switch {
	case i < len(b) && b[i] == ',':
		return skipSpace(b, i+1), true, true
	case i < len(b) && b[i] == closing:
		return i + 1, false, true
	default:
		return i, false, false
	}
}

func nameEnd(b []byte, i int) (int, bool) {
	if i >= len(b) || b[i] != '"' {
		return i, false
	}
	return stringEnd(b, i)
}

// afterName passes over the colon.
func afterName(b []byte, i int) (int, bool) {
	if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
		return i, false
	}
	return skipSpace(b, i+1), true
}

// skipSpace returns where the space that begins at i ends.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && isSpace(b[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func stringEnd(b []byte, i int) (int, bool) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, true
		case c == '\\':
			end, ok := escapeEnd(b, i)
			if !ok {
				return end, false
			}
			i = end - 1
		case c < ' ':
			return i, false
		}
	}
	return i, false
}

func escapeEnd(b []byte, i int) (int, bool) {
	if i++; i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, true
	case 'u':
		for range 4 {
			if i++; i >= len(b) || !isHex(b[i]) {
				return i, false
			}
		}
		return i + 1, true
	default:
		return i, false
	}
}

func isHex(c byte) bool { return isDigit(c) || (c|0x20 >= 'a' && c|0x20 <= 'f') }

func isNumberStart(c byte) bool { return c == '-' || isDigit(c) }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func wordEnd(b []byte, i int, word string) (int, bool) {
	for at := range len(word) {
		if i >= len(b) || b[i] != word[at] {
			return i, false
		}
		i++
	}
	return i, true
}

func numberEnd(b []byte, i int) (_ int, ok bool) {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i, ok = i+1, true
	} else {
		i, ok = digitsEnd(b, i)
	}
	if ok && i < len(b) && b[i] == '.' {
		i, ok = digitsEnd(b, i+1)
	}
	if ok && i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i, ok = digitsEnd(b, i)
	}
	return i, ok
}

// digitsEnd passes over digits, of which there must be one.
func digitsEnd(b []byte, i int) (int, bool) {
	start := i
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i, i > start
}

// millionths are those of a digit, by its place after the point.
var millionths = [...]uint64{1_000_000, 100_000, 10_000, 1_000, 100, 10, 1}

// plainNumber reads a number of at most 12 digits before the point and 6 after
// it. Any other, or what is none, is not ok and left to numberEnd.
func plainNumber(b []byte, i int) (v metric.Value, end int, ok bool) {
	u, whole := leadingDigits(b[i:], 0)
	if whole == 0 || whole > 12 || (whole > 1 && b[i] == '0') {
		return 0, i, false
	}
	end = i + whole
	places := 0
	if end < len(b) && b[end] == '.' {
		u, places = leadingDigits(b[end+1:], u)
		end += 1 + places
		if places == 0 || places >= len(millionths) {
			return 0, i, false
		}
	}
	if end < len(b) && b[end]|0x20 == 'e' {
		return 0, i, false
	}
	return metric.Value(u * millionths[places]), end, true
}

// leadingDigits appends the digits with which b begins to those of u.
func leadingDigits(b []byte, u uint64) (_ uint64, n int) {
	for _, c := range b {
		if !isDigit(c) {
			break
		}
		u = u*10 + uint64(c-'0')
		n++
	}
	return u, n
}
