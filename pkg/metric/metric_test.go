package metric_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/metric"
)

func TestParse(t *testing.T) {
	tests := []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"0.0", "0"}, {"-0.000", "0"}, {"007", "7"},
		{"1", "1"}, {"-1", "-1"}, {"12.5", "12.5"}, {"12.500", "12.5"}, {"0.000001", "0.000001"}, {"-0.000001", "-0.000001"},
		{"100", "100"}, {"1000000", "1000000"},

		// half to even, at the sixth digit
		{"0.0000005", "0"}, {"0.0000015", "0.000002"}, {"0.0000025", "0.000002"}, {"0.0000035", "0.000004"},
		{"-0.0000005", "0"}, {"-0.0000015", "-0.000002"}, {"-0.0000025", "-0.000002"},
		{"0.00000050", "0"}, {"0.00000051", "0.000001"}, {"0.00000049", "0"}, {"0.00000250000000000000000001", "0.000003"},
		{"0.0000025" + strings.Repeat("0", 100) + "1", "0.000003"}, // past all digits that are kept
		{"0.0000025" + strings.Repeat("0", 100), "0.000002"},
		{"1.9999995", "2"}, {"1.9999994", "1.999999"}, {"0.9999996", "1"},

		// exponents
		{"1e0", "1"}, {"1e3", "1000"}, {"1E3", "1000"}, {"1e+3", "1000"}, {"1.5e2", "150"}, {"1e-6", "0.000001"}, {"15e-7", "0.000002"},
		{"1e-7", "0"}, {"1e-999999999999999999999", "0"}, {"0e999999999999999999999", "0"}, {"-2.5e-1", "-0.25"},
		{"0." + strings.Repeat("0", 1500) + "1e1501", "1"}, {"1" + strings.Repeat("0", 1500) + "e-1500", "1"},
		{"1234567e-3", "1234.567"}, {"0.00001234e5", "1.234"},

		// twelve digits before the point
		{"999999999999", "999999999999"}, {"-999999999999.999999", "-999999999999.999999"}, {"999999999999.9999994", "999999999999.999999"},
		{"000000000000000000001", "1"}, {"1e11", "100000000000"},
	}
	for _, tt := range tests {
		got, err := metric.Parse(tt.in)
		if err != nil || got.String() != tt.want {
			t.Errorf("Parse(%.40q) = %v, %v, want %s", tt.in, got, err, tt.want)
		}
		if bytes, err := metric.Parse([]byte(tt.in)); bytes != got || err != nil {
			t.Errorf("Parse([]byte(%.40q)) = %v, %v, want %v", tt.in, bytes, err, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"1000000000000", "-1000000000000", "1e12", "999999999999.9999995", "1e999999999999999999999", "9" + strings.Repeat("0", 100),
	} {
		if got, err := metric.Parse(in); !errors.Is(err, metric.ErrRange) {
			t.Errorf("Parse(%.40q) = %v, %v, want ErrRange", in, got, err)
		}
	}
	for _, in := range []string{
		"", "-", "+", "+1", ".", ".5", "5.", "-.5", "1.e5", "1e", "1e+", "1e-", "e5", "1.2.3", "--1", "1-", " 1", "1 ", "1,5", "1_000", "0x10",
		"NaN", "Infinity", "null", "true", `"1"`, "１", "1e5.5", "1\x00",
	} {
		if got, err := metric.Parse(in); err == nil || errors.Is(err, metric.ErrRange) {
			t.Errorf("Parse(%q) = %v, %v, want that it is not a number", in, got, err)
		}
	}
}

// exact returns the rational number that s is, rounded as Parse promises.
func exact(s string) (metric.Value, bool) {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(1_000_000, 1))
	floor, rest := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	switch twice := rest.Lsh(rest, 1).Cmp(r.Denom()); {
	case twice > 0, twice == 0 && floor.Bit(0) == 1:
		floor.Add(floor, big.NewInt(1))
	}
	if floor.CmpAbs(big.NewInt(1_000_000_000_000_000_000)) >= 0 {
		return 0, false
	}
	return metric.Value(floor.Int64()), true
}

func TestParseIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789055"[random.IntN(13)] // many zeros and fives: the edges of rounding
		}
		return string(b)
	}
	for range 20_000 {
		s := []string{"", "-"}[random.IntN(2)] + digits(1+random.IntN(13))
		if random.IntN(3) > 0 {
			s += "." + digits(1+random.IntN(12))
		}
		if random.IntN(3) == 0 {
			s += fmt.Sprintf("e%d", random.IntN(40)-20)
		}
		want, fits := exact(s)
		got, err := metric.Parse(s)
		if got != want || (err == nil) != fits {
			t.Fatalf("Parse(%s) = %d millionths, %v, want %d, fits: %v", s, got, err, want, fits)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "-0.5", "1e5", "0.0000025", "999999999999.999999", "1e-7", "x", "1.", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := metric.Parse(s)
		if err != nil {
			return
		}
		again, err := metric.Parse(v.String())
		if err != nil || again != v {
			t.Errorf("%q is %s, which is %v, %v", s, v, again, err)
		}
		if text := v.String(); strings.ContainsAny(text, "eE+") || text == "-0" || (strings.Contains(text, ".") && strings.HasSuffix(text, "0")) {
			t.Errorf("%q is written %q", s, text)
		}
	})
}

// A model is a set as a map of exact numbers, zeros absent.
type model map[string]*big.Rat

func modelOf(s metric.Set) model {
	m := model{}
	for _, x := range s {
		m[x.Name] = rat(x.Value)
	}
	return m
}

func rat(v metric.Value) *big.Rat { return big.NewRat(int64(v), 1_000_000) }

func (m model) add(n model, sign int64) model {
	sum := maps.Clone(m)
	for name, v := range n {
		if sum[name] == nil {
			sum[name] = new(big.Rat)
		}
		sum[name] = new(big.Rat).Add(sum[name], new(big.Rat).Mul(v, big.NewRat(sign, 1)))
	}
	maps.DeleteFunc(sum, func(_ string, v *big.Rat) bool { return v.Sign() == 0 })
	return sum
}

func (m model) equal(s metric.Set) bool {
	return maps.EqualFunc(m, modelOf(s), func(a, b *big.Rat) bool { return a.Cmp(b) == 0 })
}

var names = []string{"clicks", "cost", "impressions", "reach", "views"}

func randomSet(random *rand.Rand) metric.Set {
	var ms []metric.Metric
	for range random.IntN(7) {
		v := metric.Value(random.Int64N(2e18) - 1e18)
		if random.IntN(2) == 0 {
			v = metric.Value(random.Int64N(5) - 2) // so that they cancel out
		}
		ms = append(ms, metric.Metric{Name: names[random.IntN(len(names))], Value: v})
	}
	return metric.Make(ms)
}

// wantSound fails unless a set is what Set promises.
func wantSound(t *testing.T, s metric.Set) {
	t.Helper()
	for i, m := range s {
		if m.Value == 0 || (i > 0 && s[i-1].Name >= m.Name) {
			t.Fatalf("%v is not sorted, without zeros and names that come twice", s)
		}
	}
}

func TestSetsAddUpAsExactNumbersDo(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	most := new(big.Rat).SetFrac64(math.MaxInt64, 1_000_000)
	for range 5_000 {
		a, b := randomSet(random), randomSet(random)
		wantSound(t, a)
		before := slices.Clone(a)
		for sign, op := range map[int64]func(metric.Set) (metric.Set, error){1: a.Plus, -1: a.Minus} {
			got, err := op(b)
			want := modelOf(a).add(modelOf(b), sign)
			fits := true
			for _, v := range want {
				fits = fits && new(big.Rat).Abs(v).Cmp(most) < 0
			}
			if (err == nil) != fits || (err != nil && !errors.Is(err, metric.ErrRange)) {
				t.Fatalf("%v %+d * %v: error %v, fits: %v", a, sign, b, err, fits)
			}
			if err == nil && !want.equal(got) {
				t.Fatalf("%v %+d * %v = %v, want %v", a, sign, b, got, want)
			}
			wantSound(t, got)
		}
		if !a.Equal(before) {
			t.Fatalf("an operation changed %v to %v", before, a)
		}
		only, without := a.Only(names[1:3]), a.Without(names[1:3])
		for _, name := range names {
			in := slices.Contains(names[1:3], name)
			if (in && only.Get(name) != a.Get(name)) || (!in && without.Get(name) != a.Get(name)) || (in && without.Get(name) != 0) || (!in && only.Get(name) != 0) {
				t.Fatalf("%v: only %v, without %v", a, only, without)
			}
		}
	}
}

