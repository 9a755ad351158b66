package metric

import (
	"math/bits"
	"strconv"
)

// Sub takes t away.
func (s *Sum) Sub(t Sum) {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, t.lo, 0)
	s.hi -= t.hi + int64(borrow)
}

// Int64 returns the sum if it is whole and fits into 64 bits.
func (s Sum) Int64() (n int64, ok bool) {
	if v, small := s.millionths(); small {
		return v / one, v%one == 0
	}
	hi, lo, rest, negative := s.split()
	if rest != 0 || hi != 0 || lo >= 1<<63 {
		return 0, false
	}
	if negative {
		return -int64(lo), true
	}
	return int64(lo), true
}

// Float64 returns the float64 that is nearest to the sum.
func (s Sum) Float64() float64 {
	const exact = 1 << 53 // up to here the millionths are a float64 themselves, and a quotient is rounded once
	if v, small := s.millionths(); small && -exact <= v && v <= exact {
		return float64(v) / one
	}
	f, _ := strconv.ParseFloat(string(s.Append(nil)), 64) // digits and a point: it parses, and 38 digits fit
	return f
}

// millionths returns the sum as 64 bits, if it fits.
func (s Sum) millionths() (v int64, small bool) {
	v = int64(s.lo)
	return v, s.hi == v>>63
}
