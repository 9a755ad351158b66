package rollup

import (
	"fmt"
	"testing"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/tree"
)

// A document of 14 days, each the sum of 60 rows of 9 metrics on three systems:
// adding them up, and writing them as MongoDB gets them.
func BenchmarkDocument(b *testing.B) {
	spec := &source.Rollup{Dimensions: []string{"os"}}
	const days, rows = 14, 60
	b.Run("sum", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			summed(spec, days, rows)
		}
	})
	b.Run("write", func(b *testing.B) {
		d := summed(spec, days, rows)
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst = d.body(dst[:0], 1)
		}
		b.SetBytes(int64(len(dst)))
	})
}

func summed(spec *source.Rollup, days metric.Day, rows int) *Document {
	c := &computer{places: metricPlaces{byName: map[string]int{}}}
	d := &Document{Node: &tree.Node{Type: "campaign", Key: "c1"}, Half: "2026H2", Days: map[metric.Day]*Day{}, All: true}
	d.render = &renderer{metricPlaces: &c.places, spec: spec, projected: map[string]string{}}
	var st stat
	for m := range 9 {
		st.Metrics = append(st.Metrics, placed{place: c.places.of(fmt.Sprint("metric_", m)), value: metric.Value(m+1) * 1_500_000})
	}
	for day := range days {
		d.Days[day] = c.memory.day()
		for row := range rows {
			st.by = []string{"android", "ios", "web"}[row%3]
			d.Days[day].add(&st, false, spec, &c.memory)
		}
	}
	d.render.order = c.places.sorted()
	return d
}