func TestMakeKeepsTheLastOfAName(t *testing.T) {
	one, two := metric.Value(1_000_000), metric.Value(2_000_000)
	tests := []struct {
		in   []metric.Metric
		want string
	}{
		{nil, "{}"},
		{[]metric.Metric{{"b", one}, {"a", two}}, `{"a":2,"b":1}`},
		{[]metric.Metric{{"a", one}, {"b", one}, {"a", two}}, `{"a":2,"b":1}`},
		{[]metric.Metric{{"a", one}, {"a", 0}}, "{}"},
		{[]metric.Metric{{"a", 0}, {"a", one}}, `{"a":1}`},
	}
	for _, tt := range tests {
		if got := string(metric.Make(tt.in).AppendJSON(nil)); got != tt.want {
			t.Errorf("Make(%v) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

// number is what Number promises of an exact sum of millionths.
func number(sum *big.Int) any {
	whole, rest := new(big.Int).QuoRem(sum, big.NewInt(1_000_000), new(big.Int))
	if rest.Sign() == 0 && whole.IsInt64() && whole.Int64() != math.MinInt64 {
		return whole.Int64()
	}
	f, _ := new(big.Rat).SetFrac(sum, big.NewInt(1_000_000)).Float64()
	return f
}

func TestSumIsExactBeyondAnyOneNumber(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	most, million := metric.Value(999_999_999_999*1_000_000)+999_999, big.NewInt(1_000_000)
	for round := range 60 {
		var sum metric.Sum
		want := new(big.Int)
		add := func(v metric.Value) {
			sum.Add(v)
			want.Add(want, big.NewInt(int64(v)))
			if got := sum.Number(); got != number(want) {
				t.Fatalf("after %s: %v (%T), want %v (%T)", want, got, got, number(want), number(want))
			}
			if text, ok := new(big.Rat).SetString(string(sum.Append(nil))); !ok || text.Cmp(new(big.Rat).SetFrac(want, million)) != 0 {
				t.Fatalf("after %s: written %s", want, sum.Append(nil))
			}
			if sum.IsZero() != (want.Sign() == 0) {
				t.Fatalf("after %s: IsZero is %v", want, sum.IsZero())
			}
		}
		for range 200 {
			switch round % 3 {
			case 0:
				add(metric.Value(random.Int64N(2e18) - 1e18))
			case 1:
				add(most) // 200 of them are beyond 64 bits
			case 2:
				add(-most)
			}
		}
		if round == 0 { // back to nothing, from both sides
			for want.Sign() != 0 {
				step := new(big.Int).Neg(want)
				if step.CmpAbs(big.NewInt(int64(most))) > 0 {
					step.SetInt64(int64(most) * int64(-want.Sign()))
				}
				add(metric.Value(step.Int64()))
			}
		}
	}
}

func TestNumbersOfADocument(t *testing.T) {
	for in, want := range map[string]any{
		"0": int64(0), "1": int64(1), "-1": int64(-1), "999999999999": int64(999_999_999_999),
		"0.1": 0.1, "-0.1": -0.1, "2.5": 2.5, "0.000001": 0.000001, "999999999999.999999": 999999999999.999999,
	} {
		v, err := metric.Parse(in)
		var sum metric.Sum
		sum.Add(v)
		if got := sum.Number(); err != nil || got != want {
			t.Errorf("Number(%s) = %v (%T), want %v (%T)", in, got, got, want, want)
		}
	}
}
