package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An asking is how long it took to ask about companies with so many workers of
// annotate, of a service that waits before it answers.
type asking struct {
	Workers   int     `json:"annotate_workers"`
	Companies int64   `json:"companies"`
	Seconds   float64 `json:"seconds"`
	SpeedUp   float64 `json:"speed_up"`
}

const someCompanies = 768 // four messages for each of twelve workers; two requests each, one after the other

// lookups measures workers of annotate that mostly wait, each with one request
// under way at a time, so that it is the workers that scale.
func (b *bench) lookups(ctx context.Context) error {
	for _, n := range []int{1, 12} {
		a, err := b.askedBy(ctx, n)
		if err != nil {
			return fmt.Errorf("%d workers of annotate: %w", n, err)
		}
		if a.SpeedUp = 1; n > 1 {
			a.SpeedUp = rounded(b.results.Lookups[0].Seconds/a.Seconds, 100)
		}
		b.results.Lookups = append(b.results.Lookups, a)
		fmt.Println(a)
	}
	return nil
}

// askedBy has n workers of annotate ask about all companies of the shipped source.
func (b *bench) askedBy(ctx context.Context, n int) (a asking, err error) {
	err = b.inLab(ctx, report("1KB"), func(l *site, p *platform) (err error) {
		if err := p.companiesSource(b.sources, l.Cfg.Sources); err != nil {
			return err
		}
		if err := p.fault(ctx, "latency="+slowAnswer); err != nil {
			return err
		}
		w, err := startWorkers(ctx, l, b.bin, map[string]int{"fetch": 1, "delta": 1, "annotate": n, "rollup": 1}, "LEAT_ANNOTATE_LOOKUPS=1", "LEAT_ANNOTATE_BATCH_SIZE=1", "LEAT_ANNOTATE_PREFETCH=1")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.stop()) }()
		began := time.Now()
		job, err := w.submit(ctx, `{"source":"companies"}`)
		if err != nil {
			return err
		}
		if _, err := w.await(ctx, job); err != nil {
			return err
		}
		a = asking{Workers: n, Seconds: rounded(time.Since(began).Seconds(), 100)}
		return l.graded(ctx, &a)
	})
	return a, err
}

// graded counts the companies, each of which must have a grade, or no website.
func (l *site) graded(ctx context.Context, a *asking) error {
	var failed int64
	err := l.DB.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE failed IS NOT NULL OR (tags ? 'website') <> (tags ? 'grade')) FROM leat.tags`).Scan(&a.Companies, &failed)
	if err == nil && (failed > 0 || a.Companies != someCompanies-1) { // one has a name that is no text
		return fmt.Errorf("%d companies, %d of them without what was asked for", a.Companies, failed)
	}
	return err
}

// companiesSource writes the shipped source, changed to ask the platform, whose
// list comes at once.
func (p *platform) companiesSource(shipped, folder string) error {
	text, err := os.ReadFile(filepath.Join(shipped, "companies.yaml"))
	if err != nil {
		return err
	}
	changed := strings.NewReplacer("127.0.0.1:8090", p.listen, "path: /companies/list", fmt.Sprintf(`path: "/companies/list?fault=none&count=%d"`, someCompanies)).Replace(string(text))
	return os.WriteFile(filepath.Join(folder, "companies.yaml"), []byte(changed), 0o600)
}

// String is one line for who waits.
func (a asking) String() string {
	return fmt.Sprintf("workers of annotate: %2d, answers take %s: %d companies in %6.2f s, %.2f times as fast as one", a.Workers, slowAnswer, a.Companies, a.Seconds, a.SpeedUp)
}
