package fetch

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// follow handles a slice and all pages after it, and returns the last error.
func (b *bench) follow(e pipeline.Envelope) error {
	b.t.Helper()
	for {
		out, err := b.do(e)
		if err != nil || len(out) == 0 {
			return err
		}
		if len(out) != 1 || out[0].Queue != b.Self || out[0].Kind != event.KindSlice {
			b.t.Fatalf("what follows is %+v", out)
		}
		e = out[0]
	}
}

// ad is a page's only record.
func ad(n int) string { return fmt.Sprintf(`{"id":"a%d","date":"2026-11-13","clicks":%d}`, n, n) }

func number(t *testing.T, r *http.Request, name string, missing int) int {
	t.Helper()
	if !r.URL.Query().Has(name) {
		return missing
	}
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		t.Errorf("%s: %v", r.URL, err)
	}
	return n
}

// book is a source of three pages.
func book(t *testing.T, b *bench, way string) {
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		n, next := 0, ""
		switch way {
		case "next", "link", "url":
			n = number(t, r, "cursor", 1)
		case "number":
			n = number(t, r, "page", 0)
		case "offset":
			n = number(t, r, "start", -1)/50 + 1
		}
		at := fmt.Sprintf("/r?cursor=%d&key=%s&ids=1,2", n+1, url.QueryEscape(secret))
		switch {
		case n > 3:
			fmt.Fprint(w, `{"ads":[]}`)
			return
		case n == 3:
		case way == "next":
			next = strconv.Itoa(n + 1)
		case way == "url":
			next = at
		case way == "link":
			w.Header().Add("Link", `<http://h/first>; rel="first", <`+b.url+at+`>; title="a, b"; rel="prefetch next"`)
			w.Header().Add("Link", `<http://h/last>; rel=last`)
		}
		fmt.Fprintf(w, `{"ads":[%s],"paging":{"x":[{"next":7}],"next":%q}}`, ad(n), next)
	}
}

func TestEachWayOfPagesComesToTheEnd(t *testing.T) {
	t.Setenv("ADS_SECRET", secret)
	for way, c := range map[string]struct {
		pages string
		asked int
	}{
		"next":   {"{next: paging.next}", 3},
		"url":    {"{url: paging.next}", 3},
		"link":   {"{link: true}", 3},
		"number": {"{number: page}", 4},
		"offset": {"{offset: start, size: 50}", 4},
	} {
		t.Run(way, func(t *testing.T) {
			b := newBench(t)
			b.source(`auth: {query: {name: key, value: "${ADS_SECRET}"}}`, "pages: "+c.pages+", report: {path: /r}")
			book(t, b, way)
			if err := b.follow(b.slice(`{"source":"ads"}`)); err != nil {
				t.Fatal(err)
			}
			parts := b.sink.take()
			for n := range 3 {
				if !strings.Contains(parts, fmt.Sprintf(`"a%d"`, n+1)) {
					t.Errorf("page %d is missing in %s", n+1, parts)
				}
			}
			if b.asked() != c.asked {
				t.Errorf("asked %q, want %d requests", b.requests, c.asked)
			}
			if got := b.text(`SELECT string_agg(page::text, ' ' ORDER BY n) FROM answers`); got != "1 2 3 4"[:2*c.asked-1] {
				t.Errorf("pages: %s", got)
			}
			if got := b.text(`SELECT count(*)::text FROM requests`); way == "next" && got != "1" { // a cursor never comes again
				t.Errorf("%s requests are kept", got)
			}
			kept := b.text(`SELECT concat_ws(' ', url, link) FROM answers`) + b.text(`SELECT outputs::text FROM ledger`)
			if strings.Contains(kept, "s3cr3t") {
				t.Errorf("the secret is kept: %s", kept)
			}
		})
	}
}

