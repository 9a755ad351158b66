package event_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
)

// samplePart is a part as an ad platform's report makes them: 70 ads of 7
// adgroups, and 980 stats with 9 of 20 metrics.
func samplePart() event.Part {
	random := rand.New(rand.NewPCG(1, 2))
	p := event.Part{
		Source: "ads", Version: pipeline.Hash("version"), Account: "acme", Answer: 3, Ordinal: 2,
		ObservedAt: time.Date(2026, 11, 20, 12, 0, 0, 123456000, time.UTC),
	}
	p.Objects = append(p.Objects, event.Object{Type: "campaign", Key: "c-1", Described: true, Name: "Winter Sale 1"})
	for g := range 7 {
		p.Objects = append(p.Objects, event.Object{Type: "adgroup", Key: fmt.Sprint("g-", g), Parent: 1, Described: true, Name: fmt.Sprint("Group ", g)})
		group := len(p.Objects)
		for a := range 10 {
			p.Objects = append(p.Objects, event.Object{
				Type: "ad", Key: fmt.Sprintf("a-%d-%d", g, a), Parent: group, Described: true, Name: fmt.Sprintf("Ad %d – spring", a),
				Attrs: fmt.Appendf(nil, `{"headline":"Buy %d now","status":"active","url":"https://shop.example.com/landing?ad=%d"}`, a, a),
			})
			for day := range 7 {
				for _, os := range []string{"android", "ios"} {
					p.Stats = append(p.Stats, event.Stat{Object: len(p.Objects) - 1, Day: metric.Day(20770 + day), Dims: "os=" + os, Metrics: sampleSet(random)})
				}
			}
		}
	}
	return p
}

func sampleSet(random *rand.Rand) metric.Set {
	var ms []metric.Metric
	for _, n := range random.Perm(20)[:9] {
		v := metric.Value(1+random.Int64N(5000)) * 1_000_000
		if n%4 == 0 {
			v = metric.Value(1+random.Int64N(500_000)) * 10_000 // money
		}
		ms = append(ms, metric.Metric{Name: fmt.Sprintf("metric_%02d", n), Value: v})
	}
	return metric.Make(ms)
}

// sampleChanges is what delta says of samplePart where all of it is new.
func sampleChanges() event.Changes {
	c := event.Changes{Source: "ads", Version: pipeline.Hash("version")}
	for i := range 78 {
		change := event.Change{ID: int64(1_234_567 + i), New: true, Self: true}
		for day := range 7 {
			change.Days = append(change.Days, metric.Day(20770+day))
		}
		c.Objects = append(c.Objects, change)
	}
	return c
}

func benchmarkEncode(b *testing.B, p pipeline.Payload) {
	var body json.RawMessage
	b.ReportAllocs()
	for b.Loop() {
		e, err := pipeline.Envelope{ID: "id"}.Emit("queue", "key", p)
		if err != nil {
			b.Fatal(err)
		}
		body = e.Body
	}
	b.SetBytes(int64(len(body)))
}

func benchmarkDecode[P pipeline.Payload](b *testing.B, p P) {
	e, err := pipeline.Envelope{ID: "id"}.Emit("queue", "key", p)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Body)))
	for b.Loop() {
		if _, err := pipeline.Decode[P](e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPartEncode(b *testing.B)    { benchmarkEncode(b, samplePart()) }
func BenchmarkPartDecode(b *testing.B)    { benchmarkDecode(b, samplePart()) }
func BenchmarkChangesEncode(b *testing.B) { benchmarkEncode(b, sampleChanges()) }
func BenchmarkChangesDecode(b *testing.B) { benchmarkDecode(b, sampleChanges()) }
