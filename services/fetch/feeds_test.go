package fetch

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/metric"
)

// feeds is a source of two feeds on hosts of their own, of which the second asks
// for a token. It returns what was asked of each.
func (b *bench) feeds(text *string) (asked func() string) {
	b.t.Helper()
	b.t.Setenv("VENUES_TOKEN", "secret-of-venues")
	var log []string
	host := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			log = append(log, name+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
			fmt.Fprint(w, *text)
		}))
		b.t.Cleanup(s.Close)
		return s.URL
	}
	const records = "records: [{each: ads, object: {type: ad, key: id, attributes: [%s]}}]\n"
	file := fmt.Sprintf("source: ads\nhttp: {base_url: %q}\nfeeds:\n"+
		"  tickets:\n    fetch: {report: {path: '/t?from={from}', slice: 1d, lookback: 1d}}\n    "+records+
		"  venues:\n    http: {base_url: %q, auth: {bearer: '${VENUES_TOKEN}'}}\n    fetch: {report: {path: '/v'}}\n    "+records+
		"  files:\n    "+records, host("one"), "price", host("two"), "doors", "note")
	if err := os.WriteFile(filepath.Join(b.Folder, "ads.yaml"), []byte(file), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		all := strings.Join(log, "\n")
		log = nil
		return all
	}
}

// runAll does a job and each of its slices, and returns what was published.
func (b *bench) runAll(body string) string {
	b.t.Helper()
	named := b.must(job(body))[0]
	for _, slice := range b.must(named) {
		b.must(slice)
	}
	b.finish(named.Job, "done")
	return b.sink.take()
}

func TestEachFeedIsAskedInItsOwnWay(t *testing.T) {
	b := newBench(t)
	text := `{"ads":[{"id":"a1","price":5,"doors":"19:00"}]}`
	asked := b.feeds(&text)
	today := metric.DayOf(time.Now().UTC()).String()
	got := b.runAll(`{"source":"ads"}`)
	if want := "one /t?from=" + today + " \ntwo /v Bearer secret-of-venues"; asked() != want {
		t.Errorf("a job for all feeds did not ask\n%s", want)
	}
	for _, part := range []string{`"feed":"tickets"`, `{"price":5}`, `"feed":"venues"`, `{"doors":"19:00"}`} {
		if !strings.Contains(got, part) {
			t.Errorf("the parts lack %s:\n%s", part, got)
		}
	}
	if got := b.runAll(`{"source":"ads"}`); got != "" || strings.Count(asked(), "\n") != 1 {
		t.Errorf("what each feed said before is sent again: %s", got)
	}
	if got := b.text(`SELECT string_agg(stream, ' ' ORDER BY stream) FROM cursors`); got != "tickets/report venues/report" {
		t.Errorf("cursors: %s", got)
	}
	text = `{"ads":[{"id":"a1","price":6,"doors":"19:00"}]}`
	if got := b.runAll(`{"source":"ads","feed":"tickets"}`); !strings.Contains(got, `{"price":6}`) || strings.Contains(asked(), "two") {
		t.Errorf("a job for one feed: %s", got)
	}
}

// A file is read once: what one feed says takes nothing from what is known of another.
func TestAFileOfAFeedIsReadWhereItChanged(t *testing.T) {
	b := newBench(t)
	text := `{"ads":[{"id":"a1","note":1}]}`
	b.feeds(&text)
	file := func(path string) string {
		return fmt.Sprintf(`{"source":"ads","feed":"files","url":"%s/%s"}`, b.url, path)
	}
	b.says(text)
	if b.runAll(file("a.json")) == "" {
		t.Error("the file brought nothing")
	}
	b.runAll(`{"source":"ads","feed":"venues"}`)
	if got := b.runAll(file("a.json")); got != "" {
		t.Errorf("the same file again: %s", got)
	}
	b.says(`{"ads":[{"id":"a1","note":2}]}`)
	if got := b.runAll(file("a.json")); !strings.Contains(got, `{"note":2}`) {
		t.Errorf("a file that changed: %s", got)
	}
	b.says(text)
	b.runAll(file("b.json")) // holds the same object
	b.says(`{"ads":[{"id":"a1","note":2}]}`)
	if got := b.runAll(file("a.json")); !strings.Contains(got, `{"note":2}`) {
		t.Errorf("a file after another one of its feed: %s", got)
	}
}

func TestAJobNamesItsFeed(t *testing.T) {
	b := newBench(t)
	text := ""
	b.feeds(&text)
	src, _, err := b.load(t.Context(), "ads")
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"source":"ads","feed":"venue"}`:                `feed: found "venue"; source ads has tickets, venues, files`,
		`{"source":"ads","url":"https://x.example/a"}`:   `feed: missing; source ads has tickets, venues, files`,
		`{"source":"ads","feed":"files"}`:                `a job for it needs a "url"`,
		`{"source":"ads","feed":3}`:                      `feed: found a number, a text is allowed`,
		`{"source":"ads","feed":"tickets"}`:              "",
		`{"source":"ads","feed":"files","url":"http:x"}`: `url: found "http:x"`,
	} {
		j, err := ParseJob([]byte(body))
		if err == nil {
			_, err = Plan(j, src, nil, time.Now())
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// An answer is of one feed, and so is its replay, whichever way it is named.
func TestAPastAnswerIsOfItsFeed(t *testing.T) {
	b := newBench(t)
	text := `{"ads":[{"id":"a1","price":5,"doors":"19:00"}]}`
	b.feeds(&text)
	b.runAll(`{"source":"ads"}`)
	hash, job := b.text(`SELECT max(hash) FROM archive`), b.text(`SELECT max(job_id::text) FROM answers`)
	venues := b.text(`SELECT n::text FROM answers WHERE feed = 'venues'`)
	for url, more := range map[string]string{"archive://" + job + "/" + venues: "", "archive://" + hash: `,"feed":"venues"`} {
		again, err := b.replay(url, more)
		if err != nil {
			t.Fatal(err)
		}
		b.must(again)
		if got := b.sink.take(); !strings.Contains(got, `"feed":"venues"`) || !strings.Contains(got, `{"doors":"19:00"}`) {
			t.Errorf("%s%s became %s", url, more, got)
		}
	}
	for url, want := range map[string]string{
		"archive://" + hash:               `feed: missing; archive://` + hash + ` is an answer for "tickets", for "venues"`,
		"archive://" + job + "/" + venues: `feed: found "tickets"; archive://` + job + "/" + venues + ` is an answer for "venues"`,
	} {
		more := ""
		if strings.Contains(want, "found") {
			more = `,"feed":"tickets"`
		}
		if _, err := b.replay(url, more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", url, err, want)
		}
	}
}