// A worker dies at a page, and the source says something else by then.
func TestAPageThatComesAgainIsThatPageAlone(t *testing.T) {
	b := newBench(t)
	b.source("", "pages: {next: paging.next}, report: {path: /r}")
	book(t, b, "next")
	first := b.slice(`{"source":"ads"}`)
	second := b.must(first)[0]
	b.sink.take()
	b.sink.fails = 1
	if _, err := b.do(second); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	before := b.sink.take()
	third := b.must(second)
	if after := b.sink.take(); after != before || b.asked() != 2 || len(third) != 1 {
		t.Errorf("asked %d times; before\n%s\nafter\n%s\nnext %+v", b.asked(), before, after, third)
	}
	if again := b.must(second); len(again) != 1 || again[0].ID != third[0].ID || b.sink.take() != "" {
		t.Errorf("a page that is done gives %+v, want %+v", again, third)
	}
	if again := b.must(first); len(again) != 1 || again[0].ID != second.ID || b.asked() != 2 {
		t.Errorf("the first page gives %+v, want %+v", again, second)
	}
	if got := b.text(`SELECT cardinality(names)::text FROM ledger WHERE message_id = $1`, second.ID); got != "2" {
		t.Errorf("the page's row names %s messages, want its part and the next page", got)
	}
}

func TestPagesThatDoNotGoOnAreNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		pages, says string
		answer      func(w http.ResponseWriter, r *http.Request)
		asked       int
	}{
		"a circle": {
			pages: "{next: next}", says: "which was page 2: the pages go round in a circle", asked: 3,
			answer: func(w http.ResponseWriter, r *http.Request) {
				next := map[string]string{"": "b", "b": "c", "c": "b"}[r.URL.Query().Get("cursor")]
				fmt.Fprintf(w, `{"ads":[{"id":"x%s","date":"2026-11-13","n":1}],"next":%q}`, r.URL.Query().Get("cursor"), next)
			},
		},
		"itself": {
			pages: "{link: true}", says: "which was page 1: the pages go round in a circle", asked: 1,
			answer: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", `</r>; rel="next"`)
				fmt.Fprintf(w, `{"ads":[%s]}`, ad(1))
			},
		},
		"a page that repeats": {
			pages: "{number: page}", says: "page 3 (URL/r?page=3) is page 2 again, to the byte", asked: 3,
			answer: func(w http.ResponseWriter, r *http.Request) {
				n, _ := strconv.Atoi(r.URL.Query().Get("page"))
				fmt.Fprintf(w, `{"ads":[%s]}`, ad(min(n, 2)))
			},
		},
		"another host": {
			pages: "{url: next}", says: `page 2 is said to be at host "evil.example"; allowed are that of http.base_url and http.hosts`, asked: 1,
			answer: func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"ads":[%s],"next":"http://evil.example/r"}`, ad(1))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.source("", "pages: "+c.pages+", report: {path: /r}")
			b.answer = c.answer
			err := b.follow(b.slice(`{"source":"ads"}`))
			if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), strings.ReplaceAll(c.says, "URL", b.url)) {
				t.Errorf("got %v", err)
			}
			if b.asked() != c.asked {
				t.Errorf("asked %q", b.requests)
			}
		})
	}
}

func TestPagesWithoutRecordsMayBeTheSame(t *testing.T) {
	b := newBench(t)
	b.source("", "pages: {link: true}, report: {path: /r}")
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		if n := number(t, r, "page", 1); n < 4 {
			w.Header().Set("Link", fmt.Sprintf(`</r?page=%d>; rel="next"`, n+1))
		}
		fmt.Fprint(w, `{"ads":[]}`)
	}
	if err := b.follow(b.slice(`{"source":"ads"}`)); err != nil || b.asked() != 4 {
		t.Errorf("asked %d times: %v", b.asked(), err)
	}
}

func TestAPageThatIsBrokenIsAskedForAgain(t *testing.T) {
	b := newBench(t)
	b.source("", "pages: {next: paging.next}, report: {path: /r}")
	book(t, b, "next")
	second := b.must(b.slice(`{"source":"ads"}`))[0]
	sound := b.answer
	b.says(`{"ads":[`)
	if _, err := b.do(second); verdict(err) != "again" {
		t.Fatalf("got %v", err)
	}
	b.answer = sound
	if err := b.follow(second); err != nil {
		t.Error(err)
	}
}
