package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatflow/leat/services/client"
)

// What a trial says of the shipped source is what a job then does, on an empty
// database, after a restatement, and where all is the same.
func TestATrialForetellsWhatAJobDoes(t *testing.T) {
	s, platform := ads(t, 60<<10)
	c := s.client()
	r := client.TryRequest{Source: "ads", Account: "acme", From: "2026-03-01", To: "2026-03-14"}
	job := strings.Replace(adsJob, "{", `{"account":"acme",`, 1)
	first := s.foretold(c, r, job)
	s.want("asked", []any{first.Status, first.Requests, first.Account, first.From, first.To}, []any{200, 1, "acme", "2026-03-01", "2026-03-14"})
	if n := len(first.Objects); n == 0 || n > 10 || len(first.Objects[0].Tags) == 0 || len(first.Stats) == 0 {
		t.Errorf("the first records: %+v, %+v", first.Objects, first.Stats)
	}
	revise(t, platform, "0.3")
	if second := s.foretold(c, r, job); second.Effect.Counts["stats.changed"] == 0 {
		t.Errorf("after the restatement: %v", second.Effect.Counts)
	}
	r.Limit = 5
	piece, err := c.Try(t.Context(), r)
	if err != nil || !piece.More || piece.Records < 5 || piece.Records >= first.Records {
		t.Errorf("a piece: %d of %d records, %v", piece.Records, first.Records, err)
	}
	s.want("nothing new", []int{len(piece.Effect.Objects), len(piece.Effect.Stats), len(piece.Effect.Documents)}, []int{0, 0, 0})
}

const market = `
source: market
http: {base_url: "BASE"}
fetch: {report: {path: /report}}
records:
  - each: halls
    object: {type: hall, key: id, name: name, attributes: [size]}
    children:
      - each: stands
        object: {type: stand, key: id, name: name, attributes: [color]}
        children:
          - each: days
            stat: {day: day, metrics: "*"}
rollup: {hours: true}
annotate: {roomy: 'parent("hall").size == "big"', red: 'color == "red"'}
`

// newMarket is a system with two sources, and the answer that they give.
func newMarket(t *testing.T) (*system, *http.HandlerFunc) {
	t.Helper()
	var answer http.HandlerFunc
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	t.Cleanup(server.Close)
	s := newSystem(t)
	s.source("market.yaml", strings.Replace(market, "BASE", server.URL, 1))
	s.source("fair.yaml", fair+"http: {base_url: \""+server.URL+"\"}\n")
	return s, &answer
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// What moves, is called otherwise, or has other tags for what stands above it, is
// foretold with all documents that follow; so are today's hours.
func TestATrialForetellsMovesAndTags(t *testing.T) {
	s, answer := newMarket(t)
	c := s.client()
	today := s.query(`SELECT (now() AT TIME ZONE 'UTC')::date::text`)[0]
	step := func(halls string) client.Trial {
		*answer = says(strings.ReplaceAll(`{"halls":[`+halls+`]}`, `"TODAY"`, today))
		return s.foretold(c, client.TryRequest{Source: "market"}, `{"source":"market","mode":"backfill"}`)
	}
	step(`{"id":"h1","name":"North","size":"big","stands":[
			{"id":"s1","name":"Apples","color":"red","days":[{"day":"2026-05-01","sold":3},{"day":"TODAY","sold":4}]},
			{"id":"s2","name":"Pears","color":"green","days":[{"day":"2026-11-01","sold":1.5}]}]},
		{"id":"h2","name":"South","size":"small","stands":[{"id":"s3","name":"Plums","color":"blue"}]}`)
	moved := step(`{"id":"h1","name":"North","size":"small","stands":[
			{"id":"s2","name":"Best pears","color":"red","days":[{"day":"2026-11-01","sold":1.5}]}]},
		{"id":"h2","name":"South","size":"small","stands":[
			{"id":"s1","name":"Apples","color":"red","days":[{"day":"2026-05-01","sold":0},{"day":"TODAY","sold":9}]},{"id":"s3","name":"Plums","color":"blue"}]}`)
	s.want("moved", strings.Contains(fmt.Sprint(foretells(moved.Effect)["objects"]), `stand/s1 parent "hall/h1">"hall/h2"`), true)
	s.want("tags", fmt.Sprint(foretells(moved.Effect)["tags"]), "[stand/s1 roomy true>false stand/s2 red false>true stand/s2 roomy true>false]")

	grown := step(`{"id":"h2","name":"South","size":"big"}`)
	s.want("tags of those below", fmt.Sprint(foretells(grown.Effect)["tags"]), "[stand/s1 roomy false>true stand/s3 roomy false>true]")
	s.want("stats of those below", grown.Effect.Counts["stats.unchanged"], 0)
}

const fair = `
source: fair
feeds:
  tickets:
    fetch: {report: {path: /tickets}}
    records: [{each: shows, object: {type: show, key: id, name: name, attributes: [price]}}]
  clicks:
    fetch: {report: {path: /clicks}}
    records: [{each: shows, object: {type: show, key: id, name: name, attributes: [price, url]}, children: [{each: clicks, stat: {day: at, metrics: [n], id: id}}]}]
stats: {kind: count}
annotate: {cheap: 'price < 10'}
`

// What a feed says goes under what another has said, and an event counts once: a
// trial of it takes no event away from the job.
func TestATrialForetellsFeedsAndEvents(t *testing.T) {
	s, answer := newMarket(t)
	c := s.client()
	try := func(feed, shows string) client.Trial {
		*answer = says(`{"shows":[` + shows + `]}`)
		return s.foretold(c, client.TryRequest{Source: "fair", Feed: feed}, fmt.Sprintf(`{"source":"fair","mode":"backfill","feed":%q}`, feed))
	}
	try("clicks", `{"id":"a","name":"A","price":5,"url":"u","clicks":[{"id":"e1","at":"2026-11-27T10:00:00Z","n":2},{"id":"e2","at":"2026-11-27T11:00:00Z","n":1}]}`)
	try("tickets", `{"id":"a","name":"The A","price":20},{"id":"b"}`)
	over := try("clicks", `{"id":"a","name":"AA","price":1,"url":"w","clicks":[{"id":"e2","at":"2026-11-27T11:00:00Z","n":1},{"id":"e3","at":"2026-11-27T11:30:00Z","n":4}]}`)
	s.want("objects", fmt.Sprint(foretells(over.Effect)["objects"]), `[show/a attributes.url "u">"w"]`)
	s.want("stats", fmt.Sprint(foretells(over.Effect)["stats"]), `[show/a 2026-11-27   n 3>7]`)
}

// What cannot be tried says what a dead letter would, and writes nothing.
func TestATrialThatFails(t *testing.T) {
	s, answer := newMarket(t)
	c := s.client()
	held := s.held()
	*answer = says("<html><body>Please log in</body></html>")
	for says, r := range map[string]client.TryRequest{
		"/report: the answer, ": {Source: "market", Limit: 10},
		`account: found "acme", but source market has no accounts`: {Source: "market", Account: "acme", Limit: 10},
		`source: found "markt"`:          {Source: "markt", Limit: 10},
		"days between 2000-01-01 and":    {Source: "market", From: "1999-01-01", Limit: 10},
		"is not below an allowed folder": {Source: "market", URL: "file:///etc/passwd", Limit: 10},
		"fetch.report.async":             {Source: s.draft(`/report}`, `/report, async: {id: id, poll: "/p/{id}", status: state, done: [done], download: "/d/{id}"}}`), Limit: 10},
		"is wrong: `leat source lint ":   {Source: s.draft("hall", "stand"), Limit: 10},
	} {
		if _, err := c.Try(t.Context(), r); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %s", r, err, says)
		}
	}
	*answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you", http.StatusUnauthorized) }
	_, refused := c.Try(t.Context(), client.TryRequest{Source: "market", Limit: 10})
	s.sameLines("held after trials", s.held(), held)
	s.start(1, "fetch", "rollup")
	s.await(s.submit(`{"source":"market","mode":"backfill"}`), patience)
	text, err := json.Marshal(refused.Error())
	if err != nil {
		t.Fatal(err)
	}
	s.want("the dead letter", s.query(`SELECT error FROM ledger WHERE state = 'dead'`), fmt.Sprintf("[%s]", text))
}

