package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const shop = `
source: shop
records:
  - object: {type: item, key: item, name: name, attributes: [price]}
    stat: {day: day, metrics: [sold]}
stats: {kind: total}
annotate:
  dear: 'price > 5'
`

// Several workers of each stage handle many answers about the same objects at
// once, in any order. The newest stands, in PostgreSQL and in MongoDB, in every
// interleaving.
func TestTheNewestStands(t *testing.T) {
	t.Parallel()
	const rounds, answers = 20, 12
	s := newSystem(t)
	folder := t.TempDir()
	s.cfg.Fetch.Files = []string{folder}
	s.source("shop.yaml", shop)
	s.start(3)
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for round := range rounds {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		item := fmt.Sprint("item-", round)
		var jobs []string
		for _, i := range random.Perm(answers) {
			odd := i % 2 // values repeat: a newer answer may find nothing to write, and has been seen all the same
			path := filepath.Join(folder, fmt.Sprintf("%s-%d.ndjson", item, i))
			line := fmt.Sprintf(`{"item":%q,"name":"name %d","price":%d,"day":"2026-02-28","sold":%d}`+"\n", item, odd, 4+5*odd, 6+odd)
			if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
			at := base.Add(time.Duration(i) * time.Minute).Format(time.RFC3339)
			jobs = append(jobs, s.submit(fmt.Sprintf(`{"source":"shop","url":"file://%s","as_of":%q}`, path, at)))
		}
		for _, job := range jobs {
			state, _ := s.await(job, patience)
			s.want("state", state, "done")
		}
		s.want("row", s.query(`
			SELECT o.name, o.attrs, s.metrics, t.tags FROM objects o JOIN stats s ON s.object_id = o.id JOIN tags t ON t.object_id = o.id
			WHERE o.key = $1`, item), []string{`"name 1" {"price":9} {"sold":7} {"dear":true}`})
		var d struct {
			Name  string
			Attrs struct{ Price int }
			Tags  struct{ Dear bool }
			Days  map[string]struct{ M struct{ Sold int } }
		}
		if err := s.docs.Collection("shop").FindOne(t.Context(), bson.M{"_id": "item/" + item + "/2026H1"}).Decode(&d); err != nil {
			t.Fatal(err)
		}
		s.want("document", fmt.Sprint(d.Name, " ", d.Attrs.Price, " ", d.Tags.Dear, " ", d.Days["2026-02-28"].M.Sold), "name 1 9 true 7")
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	s.want("differences", s.checked(), []string{})
}
