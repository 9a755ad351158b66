// Package metric holds exact, sparse metrics: decimals that never pass through
// a float, in sets where what is zero is absent.
package metric

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// A Value is an exact decimal in millionths: up to 12 digits before the point
// and 6 after it.
type Value int64

const (
	one   = 1_000_000         // a Value's unit
	limit = 1_000_000_000_000 // whole numbers that a source may say are below this
)

// ErrRange says that a number has more than 12 digits before the point. Sums and
// differences of such numbers may have more: up to about nine times as much.
var ErrRange = errors.New("more than 12 digits before the point")

// Parse reads a decimal number as JSON writes it; digits past the sixth after
// the point are rounded half to even.
func Parse[T ~string | ~[]byte](s T) (Value, error) {
	v, rest, err := Scan(s)
	switch {
	case err == nil && len(rest) > 0:
		err = notNumber(s)
	case v >= limit*one || v <= -limit*one:
		v, err = 0, ErrRange
	}
	return v, err
}

func notNumber[T ~string | ~[]byte](s T) error {
	if len(s) > 40 {
		s = s[:40]
	}
	return fmt.Errorf("%q is not a number", string(s))
}

// Scan reads the number that s begins with and returns what follows it. It may
// be as large as a Value holds.
func Scan[T ~string | ~[]byte](s T) (v Value, rest T, err error) {
	if v, n := scanPlain(s); n > 0 {
		return v, s[n:], nil
	}
	return scanAny(s)
}

// units are the millionths of a digit by its place after the point.
var units = [...]uint64{1_000_000, 100_000, 10_000, 1_000, 100, 10, 1}

// scanPlain reads a number of up to 12 digits before the point and 6 after it,
// and returns its length; 0 where it is written in any other way.
func scanPlain[T ~string | ~[]byte](s T) (v Value, n int) {
	i := 0
	if len(s) > 0 && s[0] == '-' {
		i = 1
	}
	start, u := i, uint64(0)
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		u = u*10 + uint64(s[i]-'0')
	}
	whole, places := i-start, 0
	if i < len(s) && s[i] == '.' {
		point := i
		for i++; i < len(s) && s[i]-'0' <= 9; i++ {
			u = u*10 + uint64(s[i]-'0')
		}
		if places = i - point - 1; places == 0 {
			return 0, 0
		}
	}
	if whole == 0 || whole > 12 || places >= len(units) || (i < len(s) && s[i]|0x20 == 'e') {
		return 0, 0
	}
	v = Value(u * units[places])
	if start == 1 {
		v = -v
	}
	return v, i
}

// scanAny reads a number however it is written.
func scanAny[T ~string | ~[]byte](s T) (v Value, rest T, err error) {
	i, negative := 0, false
	if i < len(s) && s[i] == '-' {
		negative, i = true, i+1
	}
	var digits [64]byte // without leading zeros; what does not fit only matters for rounding
	n, point, seen, sticky := 0, 0, false, false
	fraction := false
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && !fraction && seen {
			fraction = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen = true
		switch {
		case n == 0 && c == '0':
			if fraction {
				point--
			}
			continue
		case n < len(digits):
			digits[n] = c - '0'
			n++
		case c != '0':
			sticky = true
		}
		if !fraction {
			point++
		}
	}
	if !seen || s[i-1] == '.' {
		return 0, s, notNumber(s)
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		exp, after, ok := exponent(s[i+1:])
		if !ok {
			return 0, s, notNumber(s)
		}
		point += exp
		i = len(s) - len(after)
	}
	v, err = assemble(digits[:n], point, sticky)
	if negative {
		v = -v
	}
	return v, s[i:], err
}

func exponent[T ~string | ~[]byte](s T) (exp int, rest T, ok bool) {
	i, sign := 0, 1
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		if s[i] == '-' {
			sign = -1
		}
		i++
	}
	start := i
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		exp = min(exp*10+int(s[i]-'0'), 1<<30) // far beyond any number of digits
	}
	return sign * exp, s[i:], i > start
}

// assemble makes a Value of significant digits, the point standing after the
// first point of them.
func assemble(digits []byte, point int, sticky bool) (Value, error) {
	if len(digits) == 0 {
		return 0, nil
	}
	if point > 13 {
		return 0, ErrRange
	}
	keep := point + 6
	if keep < 0 {
		return 0, nil
	}
	var v uint64
	for i := range keep {
		v *= 10
		if i < len(digits) {
			v += uint64(digits[i])
		}
	}
	if keep < len(digits) {
		half := digits[keep] == 5 && !sticky && !slices.ContainsFunc(digits[keep+1:], func(d byte) bool { return d != 0 })
		if (half && v%2 == 1) || (!half && digits[keep] >= 5) {
			v++
		}
	}
	if v > math.MaxInt64 {
		return 0, ErrRange
	}
	return Value(v), nil
}

// Append writes v to b without exponent or trailing zeros.
func (v Value) Append(b []byte) []byte {
	u := uint64(v)
	if v < 0 {
		b, u = append(b, '-'), -u
	}
	b = strconv.AppendUint(b, u/one, 10)
	return appendFraction(b, u%one)
}

