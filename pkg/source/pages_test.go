package source

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func pagesFile(pages string) string {
	return rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: /a}, pages: {" + pages + "}}\n"
}

func TestEachMistakeOfPagesSaysWhatIsAllowed(t *testing.T) {
	for pages, want := range map[string]string{
		"":                         "fetch.pages: found 0 ways (none); it must be one of next, url, link, number, offset",
		"next: a, link: true":      "fetch.pages: found 2 ways (next, link)",
		"nxt: a":                   "fetch.pages.nxt: unknown key; did you mean next?",
		"next: a..b":               `fetch.pages.next: found "a..b"; it must be names with a dot between them`,
		"next: a, param: 'a b'":    `fetch.pages.param: found "a b"`,
		"link: false":              "fetch.pages.link: found false; allowed: true",
		"number: ''":               `fetch.pages.number: found ""`,
		"offset: start":            "fetch.pages.size: found 0; it must be how many records a page has",
		"number: page, size: 5":    "fetch.pages.size: has no use: it goes with offset",
		"number: page, first: 1.5": `fetch.pages.first: found "1.5"; it must be a whole number`,
		"link: true, param: x":     "fetch.pages.param: has no use: it goes with next",
	} {
		if _, err := Parse([]byte(pagesFile(pages)), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", pages, err, want)
		}
	}
	for text, want := range map[string]string{
		rest + "fetch: {pages: {link: true}}\n": "fetch.pages: has no use without fetch.report.path",
		rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: /a, format: csv}, pages: {next: a}}\n": "fetch.pages.next: is of json; the report's format is csv",
	} {
		if _, err := Parse([]byte(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	}
}

func TestExplainSaysWhereTheNextPageIs(t *testing.T) {
	for pages, want := range map[string]string{
		"next: paging.next":        "the next is asked with the parameter cursor, which is at paging.next\n",
		"url: next":                "the next is at the address that is at next\n",
		"link: true":               "the next is at the address in the header Link\n",
		"number: p, first: 0":      "the next is asked with the parameter p, from 0 on, until one has no records\n",
		"offset: start, size: 100": "the next is asked with the parameter start, 100 records a page, until one has none\n",
	} {
		var b strings.Builder
		if err := parsed(t, pagesFile(pages)).Explain(&b); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v, got\n%s", pages, err, b.String())
		}
	}
}

func TestPick(t *testing.T) {
	const text = `{"a":{"b":[{"id":1,"x":{"id":9}},{"id":"two"},{"no":{}},[{"id":null}]],"id":0},"a.b":3,"next":true,"c":{"d":{"e":[[1,[2]],{"f":3}]}}}`
	pick := func(text string, paths ...string) (string, error) {
		var got []string
		answer := Answer{File: strings.NewReader(text), Size: int64(len(text))}
		err := Pick(t.Context(), answer, paths, func(path int, value string) error {
			got = append(got, fmt.Sprintf("%d=%s", path, value))
			return nil
		})
		return strings.Join(got, " "), err
	}
	for paths, want := range map[string]string{
		"a.b.id": "0=1 0=two 0=", "next": "0=true", "a.b.id next a": "0=1 0=two 0= 1=true", "c.d.e": "0=1 0=2", "no": "", "a.b.x.id a.b.x.id": "0=9 1=9",
	} {
		if got, err := pick(text, strings.Fields(paths)...); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", paths, got, err, want)
		}
	}
	for _, broken := range []string{``, `{"a":`, `{"a":[1,`, `<html>`, `{"a":1}}`[:6], `{"b":{"c":x}}`} {
		var form *FormError
		if _, err := pick(broken, "a"); !errors.As(err, &form) {
			t.Errorf("%q: %v", broken, err)
		}
	}
	stop := errors.New("enough")
	if err := Pick(t.Context(), Answer{File: bytes.NewReader([]byte(text)), Size: int64(len(text))}, []string{"next"}, func(int, string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}
