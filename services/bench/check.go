package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/services/bench/expect"
)

// An expected is what a state of the platform must lead to.
type expected struct{ rows, documents *expect.State }

// expectation works out what must come of what the platform says now, once for
// each of its states. It says the same bytes again in each run, so a state that
// was worked out holds for all.
func (b *bench) expectation(p *platform, rows, documents expect.Producer) (e expected, err error) {
	if e, ok := b.known[p.state]; ok {
		return e, nil
	}
	var both errgroup.Group
	both.Go(func() (err error) { e.rows, err = expect.New(rows); return err })
	both.Go(func() (err error) { e.documents, err = expect.New(documents); return err })
	if err := both.Wait(); err != nil {
		return e, fmt.Errorf("work out what is to be expected: %w", err)
	}
	b.known[p.state] = e
	return e, nil
}

// lines goes through the reports of all accounts.
func (p *platform) lines(ctx context.Context, markets map[string]string,
	of func(expect.Report, func(expect.Line) error) error) expect.Producer {
	return func(emit func(expect.Line) error) error {
		for _, account := range p.accounts {
			report := expect.Report{Source: collection, Markets: markets, Open: func() (io.ReadCloser, error) { return open(ctx, p.reportURL(account)) }}
			if err := of(report, emit); err != nil {
				return err
			}
		}
		return nil
	}
}

func open(ctx context.Context, address string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

func readMarkets(sources string) (map[string]string, error) {
	file, err := os.Open(filepath.Join(sources, "markets.csv"))
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was read
	return expect.ReadMarkets(file)
}

// verify checks the result of a contest, and returns how many stats it has. The
// documents of the way row by row are of another form, which is not compared.
func (b *bench) verify(ctx context.Context, c contest) (stats int64, err error) {
	if err := b.check(ctx, c.lab, c.platform, c.name != "rows"); err != nil {
		return 0, err
	}
	err = c.lab.DB.QueryRow(ctx, `SELECT count(*) FROM stats`).Scan(&stats)
	return stats, err
}

// check fails unless all rows of the lab, and all documents, are what the
// platform says now.
func (b *bench) check(ctx context.Context, l *site, p *platform, documentsToo bool) error {
	markets, err := readMarkets(b.sources)
	if err != nil {
		return err
	}
	rows, documents := p.lines(ctx, markets, expect.Report.Rows), p.lines(ctx, markets, expect.Report.Documents)
	want, err := b.expectation(p, rows, documents)
	if err != nil {
		return err
	}
	var both errgroup.Group
	both.Go(func() error {
		return want.rows.Compare(func(emit func(expect.Line) error) error {
			return expect.FoundRows(ctx, l.DB, collection, emit)
		}, rows)
	})
	if documentsToo {
		both.Go(func() error {
			return want.documents.Compare(func(emit func(expect.Line) error) error {
				return expect.FoundDocuments(ctx, l.Docs.Collection(collection), emit)
			}, documents)
		})
	}
	return both.Wait()
}
