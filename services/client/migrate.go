package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/schema"
)

// Migrated says what Migrate found and did.
type Migrated struct {
	Postgres MigratedPostgres `json:"postgres"`
	RabbitMQ MigratedRabbit   `json:"rabbitmq"`
	MongoDB  MigratedMongo    `json:"mongodb"`
}

// MigratedPostgres are the schema's versions: 0 is none.
type MigratedPostgres struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// MigratedRabbit are the queues that are there now.
type MigratedRabbit struct {
	Queues []string `json:"queues"`
}

// MigratedMongo are the collections that have their indexes now.
type MigratedMongo struct {
	Collections []string `json:"collections"`
	Created     int      `json:"created"` // indexes that were missing
}

// Migrate makes what the daemons need and is not there yet. A server that does
// not answer is waited for, for up to wait each; it is told to note.
func (c *Client) Migrate(ctx context.Context, wait time.Duration, note func(string)) (m Migrated, err error) {
	sources, err := source.Load(c.cfg.Sources)
	if err != nil {
		note(fmt.Sprintf("sources: %v", err)) // the others get their indexes; `leat source lint` fails on it
	}
	if err := retry(ctx, wait, "PostgreSQL", note, func() (err error) {
		m.Postgres, err = c.migratePostgres(ctx)
		return err
	}); err != nil {
		return m, err
	}
	if err := retry(ctx, wait, "RabbitMQ", note, func() error { return rabbit.Declare(ctx, c.cfg.RabbitMQ) }); err != nil {
		return m, err
	}
	m.RabbitMQ.Queues = rabbit.Queues()
	err = retry(ctx, wait, "MongoDB", note, func() (err error) {
		m.MongoDB, err = c.migrateMongo(ctx, sortedKeys(sources))
		return err
	})
	return m, err
}

// retryEvery is how long a server that does not answer is left alone.
const retryEvery = 500 * time.Millisecond

// retry calls f until it does not fail for the server being away, or the time to
// wait is over. It says once that it waits.
func retry(ctx context.Context, wait time.Duration, server string, note func(string), f func() error) error {
	deadline := time.Now().Add(wait)
	for first := true; ; first = false {
		err := f()
		if err == nil {
			return nil
		}
		if !pipeline.IsUnavailable(err) || refused(err) || time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", server, err)
		}
		if first {
			note(fmt.Sprintf("waiting up to %s for %s", wait, server))
		}
		if err := sleep(ctx, retryEvery); err != nil {
			return fmt.Errorf("%s: %w", server, err)
		}
	}
}

// refused reports whether the broker answers, and does not let us in.
func refused(err error) bool {
	var said *amqp.Error
	return errors.As(err, &said) && (said.Code == amqp.AccessRefused || said.Code == amqp.NotAllowed)
}

func (c *Client) migratePostgres(ctx context.Context) (m MigratedPostgres, err error) {
	if m.From, err = c.schemaVersion(ctx); err != nil {
		return m, err
	}
	if err := postgres.Migrate(ctx, c.db, schema.FS); err != nil {
		return m, err
	}
	m.To, err = c.schemaVersion(ctx)
	return m, err
}

// schemaVersion returns the number of the last migration that was applied.
func (c *Client) schemaVersion(ctx context.Context) (version int64, err error) {
	var there bool
	if err := c.db.QueryRow(ctx, `SELECT to_regclass('leat.goose_db_version') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, postgres.Classify(err)
	}
	err = c.db.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version)
	return version, postgres.Classify(err)
}

// indexes are those of each collection. An _id is type/key/half, so an object's
// documents need none: they are a range of _id. These find the documents of a
// type for a half-year, in the keys' order, and what stands below an object.
var indexes = []bson.D{
	{{Key: "type", Value: 1}, {Key: "half", Value: 1}, {Key: "key", Value: 1}},
	{{Key: "path", Value: 1}, {Key: "half", Value: 1}},
}

func (c *Client) migrateMongo(ctx context.Context, sources []string) (m MigratedMongo, err error) {
	m.Collections = sources
	if err := mongodb.Ping(ctx, c.mongo); err != nil {
		return m, err
	}
	for _, name := range sources {
		collection := c.mongo.Collection(name)
		before, err := countIndexes(ctx, collection)
		if err != nil {
			return m, err
		}
		models := make([]mongo.IndexModel, len(indexes))
		for i, keys := range indexes {
			models[i] = mongo.IndexModel{Keys: keys}
		}
		if _, err := collection.Indexes().CreateMany(ctx, models); err != nil {
			return m, mongodb.Classify(fmt.Errorf("indexes of %s: %w", name, err))
		}
		after, err := countIndexes(ctx, collection)
		if err != nil {
			return m, err
		}
		m.Created += after - max(before, 1) // a new collection comes with the one of _id
	}
	return m, nil
}

// countIndexes returns how many indexes a collection has, 0 if there is no such collection.
func countIndexes(ctx context.Context, collection *mongo.Collection) (int, error) {
	names, err := collection.Database().ListCollectionNames(ctx, bson.M{"name": collection.Name()}, options.ListCollections().SetNameOnly(true))
	if err != nil || !slices.Contains(names, collection.Name()) {
		return 0, mongodb.Classify(err)
	}
	specs, err := collection.Indexes().ListSpecifications(ctx)
	return len(specs), mongodb.Classify(err)
}
