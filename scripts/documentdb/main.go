// Command documentdb is the document server of a development machine: FerretDB, as a library, in front of a PostgreSQL that
// has the DocumentDB extension. It speaks MongoDB's protocol. scripts/stack builds and runs it; production has MongoDB itself.
//
// It is a module of its own, so that FerretDB's dependencies stay out of Leat's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/v2/ferretdb"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "documentdb:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", env("LEAT_DOCUMENTDB_LISTEN", "127.0.0.1:27017"), "address to serve MongoDB's protocol at")
	postgres := flag.String("postgres", env("LEAT_DOCUMENTDB_POSTGRES_URL", ""), "URL of the PostgreSQL with DocumentDB (required)")
	state := flag.String("state", env("LEAT_DOCUMENTDB_STATE", ""), "folder for FerretDB's own notes (required)")
	flag.Parse()
	if *postgres == "" || *state == "" {
		return errors.New("-postgres and -state are required")
	}

	telemetry := false
	db, err := ferretdb.New(&ferretdb.Config{
		ListenAddr:    *listen,
		PostgreSQLURL: *postgres,
		StateDir:      *state,
		LogLevel:      slog.LevelError,
		LogOutput:     os.Stderr,
		Telemetry:     &telemetry,
	})
	if err != nil {
		return fmt.Errorf("start FerretDB: %w", err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	db.Run(ctx)
	return nil
}

// env is the variable's value, or the fallback where it is not set.
func env(name, fallback string) string {
	if v, ok := os.LookupEnv(name); ok {
		return v
	}
	return fallback
}
