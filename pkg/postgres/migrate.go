package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// A migration that waits for a table has everybody who comes after it wait too.
// So it does not wait long, steps back, and tries again.
const (
	lockTimeout   = 2 * time.Second
	betweenLocks  = time.Second
	migrationWait = 2 * time.Minute
)

// Migrate makes the schema and applies the migrations (NNN_name.sql) that it
// lacks. Several may call it at once, and workers may be at work: none waits for
// it for more than some seconds.
func Migrate(ctx context.Context, pool *pgxpool.Pool, migrations fs.FS) error {
	if _, err := pool.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+Schema); err != nil {
		var pg *pgconn.PgError // two that make it at once: one gets a duplicate key, and the schema is there
		if !errors.As(err, &pg) || pg.Code != "23505" {
			return Classify(fmt.Errorf("create schema: %w", err))
		}
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	config := pool.Config().ConnConfig
	config.RuntimeParams["lock_timeout"] = fmt.Sprint(lockTimeout.Milliseconds())
	db := stdlib.OpenDB(*config)
	defer db.Close() //nolint:errcheck // what was to be done is done
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return Classify(insist(ctx, provider))
}

// insist applies the migrations. One that does not get its lock is undone, and
// tried again later.
func insist(ctx context.Context, provider *goose.Provider) error {
	for deadline := time.Now().Add(migrationWait); ; {
		_, err := provider.Up(ctx)
		switch {
		case err == nil:
			return nil
		case !lockNotAvailable(err):
			return fmt.Errorf("migrate: %w", err)
		case time.Now().After(deadline):
			return fmt.Errorf("migrate: a transaction has held a table for %s (see pg_stat_activity): end it, and migrate again: %w", migrationWait, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("migrate: %w", ctx.Err())
		case <-time.After(betweenLocks):
		}
	}
}

func lockNotAvailable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}
