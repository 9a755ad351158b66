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
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/source"
)

// A Target says what to load, and to where.
type Target struct {
	DB         *pgxpool.Pool
	Collection *mongo.Collection
	Source     *source.Source
	Rev        int64                       // that the documents get
	Report     func(account string) string // its address
}

// Load brings rows and documents up to date with the reports of all accounts.
func Load(ctx context.Context, t Target) error {
	l := &loader{Target: t, now: time.Now()}
	if err := l.recall(ctx); err != nil {
		return err
	}
	return l.accounts(ctx)
}

// A loader is one load.
type loader struct {
	Target
	now    time.Time
	known  map[string]*known // objects, by type and key
	lastID atomic.Int64
}

// accounts loads them side by side.
func (l *loader) accounts(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := l.startWriters(ctx, group)
	reading, readCtx := errgroup.WithContext(ctx)
	for _, account := range l.Source.Accounts {
		reading.Go(func() error { return l.account(readCtx, account.Name, w) })
	}
	group.Go(func() error {
		defer close(w.bulks)
		return reading.Wait()
	})
	return group.Wait()
}

func (l *loader) account(ctx context.Context, account string, w *writers) error {
	address := l.Report(account)
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
