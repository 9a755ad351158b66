package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
)

func TestMigrateAgainChangesNothing(t *testing.T) {
	t.Parallel()
	db := open(t)
	id := job(t, db)
	if err := postgres.Migrate(t.Context(), db, migrations); err != nil {
		t.Fatal(err)
	}
	var kept bool
	scan(t, db, []any{&kept}, `SELECT EXISTS (SELECT 1 FROM leat.jobs WHERE id = $1)`, id)
	if !kept {
		t.Error("the second Migrate lost a row")
	}
}

func TestSeveralMayMigrateAtOnce(t *testing.T) {
	t.Parallel()
	address := pipetest.Postgres(t)
	var all sync.WaitGroup
	for range 3 {
		db := connect(t, address)
		all.Go(func() {
			if err := postgres.Migrate(t.Context(), db, migrations); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	job(t, connect(t, address))
}

func TestConnectionsWorkInTheSchemaAndInUTC(t *testing.T) {
	t.Parallel()
	var path, zone string
	db := connect(t, pipetest.Postgres(t))
	scan(t, db, []any{&path}, `SHOW search_path`)
	scan(t, db, []any{&zone}, `SHOW timezone`)
	if path != postgres.Schema || zone != "UTC" {
		t.Errorf("search_path %q, timezone %q, want %q and UTC", path, zone, postgres.Schema)
	}
}

// A fate is what an error comes to.
type fate string

const (
	permanent   fate = "permanent"
	unavailable fate = "unavailable"
	again       fate = "again"
)

func fateOf(err error) fate {
	switch {
	case pipeline.IsPermanent(err):
		return permanent
	case pipeline.IsUnavailable(err):
		return unavailable
	}
	return again
}

func TestClassify(t *testing.T) {
	state := func(code string) error { return fmt.Errorf("write: %w", &pgconn.PgError{Code: code}) }
	tests := []struct {
		name string
		err  error
		want fate
	}{
		{"connection failure", state("08006"), unavailable},
		{"system error", state("58030"), unavailable},
		{"admin shutdown", state("57P01"), unavailable},
		{"crash shutdown", state("57P02"), unavailable},
		{"cannot connect now", state("57P03"), unavailable},
		{"too many connections", state("53300"), unavailable},
		{"disk full", state("53100"), unavailable},
		{"lock table full", state("53200"), again},
		{"statement too complex", state("54001"), again},
		{"query cancelled", state("57014"), again},
		{"serialization failure", state("40001"), again},
		{"deadlock", state("40P01"), again},
		{"duplicate key", state("23505"), again},
		{"foreign key", state("23503"), again},
		{"table exists", state("42P07"), again},
		{"not null", state("23502"), permanent},
		{"check", state("23514"), permanent},
		{"invalid text", state("22P02"), permanent},
		{"invalid bytes", state("22021"), permanent},
		{"no such table", state("42P01"), permanent},
		{"no code", state(""), again},
		{"a code of one letter", state("2"), again},
		{"the network broke", io.ErrUnexpectedEOF, unavailable},
		{"cancelled", fmt.Errorf("write: %w", context.Canceled), again},
		{"marked Permanent before", pipeline.Permanent(state("08006")), permanent},
		{"marked Unavailable before", pipeline.Unavailable(state("22P02")), unavailable},
		{"something else", errors.New("odd"), again},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := postgres.Classify(tt.err)
			if fateOf(got) != tt.want || !errors.Is(got, tt.err) {
				t.Errorf("%v is %s, want %s and the same error", got, fateOf(got), tt.want)
			}
		})
	}
	if postgres.Classify(nil) != nil {
		t.Error("no error became one")
	}
}

func TestClassifyKnowsTheServersOwnErrors(t *testing.T) {
	t.Parallel()
	db := open(t)
	address, err := url.Parse(db.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := func(change func(*url.URL)) func(ctx context.Context, _ pgx.Tx) error {
		return func(ctx context.Context, _ pgx.Tx) error {
			u := *address
			change(&u)
			return connect(t, u.String()).Ping(ctx)
		}
	}
	sql := func(sql string) func(context.Context, pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql)
			return err
		}
	}
	tests := []struct {
		name string
		work func(context.Context, pgx.Tx) error
		want fate
	}{
		{"duplicate key", sql(`INSERT INTO source_versions VALUES ('h', 's', 't'), ('h', 's', 't')`), again},
		{"invalid text", sql(`SELECT 'x'::bigint`), permanent},
		{"division by zero", sql(`SELECT 1 / 0`), permanent},
		{"no such table", sql(`SELECT * FROM nothing`), permanent},
		{"statement timeout", sql(`SET LOCAL statement_timeout = 10; SELECT pg_sleep(10)`), again},
		{"text with NUL", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT $1::text`, "a\x00b")
			return err
		}, permanent},
		{"the connection is shut down", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT pg_terminate_backend(pg_backend_pid())`)
			return err
		}, unavailable},
		{"another shuts it down", func(ctx context.Context, tx pgx.Tx) error {
			if _, err := db.Exec(ctx, `SELECT pg_terminate_backend($1)`, tx.Conn().PgConn().PID()); err != nil {
				t.Error(err)
			}
			_, err := tx.Exec(ctx, `SELECT 1`)
			return err
		}, unavailable},
		{"nobody listens", elsewhere(func(u *url.URL) { u.Host = "127.0.0.1:1" }), unavailable},
		{"the password is wrong", elsewhere(func(u *url.URL) { u.User = url.UserPassword("nobody", "wrong") }), unavailable},
		{"the database is not there", elsewhere(func(u *url.URL) { u.Path = "/leat_test_nothing" }), unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := postgres.InTx(t.Context(), db, func(tx pgx.Tx) error { return tt.work(t.Context(), tx) })
			if err == nil || fateOf(err) != tt.want {
				t.Errorf("%v is %s, want %s", err, fateOf(err), tt.want)
			}
		})
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := postgres.InTx(cancelled, db, sqlNothing); fateOf(err) != again || !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v is %s, want itself", err, fateOf(err))
	}
}

func sqlNothing(pgx.Tx) error { return nil }
