package source

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/leatflow/leat/pkg/event"
)

// flatRules are for rows of what adsAnswer nests.
const flatRules = `
records:
  - object: {type: ad, key: id, name: name, attributes: [headline]}
    stat: {day: date, dimensions: [os], metrics: "*"}
`

// benchmarkCut cuts an answer of so many stats again and again.
func benchmarkCut(b *testing.B, rules, format string, body []byte, want int) {
	s := sourceOf(b, rules)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		stats := 0
		a := Answer{Format: format, File: bytes.NewReader(body), Size: int64(len(body)), ObservedAt: noon}
		err := s.Cut(b.Context(), a, func(p event.Part, rejects []Reject) error {
			stats += len(p.Stats)
			return nil
		})
		if err != nil || stats != want {
			b.Fatal(stats, err)
		}
	}
}

func BenchmarkCutNested(b *testing.B) {
	benchmarkCut(b, adsRules, formatJSON, adsAnswer(8, 40, 7), 8*5*40*7)
}

func BenchmarkCutNDJSON(b *testing.B) {
	const ads = 1500
	var body bytes.Buffer
	eachRow(ads, func(ad, stat int, r *rand.Rand) {
		fmt.Fprintf(&body, `{"id":"a%d","name":"Ad %d","headline":"Buy \"now\" %d","date":"2026-11-%02d","os":"ios"`, ad, ad, ad, 1+stat)
		for _, name := range adMetrics {
			fmt.Fprintf(&body, `,"%s":%s`, name, metricText(r, name))
		}
		body.WriteString("}\n")
	})
	benchmarkCut(b, flatRules, formatNDJSON, body.Bytes(), ads*7)
}

func BenchmarkCutCSV(b *testing.B) {
	const ads = 6000
	var body bytes.Buffer
	body.WriteString("id,name,headline,date,os")
	for _, name := range adMetrics {
		body.WriteString("," + name)
	}
	body.WriteString("\n")
	eachRow(ads, func(ad, stat int, r *rand.Rand) {
		fmt.Fprintf(&body, `a%d,Ad %d,"Buy ""now"", %d",2026-11-%02d,ios`, ad, ad, ad, 1+stat)
		for _, name := range adMetrics {
			body.WriteString("," + metricText(r, name))
		}
		body.WriteString("\n")
	})
	benchmarkCut(b, flatRules, formatCSV, body.Bytes(), ads*7)
}

// eachRow calls write for seven rows of each ad.
func eachRow(ads int, write func(ad, stat int, r *rand.Rand)) {
	r := rand.New(rand.NewPCG(1, 2))
	for ad := range ads {
		for stat := range 7 {
			write(ad, stat, r)
		}
	}
}
