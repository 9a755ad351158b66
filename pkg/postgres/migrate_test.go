package postgres_test

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
)

const (
	makeBig  = "-- +goose Up\nCREATE TABLE leat.big (id int);\n"
	alterBig = "-- +goose Up\nALTER TABLE leat.big ADD COLUMN name text;\n"
)

func TestNobodyWaitsForAMigrationThatWaits(t *testing.T) {
	db := connect(t, pipetest.Postgres(t))
	migrations := fstest.MapFS{"00001_big.sql": {Data: []byte(makeBig)}}
	if err := postgres.Migrate(t.Context(), db, migrations); err != nil {
		t.Fatal(err)
	}
	long, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := long.Exec(t.Context(), `INSERT INTO big VALUES (1)`); err != nil {
		t.Fatal(err)
	}

	migrations["00002_alter.sql"] = &fstest.MapFile{Data: []byte(alterBig)}
	migrated := make(chan error, 1)
	go func() { migrated <- postgres.Migrate(t.Context(), db, migrations) }()
	waits := func() (n int) {
		scan(t, db, []any{&n}, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'ALTER%'`)
		return n
	}
	for deadline := time.Now().Add(30 * time.Second); waits() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the migration does not wait for the transaction")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // ten times what it may take
	defer cancel()
	if _, err := db.Exec(ctx, `INSERT INTO big VALUES (2)`); err != nil {
		t.Errorf("a worker beside the migration: %v", err)
	}
	if err := long.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Error(err)
	}
	exec(t, db, `INSERT INTO big (id, name) VALUES (3, 'three')`)
}

func TestNoMigrationRewritesATableThatMayBeBig(t *testing.T) {
	db := connect(t, pipetest.Postgres(t))
	first, err := fs.ReadFile(migrations, "00001_tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), db, fstest.MapFS{"00001_tables.sql": {Data: first}}); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `CREATE TABLE stats_2026_11 PARTITION OF stats FOR VALUES FROM ('2026-11-01') TO ('2026-12-01')`)
	exec(t, db, `INSERT INTO objects (source, type, key, depth, name, observed_at) SELECT 'ads', 'ad', 'a' || n, 0, 'x', now() FROM generate_series(1, 1000) AS n`)
	exec(t, db, `INSERT INTO stats (object_id, day, metrics, observed_at) SELECT id, '2026-11-14', '{"clicks": 1}', now() FROM objects`)
	files := func() (names string) {
		scan(t, db, []any{&names}, `
			SELECT string_agg(t || ' ' || pg_relation_filenode(('leat.' || t)::regclass), ', ' ORDER BY t)
			FROM unnest(ARRAY['objects', 'stats_2026_11', 'tags', 'ledger', 'events', 'answers', 'rejects', 'documents']) AS t`)
		return names
	}
	before := files()
	if err := postgres.Migrate(t.Context(), db, migrations); err != nil {
		t.Fatal(err)
	}
	if after := files(); after != before {
		t.Errorf("a migration writes a table anew, which locks it for as long: %s, before %s", after, before)
	}
}
