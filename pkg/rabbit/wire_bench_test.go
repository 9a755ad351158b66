package rabbit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// sampleEnvelope carries what reads like a part of 1,000 stats.
func sampleEnvelope() pipeline.Envelope {
	random := rand.New(rand.NewPCG(1, 2))
	body := []byte(`{"stats":[[0]`)
	for i := range 1000 {
		body = fmt.Appendf(body, ",[%d,%d,%d,0,-1", i/14, i/2%7, i%2)
		for m := range 9 {
			body = fmt.Appendf(body, ",%d,%d", 2*m+random.IntN(2), random.IntN(5000))
		}
		body = append(body, ']')
	}
	body = append(body, "]}"...)
	return pipeline.Envelope{ID: "id", Kind: event.KindPart, Queue: Delta, Job: "job", At: time.Unix(1, 0), Body: json.RawMessage(body)}
}

func BenchmarkToWire(b *testing.B) {
	e := sampleEnvelope()
	b.SetBytes(int64(len(e.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := toWire(e, "app"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromWire(b *testing.B) {
	e := sampleEnvelope()
	p, err := toWire(e, "app")
	if err != nil {
		b.Fatal(err)
	}
	d := delivered(p, Delta)
	b.SetBytes(int64(len(e.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if got := fromWire(d); len(got.Body) != len(e.Body) {
			b.Fatal(len(got.Body))
		}
	}
}
