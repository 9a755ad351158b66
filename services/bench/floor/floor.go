// Package floor does what Leat does with one report in the least that must be
// done: one process without broker and ledger, both processors at work, and
// nothing to come back to if it dies.
//
// In: the report of each account over HTTP. Out: the same rows and documents as
// Leat's, and a digest of each object and row, by which the next load finds
// what differs.
package floor

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// Config says what to load, and to where.
type Config struct {
	Postgres postgres.Config
	MongoDB  mongodb.Config
	Sources  string // folder
	Source   string // name; also of the collection
	From, To string // days
	Rev      int64  // that the documents get
}

// Load brings rows and documents up to date with the report.
func Load(ctx context.Context, cfg Config) error {
	all, err := source.Load(filepath.Clean(cfg.Sources))
	if err != nil {
		return err
	}
	l := &loader{Config: cfg, source: all[cfg.Source], now: time.Now()}
	if l.source == nil {
		return fmt.Errorf("no source %s in %s", cfg.Source, cfg.Sources)
	}
	if l.db, err = postgres.Open(ctx, cfg.Postgres); err != nil {
		return err
	}
	defer l.db.Close()
	documents, err := mongodb.Open(cfg.MongoDB)
	if err != nil {
		return err
	}
	defer documents.Client().Disconnect(context.WithoutCancel(ctx)) //nolint:errcheck // the process ends anyway
	l.collection = documents.Collection(cfg.Source)
	if err := l.makeMonths(ctx); err != nil {
		return err
	}
	if err := l.recall(ctx); err != nil {
		return err
	}
	return l.accounts(ctx)
}

// A loader is one load.
type loader struct {
	Config
	source     *source.Source
	db         *pgxpool.Pool
	collection *mongo.Collection
	now        time.Time
	known      map[string]*known // objects, by type and key
	lastID     atomic.Int64
}

// makeMonths makes the partitions of stats that the days need.
func (l *loader) makeMonths(ctx context.Context) error {
	first, err := time.Parse(time.DateOnly, l.From)
	if err != nil {
		return err
	}
	for month := first.AddDate(0, 0, 1-first.Day()); month.Format(time.DateOnly) <= l.To; month = month.AddDate(0, 1, 0) {
		if _, err := l.db.Exec(ctx, fmt.Sprintf(`
			CREATE TABLE IF NOT EXISTS stats_%s PARTITION OF stats FOR VALUES FROM ('%s') TO ('%s')`,
			month.Format("2006_01"), month.Format(time.DateOnly), month.AddDate(0, 1, 0).Format(time.DateOnly))); err != nil {
			return err
		}
	}
	return nil
}

// accounts loads them side by side.
func (l *loader) accounts(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := l.startWriters(ctx, group)
	reading, readCtx := errgroup.WithContext(ctx)
	for _, account := range l.source.Accounts {
		reading.Go(func() error { return l.account(readCtx, account.Name, w) })
	}
	group.Go(func() error {
		defer close(w.bulks)
		return reading.Wait()
	})
	return group.Wait()
}

func (l *loader) account(ctx context.Context, account string, w *writers) error {
	address := l.reportURL(account)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, response.Status)
	}
	a := l.begin(ctx, w)
	if err := elements(response.Body, "campaigns", a.campaign); err != nil {
		return err
	}
	return a.finish()
}

// reportURL is where the source's report of an account is.
func (l *loader) reportURL(account string) string {
	fill := strings.NewReplacer("{account}", account, "{from}", l.From, "{to}", l.To)
	return l.source.HTTP.BaseURL + fill.Replace(l.source.Fetch.Report.Path)
}
