package client

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/services/audit"
)

// Rebuilt is what a rebuild came to.
type Rebuilt struct {
	Rev int64 `json:"rev"` // from which documents are written on
	Checked
}

// Rebuild makes MongoDB follow a PostgreSQL that was restored from a backup: it
// raises the sequence of revs above that of every document, so that they can be
// written again, and marks every document that differs.
func (c *Client) Rebuild(ctx context.Context, tell func(Difference)) (r Rebuilt, err error) {
	if err := c.migrated(ctx); err != nil {
		return r, err
	}
	top, err := c.highestRev(ctx)
	if err != nil {
		return r, err
	}
	if err := c.db.QueryRow(ctx, `SELECT setval('rev', greatest($1, (SELECT last_value FROM rev)))`, top+1).Scan(&r.Rev); err != nil {
		return r, fmt.Errorf("raise the sequence of revs: %w", err)
	}
	if err := audit.Record(ctx, c.db, audit.Entry{
		By: c.by, Action: audit.Rebuild, Subject: "MongoDB", Why: "PostgreSQL was restored", Detail: map[string]any{"rev": r.Rev},
	}); err != nil {
		return r, err
	}
	r.Checked, err = c.Check(ctx, Checking{Repair: true}, tell)
	return r, err
}

// highestRev reads through all documents: nothing else asks for their revs, and
// an index on them would be written with each.
func (c *Client) highestRev(ctx context.Context) (top int64, err error) {
	names, err := c.mongo.ListCollectionNames(ctx, bson.M{})
	if err != nil {
		return 0, mongodb.Classify(fmt.Errorf("list collections: %w", err))
	}
	newest := options.FindOne().SetSort(bson.M{"rev": -1}).SetProjection(bson.M{"rev": 1})
	for _, name := range names {
		var d struct {
			Rev int64 `bson:"rev"`
		}
		err := c.mongo.Collection(name).FindOne(ctx, bson.M{}, newest).Decode(&d)
		if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
			return 0, mongodb.Classify(fmt.Errorf("newest document of %s: %w", name, err))
		}
		top = max(top, d.Rev)
	}
	return top, nil
}
