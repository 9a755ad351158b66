// Package client is what an operator asks of Leat and does with it: the
// queries and actions behind the command leat, without its flags and tables.
//
// In: the settings of the daemons. Out: values whose JSON form is a contract.
// It reads PostgreSQL, MongoDB and the broker's management API, writes jobs to
// the broker, marks documents for rollup to write (it never writes one), and says
// which dead letters the console is to replay. What it changes is in audit.
// For a trial alone it asks a source, by fetch's own code, and keeps nothing of it.
package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/settings"
)

// A Client is connected to the servers that the settings name. Each is dialled
// when it is first needed, so that what needs one works while another is away.
type Client struct {
	cfg     settings.Settings
	db      *pgxpool.Pool
	mongo   *mongo.Database
	sources *catalog.Catalog
	pause   time.Duration   // before a second look at documents
	lag     time.Duration   // before a second look at queues
	pauses  []time.Duration // before who is to be told is tried again
	by      audit.By        // whom audit names
}

// secondLook is long enough for a document that is being written to be there.
const secondLook = 3 * time.Second

// Open prepares the connections.
func Open(ctx context.Context, cfg settings.Settings) (*Client, error) {
	cfg.RabbitMQ.App = "leat " + daemon.Version()
	db, err := postgres.Open(ctx, cfg.Postgres)
	if err != nil {
		return nil, err
	}
	documents, err := mongodb.Open(cfg.MongoDB)
	if err != nil {
		db.Close()
		return nil, err
	}
	return &Client{cfg: cfg, db: db, mongo: documents, sources: catalog.New(db), pause: secondLook, lag: counted, pauses: notifyPauses, by: audit.Operator()}, nil
}

// Close closes the connections.
func (c *Client) Close() {
	c.db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.mongo.Client().Disconnect(ctx) // the process ends anyway
}

// errNotMigrated says that the tables are not there.
var errNotMigrated = errors.New("PostgreSQL has no tables of Leat: run `leat migrate`")

// migrated returns an error unless the tables are there.
func (c *Client) migrated(ctx context.Context) error {
	var there bool
	err := c.db.QueryRow(ctx, `SELECT to_regclass('ledger') IS NOT NULL`).Scan(&there)
	switch {
	case err != nil:
		return fmt.Errorf("PostgreSQL: %w", err)
	case !there:
		return errNotMigrated
	}
	return nil
}

// sleep waits, or returns early with the reason when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
