package postgres_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// migrations are those of the services: the ledger's table is among them.
var migrations = os.DirFS(filepath.Join("..", "..", "services", "schema"))

// connect returns a pool for the database.
func connect(t testing.TB, address string) *pgxpool.Pool {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: address, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// open returns a pool for a fresh database with all tables.
func open(t testing.TB) *pgxpool.Pool {
	t.Helper()
	db := connect(t, pipetest.Postgres(t))
	if err := postgres.Migrate(t.Context(), db, migrations); err != nil {
		t.Fatal(err)
	}
	return db
}

// job returns the id of a new job.
func job(t testing.TB, db *pgxpool.Pool) string {
	t.Helper()
	id := uuid.NewString()
	exec(t, db, `INSERT INTO jobs (id, source, mode, params, via, state) VALUES ($1, 'ads', 'full', '{}', 'test', 'running')`, id)
	return id
}

func exec(t testing.TB, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// scan reads one row.
func scan(t testing.TB, db *pgxpool.Pool, into []any, sql string, args ...any) {
	t.Helper()
	if err := db.QueryRow(t.Context(), sql, args...).Scan(into...); err != nil {
		t.Fatal(err)
	}
}
