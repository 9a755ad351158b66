package fetch

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// The table of the README, "What a source may do", row by row: what the source
// does, what becomes of the message ("none": it is done), the records and the
// rejects that came of the answer, and whether the next try asks again.
func TestWhatASourceMayDo(t *testing.T) {
	b := newBench(t)
	b.MaxSize = 1 << 20
	const sound = `{"ads":[{"id":"a1","date":"2026-11-13","clicks":3}]}`
	for _, c := range []struct {
		does    string
		answer  func(w http.ResponseWriter)
		report  string // more of fetch.report
		more    string // of the source file
		verdict string
		stats   string // of the first record
		rejects string // the reasons begin so
	}{
		{does: "429", answer: refuses(429), verdict: "later"},
		{does: "503", answer: refuses(503), verdict: "later"},
		{does: "502, 504, 408, 425", answer: refuses(504), verdict: "later"},
		{does: "another 5xx", answer: refuses(500), verdict: "again"},
		{does: "400, 404 and the like", answer: refuses(404), verdict: "permanent"},
		{does: "401, 403", answer: refuses(403), verdict: "permanent"},
		{does: "a body that is cut off", verdict: "again", answer: func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, sound)
		}},
		{does: "JSON that is cut off", answer: sends(sound[:30]), verdict: "again"},
		{does: "HTML in place of JSON", answer: sends("<!doctype html><title>Sign in</title>"), verdict: "again"},
		{does: "nothing at all", answer: sends(""), verdict: "again"},
		{does: "damaged gzip", answer: sends("\x1f\x8b\x08garbage garbage garbage"), verdict: "again"},
		{does: "a gzip that is larger than fetch.max_size_mib", answer: sends(packed(strings.Repeat(" ", 2<<20))), verdict: "again"},
		{does: "an error in the body: retry", answer: sends(`{"error":{"code":1}}`), verdict: "again"},
		{does: "an error in the body: wait", answer: sends(`{"error":{"code":17}}`), verdict: "later"},
		{does: "an error in the body: reject", answer: sends(`{"error":{"code":5}}`), verdict: "none", rejects: `the answer is an error: error.code is "5"`},
		{does: "an error in the body: fail", answer: sends(`{"error":{"code":190}}`), verdict: "permanent"},
		{does: "a byte order mark", answer: sends("\xef\xbb\xbf" + sound), verdict: "none", stats: "3"},
		{does: "UTF-16", answer: sends(utf16Of(sound)), verdict: "none", stats: "3"},
		{does: "Latin-1, declared", report: ", encoding: latin-1", answer: sends(strings.Replace(sound, "a1", "K\xf6ln", 1)), verdict: "none", stats: "3"},
		{does: "Latin-1, not declared", answer: sends(strings.Replace(sound, "a1", "K\xf6ln", 1)), verdict: "none", rejects: "ad: id is "},
		{does: "a field twice: the last is taken", answer: sends(strings.Replace(sound, `"clicks":3`, `"clicks":9,"clicks":3`, 1)), verdict: "none", stats: "3"},
		{does: "a number as text", answer: sends(strings.Replace(sound, `3}`, `"3"}`, 1)), verdict: "none", stats: "3"},
		{does: "1,234.50, declared", more: "numbers: {group: ',', none: [N/A]}\n", answer: sends(strings.Replace(sound, `3}`, `"1,234.50"}`, 1)), verdict: "none", stats: "1234.5"},
		{does: "N/A, declared: no number", more: "numbers: {none: [N/A]}\n", answer: sends(strings.Replace(sound, `3}`, `3,"views":"N/A"}`, 1)), verdict: "none", stats: "3"},
		{does: "NaN as text", answer: sends(strings.Replace(sound, `3}`, `"NaN"}`, 1)), verdict: "none", rejects: "clicks"},
		{does: "Infinity as text", answer: sends(strings.Replace(sound, `3}`, `"Infinity"}`, 1)), verdict: "none", rejects: "clicks"},
		{does: "NaN as JSON's own, which has none", answer: sends(strings.Replace(sound, `3}`, `NaN}`, 1)), verdict: "again"},
		{does: "a day that is none", answer: sends(strings.Replace(sound, "2026-11-13", "2026-02-31", 1)), verdict: "none", rejects: "date"},
		{does: "a record without a key", answer: sends(strings.Replace(sound, "a1", "", 1)), verdict: "none", rejects: "ad: id is "},
	} {
		b.exec(`TRUNCATE rejects, budgets`)
		before := b.asked()
		t.Run(c.does, func(t *testing.T) {
			b.source("", `report: {path: /r`+c.report+`}, errors: [{path: error.code, equals: [17], then: wait},
				{path: error.code, equals: [5], then: reject}, {path: error.code, equals: [190], then: fail}, {path: error.code}]`, c.more)
			b.replace("metrics: '*'", "metrics: [clicks, views]")
			b.answer = func(w http.ResponseWriter, _ *http.Request) { c.answer(w) }
			slice := b.slice(backfill)
			_, err := b.do(slice)
			if got := verdict(err); got != c.verdict {
				t.Errorf("%s, want %s: %v", got, c.verdict, err)
			}
			stats, reasons := b.first(), b.text(`SELECT reason FROM rejects`)
			if stats != c.stats || !strings.HasPrefix(reasons, c.rejects) || c.rejects == "" && reasons != "" {
				t.Errorf("stats %q, want %q; rejects %q, want %q", stats, c.stats, reasons, c.rejects)
			}
			b.exec(`TRUNCATE budgets`) // it has waited for so long
			_, _ = b.do(slice)
			if asksAgain := c.verdict != "none"; (b.asked() == before+2) != asksAgain {
				t.Errorf("asked %d times", b.asked()-before)
			}
		})
	}
}

// replace changes the source file.
func (b *bench) replace(old, with string) {
	b.t.Helper()
	file := filepath.Join(b.Folder, "ads.yaml")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Replace(string(text), old, with, 1)), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// first is the first stat that was published since the last call.
func (b *bench) first() string {
	b.t.Helper()
	for _, e := range b.sink.all() {
		part, err := pipeline.Decode[event.Part](e)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, s := range part.Stats {
			for _, m := range s.Metrics {
				return m.Value.String()
			}
		}
	}
	return ""
}

func refuses(code int) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func sends(text string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) { fmt.Fprint(w, text) }
}

func packed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, text)
	w.Close()
	return b.String()
}

func utf16Of(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		b.Write([]byte{byte(unit), byte(unit >> 8)})
	}
	return b.String()
}
