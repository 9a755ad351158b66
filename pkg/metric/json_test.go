package metric_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/leatflow/leat/pkg/metric"
)

func TestReadSets(t *testing.T) {
	tests := []struct{ in, want string }{
		{`{}`, `{}`},
		{` { } `, `{}`},
		{`null`, `{}`},
		{`{"clicks":3,"spend":12.5}`, `{"clicks":3,"spend":12.5}`},
		{"\t{\"b\" : 1 ,\r\n \"a\":-2e1 }\n", `{"a":-20,"b":1}`},
		{`{"a":0,"b":0.0000001,"c":1}`, `{"c":1}`},
		{`{"a":1,"a":2}`, `{"a":2}`},
	}
	var reader metric.Names
	for _, tt := range tests {
		var got metric.Set
		if err := json.Unmarshal([]byte(tt.in), &got); err != nil || string(got.AppendJSON(nil)) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.in, got.AppendJSON(nil), err, tt.want)
		}
		if read, err := reader.Read([]byte(tt.in)); err != nil || !read.Equal(got) {
			t.Errorf("Read(%s) = %v, %v, want %v", tt.in, read, err, got)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `[]`, `1`, `"a"`, `nul`, `{"a"}`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a" 1}`, `{a:1}`, `{"a`, `{"`, `{"a":1 "b":2}`, `{"a":1;}`,
		`{"a":"1"}`, `{"a":null}`, `{"a":true}`, `{"a":{}}`, `{"a":1x}`, `{"a":1e}`, `{"a\u0062":1}`, `{"a":10000000000000}`, `{,}`, `{"a":1,,"b":2}`,
	} {
		var reader metric.Names
		if got, err := reader.Read([]byte(in)); err == nil {
			t.Errorf("Read(%s) = %v, want an error", in, got)
		}
		var s metric.Set
		if err := s.UnmarshalJSON([]byte(in)); err == nil {
			t.Errorf("UnmarshalJSON(%s) = %v, want an error", in, s)
		}
	}
	var s metric.Set
	if err := s.UnmarshalJSON([]byte(`{"a":1} {}`)); err == nil {
		t.Error("what follows the object passes")
	}
}

func TestWhatASetWritesItReads(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 2_000 {
		s := randomSet(random)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again metric.Set
		if err := json.Unmarshal(text, &again); err != nil || !again.Equal(s) {
			t.Fatalf("%s reads %v, %v", text, again, err)
		}
	}
}

// TestManyReadsAreAsOneRead reads one after the other what has few names and
// what has more than a table takes, in every order, some twice or zero.
func TestManyReadsAreAsOneRead(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for _, names := range []int{1, 3, 20, 64, 65, 200} {
		var reader metric.Names
		var got, want []metric.Set
		for range 300 {
			text := []byte("{")
			for i := range random.IntN(12) {
				if i > 0 {
					text = append(text, ", "...)
				}
				name := random.IntN(names)
				text = fmt.Appendf(text, `"%.*s": %s`, 1+name%7, fmt.Sprint("n", name, "xxxxxx"), []string{"0", "1", "-2.5", "3e2", "0.0000001", "123456789012.123456"}[random.IntN(6)])
			}
			text = append(text, '}')
			set, err := reader.Read(text)
			var alone metric.Set
			if err := json.Unmarshal(text, &alone); err != nil {
				t.Fatal(err)
			}
			if err != nil || !set.Equal(alone) {
				t.Fatalf("%s is %v, %v, want %v", text, set, err, alone)
			}
			wantSound(t, set)
			got, want = append(got, set), append(want, alone)
		}
		for i := range got {
			if !got[i].Equal(want[i]) {
				t.Fatalf("%d names: %v became %v", names, want[i], got[i])
			}
		}
	}
}

func TestASetDoesNotGrowIntoTheNext(t *testing.T) {
	var reader metric.Names
	var sets []metric.Set
	for range 3 {
		s, err := reader.Read([]byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, s)
	}
	_ = append(sets[1], metric.Metric{Name: "z", Value: 1})
	if got := string(sets[2].AppendJSON(nil)); got != `{"a":1}` {
		t.Errorf("the next is %s", got)
	}
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `{"clicks":3,"spend":12.5}`, `{"a":-0.5e3,"a":1}`, `{"a":1,}`, `{"`, `[{}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var reader metric.Names
		s, err := reader.Read(in)
		if second, errThen := reader.Read(in); (err == nil) != (errThen == nil) || !second.Equal(s) {
			t.Errorf("%q is %v, %v, then %v, %v", in, s, err, second, errThen)
		}
		if err != nil {
			return
		}
		wantSound(t, s)
		text := s.AppendJSON(nil)
		again, err := reader.Read(text)
		if err != nil || !again.Equal(s) {
			t.Errorf("%q is written %q, which is %v, %v", in, text, again, err)
		}
	})
}

// sample is a set of nine metrics, as ad platforms report them.
func sample() metric.Set {
	var ms []metric.Metric
	for i := range 9 {
		ms = append(ms, metric.Metric{Name: fmt.Sprint("metric_", i), Value: metric.Value(1_234_567_890 * (i + 1))})
	}
	return metric.Make(ms)
}

func BenchmarkRead(b *testing.B) {
	text := sample().AppendJSON(nil)
	var reader metric.Names
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reader.Read(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	s := sample()
	text := s.AppendJSON(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		text = s.AppendJSON(text[:0])
	}
}

// BenchmarkNamesRead reads as jsonb is read: names by length first, 9 of 20.
func BenchmarkNamesRead(b *testing.B) {
	random := rand.New(rand.NewPCG(9, 10))
	texts, size := make([][]byte, 1000), 0
	for i := range texts {
		texts[i] = storedText(random)
		size += len(texts[i])
	}
	b.SetBytes(int64(size / len(texts)))
	b.ReportAllocs()
	var reader metric.Names
	for i := 0; b.Loop(); i++ {
		if _, err := reader.Read(texts[i%len(texts)]); err != nil {
			b.Fatal(err)
		}
	}
}

func storedText(random *rand.Rand) []byte {
	all := []string{
		"cpc", "ctr", "cost", "leads", "reach", "saves", "sales", "spend", "views", "clicks", "shares", "follows", "revenue",
		"checkouts", "reactions", "engagement", "conversions", "impressions", "link_clicks", "video_views",
	}
	text := []byte{'{'}
	for i, name := range all {
		if random.IntN(20) >= 9 {
			continue
		}
		if len(text) > 1 {
			text = append(text, ", "...)
		}
		text = fmt.Appendf(text, "%q: ", name)
		v := metric.Value(1+random.Int64N(5000)) * 1_000_000
		if i%4 == 0 {
			v = metric.Value(1+random.Int64N(500_000)) * 10_000
		}
		text = v.Append(text)
	}
	return append(text, '}')
}

func BenchmarkParse(b *testing.B) {
	for _, text := range []string{"3", "1234", "1234.56"} {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				if _, err := metric.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
