package delta

import (
	"fmt"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
)

// samplePart has 70 ads with 14 stats of 9 metrics each, observed at a time.
func samplePart(b *testing.B, at time.Time, value metric.Value) *Part {
	b.Helper()
	src := newSource(b, all, total)
	e := event.Part{Source: src.Name, Version: src.Hash, ObservedAt: at}
	first := mustDay(b, "2026-10-01")
	for i := range 70 {
		e.Objects = append(e.Objects, event.Object{Type: "ad", Key: fmt.Sprint("a", i), Described: true, Name: "An ad"})
		for day := range metric.Day(14) {
			var set metric.Set
			for m := range 9 {
				set = append(set, metric.Metric{Name: fmt.Sprint("metric_", m), Value: value + metric.Value(m)})
			}
			e.Stats = append(e.Stats, event.Stat{Object: i, Day: first + day, Dims: "country=DE,os=ios", Metrics: set})
		}
	}
	p, err := newPart(e, src)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// One part of 980 stats: that are new, that are the same again, that all changed.
func BenchmarkDecide(b *testing.B) {
	noon := time.Date(2026, 11, 14, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		before bool
		value  metric.Value
	}{{"new", false, 1}, {"same", true, 1}, {"changed", true, 2}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				store := newStore(b)
				if c.before {
					store.apply(samplePart(b, noon, 1))
				}
				parts := []*Part{samplePart(b, noon.Add(time.Hour), c.value)}
				state := store.state(parts)
				b.StartTimer()
				if _, err := Decide(parts, state); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