// appendFraction writes millionths after a point.
func appendFraction(b []byte, f uint64) []byte {
	if f == 0 {
		return b
	}
	b = append(b, '.')
	for unit := uint64(one / 10); f > 0; unit /= 10 {
		b = append(b, byte('0'+f/unit))
		f %= unit
	}
	return b
}

// String writes v without exponent or trailing zeros.
func (v Value) String() string { return string(v.Append(nil)) }

// A Metric is one named value.
type Metric struct {
	Name  string
	Value Value
}

// A Set is metrics sorted by name, each name once, none of them zero.
type Set []Metric

// Make returns the set of ms: sorted, zeros dropped, of a name given twice the last.
func Make(ms []Metric) Set {
	if byName := func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) }; !slices.IsSortedFunc(ms, byName) {
		slices.SortStableFunc(ms, byName)
	}
	out := ms[:0]
	for i, m := range ms {
		if (i+1 < len(ms) && ms[i+1].Name == m.Name) || m.Value == 0 {
			continue
		}
		out = append(out, m)
	}
	return Set(out)
}

// Get returns the value of a name, zero when absent.
func (s Set) Get(name string) Value {
	i, ok := slices.BinarySearchFunc(s, name, func(m Metric, name string) int { return cmp.Compare(m.Name, name) })
	if !ok {
		return 0
	}
	return s[i].Value
}

// Equal reports whether two sets hold the same metrics.
func (s Set) Equal(t Set) bool { return slices.Equal(s, t) }

// Plus returns s + t, and ErrRange when a sum is too large for a Value.
func (s Set) Plus(t Set) (Set, error) { return merge(s, t, 1) }

// Minus returns s - t, and ErrRange when a difference is too large for a Value.
func (s Set) Minus(t Set) (Set, error) { return merge(s, t, -1) }

func merge(s, t Set, sign Value) (Set, error) {
	out := make(Set, 0, len(s)+len(t))
	for len(s) > 0 || len(t) > 0 {
		var m Metric
		switch {
		case len(t) == 0 || (len(s) > 0 && s[0].Name < t[0].Name):
			m, s = s[0], s[1:]
		case len(s) == 0 || t[0].Name < s[0].Name:
			m, t = Metric{t[0].Name, sign * t[0].Value}, t[1:]
		default:
			a, b := s[0].Value, sign*t[0].Value
			m = Metric{s[0].Name, a + b}
			if (a > 0) == (b > 0) && (m.Value > 0) != (a > 0) {
				return nil, fmt.Errorf("metric %s: %w", m.Name, ErrRange)
			}
			s, t = s[1:], t[1:]
		}
		if m.Value != 0 {
			out = append(out, m)
		}
	}
	return out, nil
}

// Only returns the metrics of s whose names are among names, which are sorted.
func (s Set) Only(names []string) Set {
	return s.filter(func(name string) bool { return contains(names, name) })
}

// Without returns the metrics of s whose names are not among names, which are sorted.
func (s Set) Without(names []string) Set {
	return s.filter(func(name string) bool { return !contains(names, name) })
}

func (s Set) filter(keep func(string) bool) Set {
	out := make(Set, 0, len(s))
	for _, m := range s {
		if keep(m.Name) {
			out = append(out, m)
		}
	}
	return out
}

func contains(sorted []string, name string) bool {
	_, ok := slices.BinarySearch(sorted, name)
	return ok
}

// A Sum adds any number of values exactly: 128 bits of millionths.
type Sum struct {
	hi int64
	lo uint64
}

// Add adds v.
func (s *Sum) Add(v Value) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, uint64(v), 0)
	s.hi += int64(v)>>63 + int64(carry)
}

// IsZero reports whether the sum is zero.
func (s Sum) IsZero() bool { return s == Sum{} }

// split returns the sum's whole part, as 128 bits, and its millionths.
func (s Sum) split() (hi, lo, rest uint64, negative bool) {
	magnitude := s
	if negative = s.hi < 0; negative {
		var borrow uint64
		magnitude.lo, borrow = bits.Sub64(0, s.lo, 0)
		magnitude.hi = -s.hi - int64(borrow)
	}
	hi = uint64(magnitude.hi) / one
	lo, rest = bits.Div64(uint64(magnitude.hi)%one, magnitude.lo, one)
	return hi, lo, rest, negative
}

// Number returns the sum as an int64 when it is whole and fits, else as the
// nearest float64: the two types a document holds.
func (s Sum) Number() any {
	if n, whole := s.Int64(); whole {
		return n
	}
	return s.Float64()
}

// Append writes the sum to b without exponent or trailing zeros.
func (s Sum) Append(b []byte) []byte {
	hi, lo, rest, negative := s.split()
	if negative {
		b = append(b, '-')
	}
	return appendFraction(appendWhole(b, hi, lo), rest)
}

// appendWhole writes the 128-bit number hi<<64 + lo.
func appendWhole(b []byte, hi, lo uint64) []byte {
	if hi == 0 {
		return strconv.AppendUint(b, lo, 10)
	}
	const chunk = 10_000_000_000_000_000_000
	quotient, rest := bits.Div64(hi%chunk, lo, chunk)
	return fmt.Appendf(b, "%d%019d", quotient, rest)
}
