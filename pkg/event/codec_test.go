package event_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
)

// again returns what a payload is after it was written and read.
func again[P pipeline.Payload](t *testing.T, p P) P {
	t.Helper()
	e, err := pipeline.Envelope{}.Emit("queue", "key", p)
	if err != nil {
		t.Fatalf("%v: %+v", err, p)
	}
	if !json.Valid(e.Body) {
		t.Fatalf("not JSON: %s", e.Body)
	}
	got, err := pipeline.Decode[P](e)
	if err != nil {
		t.Fatalf("%v: %s", err, e.Body)
	}
	return got
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		p, c := randomPart(random), randomChanges(random)
		if got := again(t, p); !reflect.DeepEqual(normal(got), normal(p)) {
			t.Fatalf("a part is\n%+v, was\n%+v", got, p)
		}
		if got := again(t, c); !reflect.DeepEqual(got, c) {
			t.Fatalf("changes are\n%+v, were\n%+v", got, c)
		}
	}
	if p := samplePart(); !reflect.DeepEqual(again(t, p), p) {
		t.Error("the sample is another")
	}
}

var texts = []string{"", "a", "ad", "é", "\"", "\\", "\n", "\u2028", "<&>", "]", ",", "日本語", "a,b=c", "\x7f", "[[["}

func anyOf[T any](random *rand.Rand, all []T) T { return all[random.IntN(len(all))] }

func randomPart(random *rand.Rand) event.Part {
	p := event.Part{
		Source: anyOf(random, texts), Version: anyOf(random, texts), Account: anyOf(random, texts), Feed: anyOf(random, texts), Answer: random.IntN(9), Ordinal: random.IntN(2000),
		ObservedAt: time.Unix(random.Int64N(1<<31), random.Int64N(1e9)).UTC(), Rejected: random.IntN(2), Objects: []event.Object{},
	}
	for i := range random.IntN(8) {
		o := event.Object{Type: anyOf(random, texts), Key: anyOf(random, texts), Parent: random.IntN(i + 1), Described: random.IntN(2) == 0, Name: anyOf(random, texts)}
		if random.IntN(2) == 0 {
			o.Attrs = json.RawMessage(anyOf(random, []string{`{}`, `{"a":"]\"","b":[1,-2.5e+3,null,true,false,"\u00e9"]}`, `[ ]`, `1`}))
		}
		p.Objects = append(p.Objects, o)
	}
	for range random.IntN(20) * len(p.Objects) {
		p.Stats = append(p.Stats, randomStat(random, len(p.Objects)))
	}
	return p
}

func randomStat(random *rand.Rand, objects int) event.Stat {
	st := event.Stat{
		Object: random.IntN(objects), Day: metric.Day(random.IntN(40_000) - 100), Rule: anyOf(random, texts[:4]), Dims: anyOf(random, texts), ID: anyOf(random, texts),
	}
	if hour := random.IntN(26) - 1; hour >= 0 {
		st.Hour = &hour
	}
	ms := []metric.Metric{}
	for range random.IntN(10) {
		v := metric.Value(random.Int64()-1<<62) >> random.IntN(64)
		ms = append(ms, metric.Metric{Name: fmt.Sprint("m", random.IntN(100)), Value: v})
	}
	st.Metrics = metric.Make(ms)
	return st
}

func randomChanges(random *rand.Rand) event.Changes {
	c := event.Changes{Source: anyOf(random, texts), Version: anyOf(random, texts), Objects: []event.Change{}}
	for range random.IntN(10) {
		bit := func() bool { return random.IntN(2) == 0 }
		o := event.Change{ID: random.Int64N(1e18), New: bit(), Self: bit(), Above: bit(), Moved: bit(), From: random.Int64N(3)}
		for range random.IntN(5) {
			o.Days = append(o.Days, metric.Day(random.IntN(40_000)-100))
		}
		c.Objects = append(c.Objects, o)
	}
	return c
}

