package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/services/client"
)

// corner returns a running system with a folder that its jobs may name files of.
func corner(t *testing.T, workers int) *system {
	t.Helper()
	s := newSystem(t)
	s.cfg.Fetch.Files = []string{t.TempDir()}
	s.start(workers)
	return s
}

// file writes a file and returns the job that loads it.
func (s *system) file(source, text string) string {
	s.t.Helper()
	path := filepath.Join(s.cfg.Fetch.Files[0], uuid.NewString())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.submit(fmt.Sprintf(`{"source":%q,"url":"file://%s"}`, source, path))
}

// load has the system load a file.
func (s *system) load(source, text string) {
	s.t.Helper()
	state, _ := s.await(s.file(source, text), patience)
	s.want("state", state, "done")
}

const nested = `
source: x
fetch: {report: {format: ndjson}}
records:
  - object: {type: campaign, key: c}
    children:
      - each: g
        object: {type: adgroup, key: id}
        children:
          - each: a
            object: {type: ad, key: id}
            children:
              - each: s
                stat: {day: d, metrics: "*"}
annotate:
  up: 'parent("campaign").key'
`

// An ad moves out of its adgroup while the adgroup moves to another campaign: the
// first campaign's document has nothing of either.
func TestParentAndChildMoveAtOnce(t *testing.T) {
	s := corner(t, 1)
	s.source("x.yaml", nested)
	s.load("x", `{"c":"c1","g":[{"id":"g1","a":[{"id":"x1","s":[{"d":"2026-03-01","m":5}]}]}]}
{"c":"c2","g":[]}
{"c":"c3","g":[{"id":"g3","a":[]}]}
`)
	s.load("x", `{"c":"c2","g":[{"id":"g1","a":[]}]}
{"c":"c3","g":[{"id":"g3","a":[{"id":"x1","s":[{"d":"2026-03-01","m":5}]}]}]}
`)
	s.want("differences", s.checked(), []string{})
	documents := s.documents("x")
	if _, there := documents["campaign/c1/2026H1"]; there {
		t.Error("campaign c1 has a document, and nothing below it")
	}
	s.want("path of the ad", documents["ad/x1/2026H1"]["path"], "[campaign/c3 adgroup/g3]")
	s.want("tag of the ad", s.query(`SELECT tags FROM tags t JOIN objects o ON o.id = t.object_id WHERE o.key = 'x1'`), `[{"up":"c3"}]`)
}

// What somebody put into MongoDB is found and taken out, and nothing else waits
// for it.
func TestStrangersAreTakenOut(t *testing.T) {
	t.Parallel()
	s := corner(t, 2)
	s.source("shop.yaml", "fetch: {report: {format: ndjson}}"+shop)
	line := `{"item":"i1","name":"one","price":9,"day":"2026-02-28","sold":3}` + "\n"
	s.load("shop", line)
	for _, id := range []string{"item/stranger/2026H1", "weird"} {
		if _, err := s.docs.Collection("shop").InsertOne(t.Context(), bson.M{"_id": id, "rev": int64(1), "type": "item"}); err != nil {
			t.Fatal(err)
		}
	}
	found := s.checked()
	s.want("differences", len(found), 2)
	if _, err := s.client().Check(t.Context(), client.Checking{Repair: true}, func(client.Difference) {}); err != nil {
		t.Fatal(err)
	}
	s.load("shop", `{"item":"i1","name":"one","price":9,"day":"2026-02-28","sold":4}`+"\n")
	s.until(patience, "the repair to end", func() bool {
		return len(s.query(`SELECT 1 FROM jobs WHERE state IN ('queued', 'running')`)) == 0
	})
	s.want("differences after the repair", s.checked(), []string{})
	s.want("documents", len(s.documents("shop")), 1)
}

// Two sources may call their events the same.
func TestEventsOfTwoSources(t *testing.T) {
	s := newSystem(t)
	s.cfg.Fetch.Files = []string{t.TempDir()}
	for _, name := range []string{"x", "y"} {
		s.source(name+".yaml", `
source: `+name+`
fetch: {report: {format: ndjson}}
records:
  - object: {type: page, key: page}
    stat: {day: day, id: id, metrics: [plays]}
stats: {kind: count}
`)
	}
	day := s.query(`SELECT (current_date - 1)::text`)[0]
	stop := s.start(1, "fetch")
	var jobs []string
	for file := range 5 {
		text := ""
		for i := range 10 {
			text += fmt.Sprintf(`{"page":"p","day":%s,"id":"e%d","plays":1}`+"\n", day, file*10+i)
		}
		jobs = append(jobs, s.file("x", text), s.file("y", text))
	}
	for _, job := range jobs {
		s.until(patience, "the files to be cut", func() bool { return s.cut(job) })
	}
	stop()
	s.start(1) // delta finds parts of both in one batch
	for _, job := range jobs {
		s.await(job, patience)
	}
	s.want("plays", s.query(`
		SELECT o.source, s.metrics FROM stats s JOIN objects o ON o.id = s.object_id ORDER BY 1`), `["x" {"plays":50} "y" {"plays":50}]`)
}

// A source file that has no rule for a type any more takes its tags.
func TestRulesThatAreGone(t *testing.T) {
	s := corner(t, 1)
	s.source("shop.yaml", "fetch: {report: {format: ndjson}}"+shop)
	s.load("shop", `{"item":"i1","name":"one","price":9,"day":"2026-02-28","sold":3}`+"\n")
	s.want("tags", s.query(`SELECT tags FROM tags`), `[{"dear":true}]`)
	s.source("shop.yaml", `
source: shop
fetch: {report: {format: ndjson}}
records:
  - object: {type: item, key: item, name: name, attributes: [price]}
    stat: {day: day, metrics: [sold]}
`)
	s.load("shop", `{"item":"i1","name":"one","price":8,"day":"2026-02-28","sold":3}`+"\n")
	s.want("tags", s.query(`SELECT tags FROM tags`), `[{}]`)
	s.want("differences", s.checked(), []string{})
}
