package source

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

const adsRules = `
records:
  - each: campaigns
    object: {type: campaign, key: id, name: name, attributes: [status, budget]}
    children:
      - each: adgroups
        object: {type: adgroup, key: id, name: name}
        children:
          - each: ads
            object: {type: ad, key: id, name: name, attributes: [headline]}
            children:
              - each: stats
                stat: {day: date, dimensions: [os], metrics: "*"}
`

var adMetrics = []string{
	"impressions", "clicks", "spend", "conversions", "revenue", "reach", "video_views", "video_completions", "likes", "comments",
	"shares", "saves", "follows", "installs", "signups", "add_to_carts", "checkouts", "purchases", "page_views", "bounces",
}

// adsAnswer makes up a nested answer: so many campaigns of 5 ad groups, with so
// many ads of so many stats each.
func adsAnswer(campaigns, ads, stats int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString(`{"account":"acme","campaigns":[`)
	for c := range campaigns {
		comma(&b, c)
		fmt.Fprintf(&b, `{"id":"c%d","name":"Campaign %d","status":"active","budget":%d,"adgroups":[`, c, c, 1000*c)
		for g := range 5 {
			comma(&b, g)
			fmt.Fprintf(&b, `{"id":"c%dg%d","name":"Group %d","ads":[`, c, g, g)
			for a := range ads {
				comma(&b, a)
				fmt.Fprintf(&b, `{"id":"c%dg%da%d","name":"Ad %d","headline":"Buy \"now\" %d","stats":[`, c, g, a, a, a)
				writeStats(&b, r, stats)
				b.WriteString(`]}`)
			}
			b.WriteString(`]}`)
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func comma(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

func writeStats(b *bytes.Buffer, r *rand.Rand, stats int) {
	for i := range stats {
		comma(b, i)
		fmt.Fprintf(b, `{"date":"2026-11-%02d","os":"%s"`, 1+i/3%28, []string{"android", "ios", "web"}[i%3])
		for _, name := range adMetrics {
			fmt.Fprintf(b, `,"%s":%s`, name, metricText(r, name))
		}
		b.WriteByte('}')
	}
}

// metricText makes up a value, of which more than half are zero.
func metricText(r *rand.Rand, name string) string {
	switch n := r.IntN(20); {
	case n < 11:
		return "0"
	case name == "spend" || name == "revenue":
		return fmt.Sprintf("%d.%02d", r.IntN(900), r.IntN(100))
	default:
		return fmt.Sprint(r.IntN(9000))
	}
}
