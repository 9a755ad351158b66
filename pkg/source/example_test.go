package source_test

import (
	"fmt"

	"github.com/leatflow/leat/pkg/source"
)

const file = `source: gigs
records:
  - each: artists
    object: {type: artist, key: id, name: name, attributes: [genre]}
    children:
      - each: concerts
        object: {type: concert, key: "{venue|slug}/{starts_at|date}", name: title}
annotate:
  loud: 'parent("artist").genre in ["metal", "punk"]'
`

func ExampleParse() {
	_, err := source.Parse([]byte("source: gigs\nrecord: []\n"), nil)
	fmt.Println(err)
	// Output:
	// 2:1: record: unknown key; did you mean records? allowed: source, timezone, accounts, http, fetch, records, feeds, numbers, dates, stats, annotate, lookups, rollup, schedule
}

func ExampleSource_Annotate() {
	s, err := source.Parse([]byte(file), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	artist := source.Object{Type: "artist", Key: "7", Name: "The Mill Race", Attrs: map[string]any{"genre": "punk"}}
	tags, failed := s.Annotate(source.Object{Type: "concert", Key: "lido/2026-11-20", Parents: []source.Object{artist}}, nil)
	fmt.Println(tags, failed)
	// Output:
	// map[loud:true] map[]
}
