// Package postgres opens the database, brings its schema up to date, says what
// its errors mean to the pipeline, and keeps the ledger.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/certs"
	"github.com/leatflow/leat/pkg/pipeline"
)

// Config says where the database is.
type Config struct {
	URL      string `mapstructure:"url"`
	MaxConns int32  `mapstructure:"max_conns"` // of this process; all processes together stay below the server's max_connections
}

// DefaultConfig is a server on this machine.
func DefaultConfig() Config {
	return Config{URL: "postgres://leat:leat@127.0.0.1:5432/leat", MaxConns: 8}
}

// Schema holds all of Leat's tables.
const Schema = "leat"

// Open returns a pool whose connections work in Schema. It dials on first use.
func Open(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	pool, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	if cfg.MaxConns > 0 {
		pool.MaxConns = cfg.MaxConns
	}
	pool.ConnConfig.RuntimeParams["search_path"] = Schema
	pool.ConnConfig.RuntimeParams["timezone"] = "UTC"
	for name, value := range liveness {
		if _, ok := pool.ConnConfig.RuntimeParams[name]; !ok {
			pool.ConnConfig.RuntimeParams[name] = value
		}
	}
	return pgxpool.NewWithConfig(ctx, pool)
}

// liveness has the server find out within minutes that a worker's host is gone,
// or that the worker is frozen, and free what it had locked.
var liveness = map[string]string{
	"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3", "tcp_user_timeout": "60000",
	"idle_in_transaction_session_timeout": "180000",
}

// tlsNames are the parameters of the URL that a handshake needs.
var tlsNames = certs.Names{CA: "sslrootcert in postgres.url", Cert: "sslcert and sslkey in postgres.url", URL: "postgres.url"}

// Classify marks err for the worker: a server that is unreachable or shutting
// down is Unavailable; a value or a statement that it refuses is Permanent; the
// rest (deadlocks, lock tables that are full, cancelled statements) is tried
// again, by halves.
func Classify(err error) error {
	var (
		pg      *pgconn.PgError
		network net.Error
		connect *pgconn.ConnectError
	)
	switch {
	case err == nil, pipeline.IsPermanent(err), pipeline.IsUnavailable(err):
		return err
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &connect): // the password, the database, a certificate: never the message's fault
		explained, _ := certs.Explain(err, tlsNames)
		return pipeline.Unavailable(explained)
	case errors.As(err, &pg):
		return classifyState(pg.Code, err)
	case pgconn.SafeToRetry(err), errors.As(err, &network),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return pipeline.Unavailable(err)
	}
	return err
}

func classifyState(code string, err error) error {
	switch code {
	case "23505", "23503", "42P07": // two that do the same at once: the second time it is done
		return err
	}
	switch code[:min(len(code), 2)] {
	case "08", "58":
		return pipeline.Unavailable(err)
	case "57":
		if code != "57014" { // query_canceled is the statement's own fault
			return pipeline.Unavailable(err)
		}
	case "53":
		if code == "53300" || code == "53100" { // connections that others will let go, a disk that someone has to empty
			return pipeline.Unavailable(err)
		}
	case "22", "23", "42":
		return pipeline.Permanent(err)
	}
	return err
}

// InTx runs f in a transaction and classifies its error.
func InTx(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx) error) error {
	return Classify(pgx.BeginFunc(ctx, pool, f))
}
