package source

import "testing"

// adRules are rules as sources have them: of the ad itself, of those above it,
// and of a table.
const adRules = `brand: 'name matches "(?i)\\b(acme|globex)\\b"'
landing: 'split(url, "/")[2]'
market: 'lookup("markets", parent("campaign").name)'
paused: 'parent("campaign").status == "paused"'`

const adAttrs = `{"url": "https://shop.example.com/autumn?c=1", "clicks": 17, "labels": ["a", "b"], "share": 0.25}`

func BenchmarkAnnotate(b *testing.B) {
	s, ad := shop(b, adRules), anAd(adAttrs)
	b.ReportAllocs()
	for b.Loop() {
		if tags, failed := s.Annotate(ad, nil); len(tags) != 4 || len(failed) > 0 {
			b.Fatal(tags, failed)
		}
	}
}

func BenchmarkInputs(b *testing.B) {
	s, ad := shop(b, adRules), anAd(adAttrs)
	b.ReportAllocs()
	for b.Loop() {
		if len(s.Inputs(ad)) != 16 {
			b.Fatal("no hash")
		}
	}
}
