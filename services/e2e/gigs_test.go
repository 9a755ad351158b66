package e2e

import (
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// gigsFrom installs the shipped source gigs with another address, and files of so
// many lines.
func (s *system) gigsFrom(platform *httptest.Server, looks int) {
	s.t.Helper()
	text, err := os.ReadFile("../../config/sources/gigs.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	file := strings.ReplaceAll(string(text), "http://127.0.0.1:8090", platform.URL)
	s.source("gigs.yaml", strings.ReplaceAll(file, "?day={from}", fmt.Sprintf("?day={from}&looks=%d", looks)))
}

// Concerts of three feeds are one object each, that knows its feeds; what comes
// again is not written again, and of a file that changed only what differs is.
func TestGigsOfThreeFeeds(t *testing.T) {
	t.Parallel()
	s, platform := newSystem(t), today(t, 1000)
	s.gigsFrom(platform, 4000)
	s.start(1)
	do := func(job string) map[string]map[string]int {
		t.Helper()
		state, counts := s.await(s.submit(job), patience)
		s.want("state of "+job, state, "done")
		return counts
	}
	const concerts = `FROM objects WHERE type = 'concert'`
	first := do(`{"source":"gigs"}`)
	s.want("numbers of feeds that concerts are in", s.query(`SELECT DISTINCT (SELECT count(*) FROM jsonb_object_keys(feeds)) `+concerts+` ORDER BY 1 DESC LIMIT 2`), `[3 2]`)
	s.want("all that was sighted is counted once", fmt.Sprint(first["objects"]["new"]), s.query(`SELECT count(*) FROM objects WHERE isfinite(observed_at)`)[0])
	s.want("concerts whose name is not the first feed's", s.query(`SELECT count(*) `+concerts+` AND name <> coalesce(feeds -> 'tickets' ->> 'name', feeds -> 'listings' ->> 'name', key)`), "[0]")
	s.want("concerts without what their feeds say", s.query(`SELECT count(*) `+concerts+`
		AND (feeds ? 'tickets' AND NOT attrs ? 'price' OR feeds ? 'venues' AND NOT attrs ? 'doors' OR feeds ? 'listings' AND NOT attrs ? 'genre')`), "[0]")
	s.sameFeeds()
	s.want("differences", s.checked(), []string{})

	before, docs := s.written(), s.documentLines("gigs")
	again := do(`{"source":"gigs"}`)
	s.want("parts of the same again", again["parts"]["fetched"], 0)
	s.want("what the same again wrote", []any{s.written(), s.documentLines("gigs")}, []any{before, docs})

	file := fmt.Sprintf(`{"source":"gigs","feed":"tickets","url":"%s/gigs/tickets?looks=4000"}`, platform.URL)
	s.want("objects that a file of the same brings", do(file)["objects"]["new"], 0)
	s.want("parts of that file again", do(file)["parts"]["fetched"], 0)
	s.want("what the file wrote", s.written(), before)

	ask(t, platform, "clock?advance=3h") // some prices are others
	restated := do(`{"source":"gigs"}`)
	if n := restated["objects"]["changed"]; n == 0 || restated["objects"]["unchanged"] < 2*n || restated["objects"]["new"] > 0 || restated["documents"]["written"] > n {
		t.Errorf("three hours later: %v", restated)
	}
	s.sameFeeds()
	s.want("differences", s.checked(), []string{})
}

// written is another whenever a row of what a source says was written.
func (s *system) written() (versions []string) {
	s.t.Helper()
	for _, table := range []string{"objects", "tags", "stats", "told"} {
		versions = append(versions, s.query(`SELECT count(*), sum(hashtext(concat_ws(' ', tableoid, ctid, xmin))) FROM `+table)...)
	}
	return versions
}

// sameFeeds checks that each document names the feeds that its object was in, and
// that concerts have one document for all time.
func (s *system) sameFeeds() {
	s.t.Helper()
	want := map[string]string{}
	for _, line := range s.query(`SELECT type || '/' || key || '/all=' || coalesce(array_to_string(ARRAY(SELECT jsonb_object_keys(feeds) ORDER BY 1), ' '), '') FROM objects`) {
		id, feeds, _ := strings.Cut(strings.Trim(line, `"`), "=")
		want[id] = feeds
	}
	documents := s.documents("gigs")
	s.want("documents", len(documents), len(want))
	for id, d := range documents {
		var feeds []string
		list, _ := d["feeds"].(bson.A)
		for _, feed := range list {
			feeds = append(feeds, feed.(string))
		}
		if got := strings.Join(slices.Sorted(slices.Values(feeds)), " "); got != want[id] || d["days"] != nil {
			s.t.Errorf("document %s has feeds %q, want %q, days %v", id, got, want[id], d["days"])
		}
	}
}
