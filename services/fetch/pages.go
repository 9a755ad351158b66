package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// maxPages is more than any slice has: a source that always has one more page
// goes on for ever.
const maxPages = 100_000

// paged is the address of a page, given that of the first.
func paged(address string, p *source.Pages, page *event.Page) string {
	switch {
	case p == nil:
		return address
	case p.Number != "":
		return withParameter(address, p.Number, atOr(page, strconv.Itoa(p.First)))
	case p.Offset != "":
		return withParameter(address, p.Offset, atOr(page, "0"))
	case page == nil:
		return address
	case p.Next != "":
		return withParameter(address, p.Param, page.At)
	}
	return page.At
}

func atOr(page *event.Page, first string) string {
	if page == nil {
		return first
	}
	return page.At
}

func withParameter(address, name, value string) string {
	between := "?"
	if strings.Contains(address, "?") {
		between = "&"
	}
	return address + between + url.QueryEscape(name) + "=" + url.QueryEscape(value)
}

// pageOf is which page a slice asks for, and the slice that asked for the first.
func pageOf(t task) (n int, first string) {
	if t.slice.Page == nil {
		return 1, t.ID
	}
	return t.slice.Page.N, t.slice.Page.First
}

// checkPage refuses a page that cannot be the next: one on a host that is not
// the source's, and one that was asked for already.
func (s *Stage) checkPage(ctx context.Context, t task) error {
	if t.slice.Page == nil {
		return nil
	}
	n, first := pageOf(t)
	u, err := address(t.slice, t.src)
	if err != nil {
		return err
	}
	if !mayKnow(u, t.src) {
		return pipeline.Permanent(fmt.Errorf("pages: page %d is said to be at host %q; allowed are that of http.base_url and http.hosts", n, u.Host))
	}
	if n > maxPages {
		return pipeline.Permanent(fmt.Errorf("pages: there is a page after %d pages; no further one is asked for", maxPages))
	}
	before, err := earlierPage(ctx, s.DB, t, first, "url", shown(u, t.src))
	if err != nil {
		return err
	}
	if before > 0 {
		return pipeline.Permanent(fmt.Errorf("pages: page %d is said to be at %s, which was page %d: the pages go round in a circle. They were kept, and none was asked for twice", n, shown(u, t.src), before))
	}
	return nil
}

// checkRepeated refuses a page with records that were all on an earlier one.
func (s *Stage) checkRepeated(ctx context.Context, t task, a Answer, records int) error {
	if t.slice.Page == nil || records == 0 {
		return nil
	}
	n, first := pageOf(t)
	before, err := earlierPage(ctx, s.DB, t, first, "hash", a.Hash)
	if err == nil && before > 0 {
		return pipeline.Permanent(fmt.Errorf("pages: page %d (%s) is page %d again, to the byte: the source does not go on. The pages before were kept", n, a.URL, before))
	}
	return err
}

// earlierPage returns which other page of a sequence has the same url or hash; 0: none.
func earlierPage(ctx context.Context, db *pgxpool.Pool, t task, first, column, value string) (page int, err error) {
	err = db.QueryRow(ctx, `
		SELECT coalesce(min(page), 0) FROM answers
		WHERE job_id = $1 AND first_id = $2 AND message_id <> $3 AND `+column+` = $4`, t.Job, first, t.ID, value).Scan(&page)
	return page, postgres.Classify(err)
}

// addPage adds the slice of the page after an answer, if it was not the last.
func (cut *pieces) addPage(ctx context.Context, t task, a Answer, file *os.File) error {
	p := t.src.Fetch.Pages
	if p == nil || t.slice.URL != "" {
		return nil
	}
	n, first := pageOf(t)
	at, err := "", error(nil)
	switch {
	case p.Link:
		at = a.Link
	case p.Number != "" && cut.records > 0:
		at = strconv.Itoa(p.First + n)
	case p.Offset != "" && cut.records > 0:
		at = strconv.Itoa(p.Size * n)
	case p.Next+p.URL != "":
		at, err = nextInBody(ctx, t.src, a, file)
	}
	if at == "" || err != nil {
		return err
	}
	next := t.slice
	next.Page = &event.Page{N: n + 1, At: at, First: first}
	cut.follow = append(cut.follow, follower{"page " + strconv.Itoa(n+1), next})
	return nil
}

// nextInBody returns the cursor or address that an answer names.
func nextInBody(ctx context.Context, src *source.Source, a Answer, file *os.File) (at string, err error) {
	p := src.Fetch.Pages
	path, _ := p.InBody()
	err = source.Pick(ctx, a.forCutting(file), []string{path}, func(_ int, value string) error {
		at = value
		return nil
	})
	if err != nil || p.URL == "" || at == "" {
		return at, err
	}
	base, err := url.Parse(a.URL)
	if err != nil {
		return "", pipeline.Permanent(fmt.Errorf("pages: %w", err))
	}
	if at, err = resolve(base, at, src); err != nil {
		return "", pipeline.Permanent(err)
	}
	return at, nil
}

// resolve makes an address of one that may be relative to another, without the
// secret that a source may have put into it.
func resolve(base *url.URL, ref string, src *source.Source) (string, error) {
	to, err := base.Parse(ref)
	if err != nil {
		return "", fmt.Errorf("pages: the next page's address: %w", err)
	}
	return bare(to, src).String(), nil
}

// nextLink is the address that the header Link has for the next page, "" for none.
func nextLink(h http.Header, asked *url.URL, src *source.Source) (string, error) {
	if src.Fetch.Pages == nil || !src.Fetch.Pages.Link {
		return "", nil
	}
	for one := range strings.SplitSeq(strings.Join(h.Values("Link"), ", "), "<") { // RFC 8288: <address>; rel="next", <…
		ref, parameters, _ := strings.Cut(one, ">")
		if isNext(parameters) {
			return resolve(asked, ref, src)
		}
	}
	return "", nil
}

// isNext reports whether next is one of the relations among a link's parameters.
func isNext(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			return slices.Contains(strings.Fields(strings.ToLower(strings.Trim(value, "\", \t"))), "next")
		}
	}
	return false
}