// draft writes the market's file elsewhere, as it could be.
func (s *system) draft(old, made string) (file string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.cfg.Sources, "market.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	file = filepath.Join(s.t.TempDir(), "draft.yaml")
	draft := strings.NewReplacer("source: market", "source: draft", old, made).Replace(string(text))
	if err := os.WriteFile(file, []byte(draft), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// A file that is not in the folder yet is tried where it lies, out of the budget
// that its jobs would have.
func TestATrialOfADraft(t *testing.T) {
	s, answer := newMarket(t)
	c := s.client()
	*answer = says(`{"halls":[{"id":"h1","stands":[{"id":"s1","days":[{"day":"yesterday","sold":1}]}]}]}`)
	r := client.TryRequest{Source: s.draft("http: {", "http: {rate: {requests: 1, per: 1h}, "), Limit: 10}
	draft, err := c.Try(t.Context(), r)
	if err != nil || draft.Source != "draft" || len(draft.Objects) != 2 || draft.Rejected != 1 || !strings.Contains(draft.Rejects[0].Reason, "yesterday") {
		t.Errorf("a draft: %+v, %v", draft, err)
	}
	s.want("budgets", s.query(`SELECT cardinality(answered) FROM budgets`), "[1]")
	s.want("leases", s.query(`SELECT count(*) FROM budget_leases`), "[0]")
	if _, err := c.Try(t.Context(), r); err == nil || !strings.Contains(err.Error(), "source draft may not be asked for about 10m0s") {
		t.Errorf("over the budget: %v", err)
	}
}

// A trial gives way to a worker that has the same objects in hand.
func TestATrialGivesWay(t *testing.T) {
	s, answer := newMarket(t)
	c := s.client()
	*answer = says(`{"halls":[{"id":"h1","name":"North"}]}`)
	tx, err := s.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // the database goes too
	if _, err := tx.Exec(t.Context(), `INSERT INTO objects (source, type, key, depth, name, observed_at) VALUES ('market', 'hall', 'h1', 0, 'h1', now())`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Try(t.Context(), client.TryRequest{Source: "market", Limit: 10}); err == nil || !strings.Contains(err.Error(), "workers are writing the same objects") {
		t.Errorf("while a worker has it: %v", err)
	}
}
