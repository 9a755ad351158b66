package tree

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/schema"
)

// forest has the tree 1 > 2 > 3, 4 and the single 5.
func forest(t *testing.T) *pgxpool.Pool {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: pipetest.Postgres(t), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db, schema.FS); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `
		INSERT INTO objects (id, source, type, key, parent_id, depth, name, attrs, observed_at) OVERRIDING SYSTEM VALUE VALUES
			(1, 'ads', 'campaign', 'c1', NULL, 0, 'Spring', '{}', now()),
			(2, 'ads', 'group', 'g1', 1, 1, 'g1', '{}', now()),
			(3, 'ads', 'ad', 'a1', 2, 2, 'Apple', '{"budget": 12345678901234567890.5}', now()),
			(4, 'ads', 'ad', 'a2', 2, 2, 'Pear', '{}', now()),
			(5, 'ads', 'campaign', 'c2', NULL, 0, 'Autumn', '{}', now())`); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestUpReadsObjectsWithAllThatStandsAbove(t *testing.T) {
	nodes, err := Up(t.Context(), forest(t), []int64{3, 4, 5, 99})
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(nodes)); !slices.Equal(got, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("objects %v", got)
	}
	a1 := nodes[3]
	if got := strings.Join(a1.Path(), " "); got != "campaign/c1 group/g1" || a1.Root() != nodes[1] || nodes[4].Parent != a1.Parent {
		t.Errorf("path %s, root %v", got, a1.Root())
	}
	if a1.Attrs["budget"] != json.Number("12345678901234567890.5") {
		t.Errorf("attributes %v", a1.Attrs)
	}
	if top := nodes[5]; top.Root() != top || len(top.Path()) != 0 || top.Path() == nil {
		t.Errorf("one at the top has the path %v", top.Path())
	}
}

func TestDownNamesTheParentOfEachBelow(t *testing.T) {
	parents, err := Down(t.Context(), forest(t), []int64{1, 2, 5})
	if want := map[int64]int64{2: 1, 3: 2, 4: 2}; err != nil || !maps.Equal(parents, want) {
		t.Errorf("%v, %v, want %v", parents, err, want)
	}
}
