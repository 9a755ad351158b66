package client

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shippedSources = "../../config/sources"

func TestAnswersBesideTheShippedSources(t *testing.T) {
	results, err := TestSources(t.Context(), shippedSources, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, r := range results {
		tested[r.Source] = true
		if r.Diff != "" {
			t.Errorf("%s:\n%s", r.Answer, r.Diff)
		}
	}
	sources, err := Sources(shippedSources)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if !tested[s.Name] {
			t.Errorf("source %s has no answer to be tested with", s.Name)
		}
	}
}

// withAnswer is a folder with the source shop and an answer beside it.
func withAnswer(t *testing.T) (dir, answer string) {
	t.Helper()
	dir = folder(t)
	answer = filepath.Join(dir, "shop.test", "one.json")
	if err := os.Mkdir(filepath.Dir(answer), 0o700); err != nil {
		t.Fatal(err)
	}
	text := `{"shops": [{"id": "s1", "name": "Corner", "items": [{"id": "i1", "name": "Tea", "stats": [{"date": "2026-11-14", "os": "ios", "clicks": 3, "cost": 0.1}]}]}]}`
	if err := os.WriteFile(answer, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, answer
}

func TestAnAnswerIsComparedWithWhatMustComeOfIt(t *testing.T) {
	dir, answer := withAnswer(t)
	if _, err := TestSources(t.Context(), dir, []string{"shop"}, false); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--update writes it") {
		t.Fatalf("without a file of what must come: %v", err)
	}
	results, err := TestSources(t.Context(), dir, []string{"shop"}, true)
	if err != nil || len(results) != 1 || results[0].Wrote != answer+wantEnding {
		t.Fatalf("%+v, %v", results, err)
	}
	want, err := os.ReadFile(results[0].Wrote)
	if err != nil {
		t.Fatal(err)
	}
	for change, diff := range map[string]string{
		"":                        "",
		"clicks: 3 > clicks: 4":   "+    metrics: {clicks: 3, cost: 0.1}",
		"cost: 0.1 > cost: 0.10":  "-    metrics: {clicks: 3, cost: 0.10}",
		"name: Corner > name: An": "+    name: Corner",
	} {
		before, after, _ := strings.Cut(change, " > ")
		if err := os.WriteFile(results[0].Wrote, []byte(strings.Replace(string(want), before, after, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := TestSources(t.Context(), dir, []string{"shop"}, false)
		if err != nil || len(got) != 1 || (got[0].Diff == "") != (diff == "") || !strings.Contains(got[0].Diff, diff) {
			t.Errorf("%q: %+v, %v", change, got, err)
		}
	}
	if err := os.WriteFile(results[0].Wrote, []byte("observd_at: 2026-11-20T12:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := TestSources(t.Context(), dir, []string{"shop"}, false); err == nil || !strings.Contains(err.Error(), "observd_at") {
		t.Errorf("a misspelt key: %v", err)
	}
}
