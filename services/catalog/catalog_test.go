package catalog

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/schema"
)

const ads = `
source: ads
records: [{each: ads, object: {type: ad, key: id, name: name}}]
annotate: {market: 'lookup("markets", name)'}
`

func open(t *testing.T) *pgxpool.Pool {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: pipetest.Postgres(t), MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db, schema.FS); err != nil {
		t.Fatal(err)
	}
	return db
}

func version(t *testing.T, text, table string) *source.Source {
	t.Helper()
	src, err := source.Parse([]byte(text), map[string][]byte{"markets": []byte(table)})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestAVersionIsReadByItsHashOnAnyHost(t *testing.T) {
	db := open(t)
	src := version(t, ads, "key,value\nApple,DE\n")
	var hosts sync.WaitGroup
	for range 3 {
		hosts.Go(func() {
			if err := New(db).Put(t.Context(), src); err != nil {
				t.Error(err)
			}
		})
	}
	hosts.Wait()
	c := New(db)
	first, err := c.Version(t.Context(), src.Hash)
	if err != nil || first.Hash != src.Hash || string(first.Text) != ads || string(first.Tables["markets"]) != "key,value\nApple,DE\n" {
		t.Fatalf("%+v, %v", first.Source, err)
	}
	again, err := c.Version(t.Context(), src.Hash)
	if err != nil || again.Source != first.Source || !again.FirstUsed.Equal(first.FirstUsed) {
		t.Errorf("it was read twice: %v", err)
	}
	if _, err := c.Get(t.Context(), "0123"); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `"0123"`) {
		t.Errorf("a version that never was: %v", err)
	}
}

// As in an upgrade, where the newer of two workers took the job.
func TestAVersionThatAnotherReleaseKeptIsWaitedFor(t *testing.T) {
	db := open(t)
	if _, err := db.Exec(t.Context(), `
		INSERT INTO source_versions (hash, source, text, tables) VALUES ('77', 'ads', $1, '{}')`, ads+"\nnews_of_a_later_release: true\n"); err != nil {
		t.Fatal(err)
	}
	_, err := New(db).Get(t.Context(), "77")
	if pipeline.IsPermanent(err) || pipeline.Class(err) != pipeline.ClassUnavailable || !strings.Contains(err.Error(), "news_of_a_later_release") {
		t.Errorf("a version that this release cannot read: %v", err)
	}
}

func TestTheLatestVersionIsTheOneFirstUsedLast(t *testing.T) {
	db := open(t)
	c := New(db)
	older, newer := version(t, ads, "key,value\nApple,DE\n"), version(t, ads, "key,value\nApple,FR\n")
	if older.Hash == newer.Hash {
		t.Fatal("another table is the same version")
	}
	for _, src := range []*source.Source{older, newer, older} {
		if err := c.Put(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	latest, err := New(db).Latest(t.Context(), "ads")
	if err != nil || latest.Hash != newer.Hash {
		t.Errorf("the latest is %v, %v", latest, err)
	}
	if _, err := c.Latest(t.Context(), "gigs"); err == nil {
		t.Error("a source that was never used has a latest version")
	}
}
