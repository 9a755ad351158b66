// Package mongodb opens the document server and says what its errors mean to
// the pipeline.
package mongodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/leatflow/leat/pkg/certs"
	"github.com/leatflow/leat/pkg/pipeline"
)

// Config says where the document server is.
type Config struct {
	URL      string `mapstructure:"url"`
	Database string `mapstructure:"database"`
}

// DefaultConfig is a server on this machine.
func DefaultConfig() Config {
	return Config{URL: "mongodb://leat:leat@127.0.0.1:27017/", Database: "leat"}
}

// Open returns the database, with majority writes. It dials on first use.
func Open(cfg Config) (*mongo.Database, error) {
	client, err := mongo.Connect(options.Client().
		SetServerSelectionTimeout(10 * time.Second).
		SetConnectTimeout(10 * time.Second).
		ApplyURI(cfg.URL). // which may set others
		SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		return nil, fmt.Errorf("mongodb.url: %w", err)
	}
	return client.Database(cfg.Database), nil
}

// Ping asks whether the server answers.
func Ping(ctx context.Context, db *mongo.Database) error {
	if err := db.Client().Ping(ctx, nil); err != nil {
		return pipeline.Unavailable(fmt.Errorf("mongodb: %w", explain(err)))
	}
	return nil
}

// explain adds to the error of a connection which parameter of the URL is at
// fault. The reason why no server can be selected is with each server.
func explain(err error) error {
	why := err
	if selection, ok := errors.AsType[topology.ServerSelectionError](err); ok {
		for _, server := range selection.Desc.Servers {
			why = errors.Join(why, server.LastError)
		}
	}
	explained, mistake := certs.Explain(why, tlsNames)
	if !mistake {
		return err
	}
	return explained
}

// tlsNames are the parameters of the URL that a handshake needs.
var tlsNames = certs.Names{CA: "tlsCAFile in mongodb.url", Cert: "tlsCertificateKeyFile in mongodb.url", URL: "mongodb.url"}

// Classify marks err for the worker: a server that is unreachable, shutting down
// or between primaries is Unavailable; the rest stays as it is: what the server
// refused, and what the client never sent because no document is like that.
func Classify(err error) error {
	var (
		server   mongo.ServerError
		argument mongo.InvalidArgumentError
		marshal  mongo.MarshalError
	)
	switch {
	case err == nil, errors.Is(err, context.Canceled), pipeline.IsUnavailable(err), pipeline.IsPermanent(err):
		return err
	case mongo.IsNetworkError(err), mongo.IsTimeout(err), errors.Is(err, mongo.ErrClientDisconnected):
		return pipeline.Unavailable(err)
	case errors.As(err, &server):
		if server.HasErrorLabel("RetryableWriteError") || server.HasErrorLabel("TransientTransactionError") {
			return pipeline.Unavailable(err)
		}
		return err
	case errors.As(err, &argument), errors.As(err, &marshal), errors.Is(err, driver.ErrDocumentTooLarge), errors.Is(err, mongo.ErrNoDocuments):
		return err
	}
	return pipeline.Unavailable(err) // not the server's word, so it never got there
}