// TestJSONBIsReadToo is about the ledger, whose outputs are jsonb: keys come by
// length, and spaces between.
func TestJSONBIsReadToo(t *testing.T) {
	e := pipeline.Envelope{Kind: event.KindChanges, Body: json.RawMessage(
		`{"first": "2026-11-20", "source": "ads", "objects": [[1, 1], [2, 8, 3, 0, 2]], "version": "v"}`)}
	want := event.Changes{Source: "ads", Version: "v", Objects: []event.Change{{ID: 1, New: true}, {ID: 2, Moved: true, From: 3, Days: []metric.Day{20777, 20779}}}}
	if got, err := pipeline.Decode[event.Changes](e); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestALaterVersionsFieldsAreLeftAlone(t *testing.T) {
	e := pipeline.Envelope{Kind: event.KindPart, Body: json.RawMessage(
		`{"new":{"a":[1,-2.5e3,"\u00e9\"",null,true,false,{}]},"source":"ads","newer":[]}`)}
	if p, err := pipeline.Decode[event.Part](e); err != nil || p.Source != "ads" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestWhatIsWrongWithABodyIsSaid(t *testing.T) {
	const tables = `{"types":["ad"],"objects":[[0,"a"],[0,"b",1]],"metrics":["a","b"],"rules":[""],"dims":[""],"first":"2026-11-20","stats":`
	tests := []struct{ kind, body, want string }{
		{event.KindPart, ``, `byte 0: "" where '{' was due`},
		{event.KindPart, `null`, `"null" where '{' was due`},
		{event.KindPart, `{"source":1}`, `"source", byte 10`},
		{event.KindPart, `{"source":"a` + "\n" + `"}`, `control character 0xa`},
		{event.KindPart, `{"source":"\x"}`, `escape 'x'`},
		{event.KindPart, `{"source":"\u12g4"}`, `escape 'u'`},
		{event.KindPart, `{"\0`, `escape '0'`},
		{event.KindPart, `{"source":"a`, `a string without end`},
		{event.KindPart, `{"source":"a\`, `a string without end`},
		{event.KindPart, `{"source":"a"} x`, `"x" after the end`},
		{event.KindPart, `{"source":"a",}`, `'"' was due`},
		{event.KindPart, `{"answer":1.5}`, `".5}" where '}' was due`},
		{event.KindPart, `{"answer":--1}`, `is not a number`},
		{event.KindPart, `{"answer":1234567890123456789}`, `is not a number of up to 18 digits`},
		{event.KindPart, `{"observed_at":"now"}`, `"observed_at"`},
		{event.KindPart, `{"new":[1,}`, `is not a value`},
		{event.KindPart, `{"new":01}`, `is not a number`},
		{event.KindPart, `{"new":` + strings.Repeat("[", 20_000), `nested deeper`},
		{event.KindPart, `{"objects":[[0,"a"]]}`, `"objects[0]", byte 14: type 0 of 0`},
		{event.KindPart, `{"types":["ad"],"objects":[[0,"a"],[0,"b",2]]}`, `"objects[1]", byte 43: parent 2 of 2`},
		{event.KindPart, `{"types":["ad"],"objects":[[0,"a",0,2,""]]}`, `described 2 of 2`},
		{event.KindPart, `{"types":["ad"],"objects":[[0,"a",0,1,"",{]]}`, `"objects[0]"`},
		{event.KindPart, `{"metrics":["b","a"]}`, `"a" does not come after "b"`},
		{event.KindPart, `{"metrics":["b","b"]}`, `"b" does not come after "b"`},
		{event.KindPart, `{"first":"2026-11-31"}`, `is not a day`},
		{event.KindPart, tables + `[[0,0,0,0,-1],[2,0,0,0,-1]]}`, `"stats[1]", byte 136: object 2 of 2`},
		{event.KindPart, tables + `[[0,-1,0,0,-1]]}`, `day -1`},
		{event.KindPart, tables + `[[0,3000000,0,0,-1]]}`, `day 3000000`},
		{event.KindPart, tables + `[[0,0,1,0,-1]]}`, `dims 1 of 1`},
		{event.KindPart, tables + `[[0,0,0,1,-1]]}`, `rule 1 of 1`},
		{event.KindPart, tables + `[[0,0,0,0,25]]}`, `hour 25`},
		{event.KindPart, tables + `[[0,0,0,0,-2]]}`, `hour -2`},
		{event.KindPart, tables + `[[0,0,0,0,-1,2,1]]}`, `metric 2 of 2`},
		{event.KindPart, tables + `[[0,0,0,0,-1,1,1,0,1]]}`, `metric 0 after metric 1`},
		{event.KindPart, tables + `[[0,0,0,0,-1,1,1,1,1]]}`, `metric 1 after metric 1`},
		{event.KindPart, tables + `[[0,0,0,0,-1,0,0]]}`, `a metric that is zero`},
		{event.KindPart, tables + `[[0,0,0,0,-1,0,1e99]]}`, `more than 12 digits`},
		{event.KindPart, tables + `[[0,0,0,0,-1,0,true]]}`, `is not a number`},
		{event.KindPart, tables + `[[0,0,0,0,-1,0]]}`, `',' was due`},
		{event.KindPart, tables + `[[0,0,0,0,-1,"e",0,1]]}`, `']' was due`},
		{event.KindChanges, `{"objects":[[1,16]]}`, `"objects[0]", byte 17: bits 16 of 16`},
		{event.KindChanges, `{"objects":[[1]]}`, `',' was due`},
		{event.KindChanges, `{"objects":[[1,0],[2,0,0,-1]]}`, `"objects[1]"`},
		{"leat.part.v1", `{"objects":1}`, `cannot unmarshal`},
		{"leat.changes.v1", `{"objects":1}`, `cannot unmarshal`},
	}
	for _, tt := range tests {
		e := pipeline.Envelope{Kind: tt.kind, Body: json.RawMessage(tt.body)}
		decode := read[event.Part]
		if strings.Contains(tt.kind, "changes") {
			decode = read[event.Changes]
		}
		if _, err := decode(e); err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.body, err, tt.want)
		}
	}
}

func TestWhatCannotBeReadIsNotWritten(t *testing.T) {
	one := metric.Value(1_000_000)
	tests := map[string]event.Part{
		"objects[1]: ":         {Objects: []event.Object{{}, {Attrs: json.RawMessage(`{"a":}`)}}},
		"after the end":        {Objects: []event.Object{{Attrs: json.RawMessage(`{}{}`)}}},
		"year":                 {ObservedAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"stats[0]: metrics [{": {Objects: []event.Object{{}}, Stats: []event.Stat{{Metrics: metric.Set{{Name: "b", Value: one}, {Name: "a", Value: one}}}}},
		"are not sorted":       {Objects: []event.Object{{}}, Stats: []event.Stat{{Metrics: metric.Set{{Name: "a", Value: one}, {Name: "a", Value: one}}}}},
		"or one is zero":       {Objects: []event.Object{{}}, Stats: []event.Stat{{Metrics: metric.Set{{Name: "b"}}}}},
	}
	for want, p := range tests {
		if _, err := (pipeline.Envelope{}).Emit("queue", "key", p); err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzPart(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		body, err := randomPart(random).AppendJSON(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := pipeline.Decode[event.Part](pipeline.Envelope{Kind: event.KindPart, Body: body})
		if err != nil {
			return
		}
		for i, st := range p.Stats {
			for j, m := range st.Metrics {
				if m.Value == 0 || j > 0 && st.Metrics[j-1].Name >= m.Name {
					t.Fatalf("stats[%d]: %v", i, st.Metrics)
				}
			}
		}
		if got := again(t, p); !reflect.DeepEqual(normal(got), normal(p)) {
			t.Errorf("%s is\n%+v, then\n%+v", body, p, got)
		}
	})
}

// normal is a part without the difference between none and nil.
func normal(p event.Part) event.Part {
	if len(p.Stats) == 0 {
		p.Stats = nil
	}
	if len(p.Objects) == 0 {
		p.Objects = nil
	}
	return p
}

func FuzzChanges(f *testing.F) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		body, err := randomChanges(random).AppendJSON(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := pipeline.Decode[event.Changes](pipeline.Envelope{Kind: event.KindChanges, Body: body})
		if err != nil {
			return
		}
		if got := again(t, c); len(c.Objects) > 0 && !reflect.DeepEqual(got, c) {
			t.Errorf("%s is\n%+v, then\n%+v", body, c, got)
		}
	})
}
