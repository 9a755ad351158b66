package client

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/annotate"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/settings"
)

// shop has a type with stats, one above it, and one without.
const shop = `
source: shop
records:
  - each: shops
    object: {type: shop, key: id, name: name}
    children:
      - each: items
        object: {type: item, key: id, name: name, attributes: [color]}
        children:
          - each: stats
            stat: {day: date, dimensions: [os], metrics: "*"}
      - each: photos
        object: {type: photo, key: id}
rollup: {hours: true, dimensions: [os]}
annotate: {brand: 'color == "red"'}
`

// An installation is a client on servers of its own.
type installation struct {
	*Client
	t *testing.T
}

func install(t *testing.T) *installation {
	t.Helper()
	cfg := settings.Default()
	cfg.Postgres.URL = pipetest.Postgres(t)
	cfg.RabbitMQ.URL = pipetest.Rabbit(t)
	cfg.RabbitMQ.ManagementURL = os.Getenv("LEAT_RABBITMQ_MANAGEMENT_URL")
	cfg.MongoDB.URL, cfg.MongoDB.Database = pipetest.Mongo(t)
	cfg.Sources = t.TempDir()
	if err := os.WriteFile(filepath.Join(cfg.Sources, "shop.yaml"), []byte(shop), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.pause, c.lag = 10*time.Millisecond, 10*time.Millisecond
	return &installation{c, t}
}

func (i *installation) migrate() Migrated {
	i.t.Helper()
	m, err := i.Migrate(i.t.Context(), 10*time.Second, func(text string) { i.t.Log(text) })
	if err != nil {
		i.t.Fatal(err)
	}
	return m
}

func (i *installation) exec(sql string, args ...any) {
	i.t.Helper()
	if _, err := i.db.Exec(i.t.Context(), sql, args...); err != nil {
		i.t.Fatalf("%s: %v", sql, err)
	}
}

func (i *installation) count(sql string) (n int) {
	i.t.Helper()
	if err := i.db.QueryRow(i.t.Context(), sql).Scan(&n); err != nil {
		i.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// fill writes a shop with an item that has two days, and a photo, as rows and as
// the documents that rollup would write.
func (i *installation) fill() {
	i.t.Helper()
	i.exec(`TRUNCATE leat.jobs, leat.objects, leat.stats, leat.tags, leat.documents, leat.dirty, leat.ledger CASCADE`)
	i.exec(`ALTER TABLE leat.objects ALTER id RESTART WITH 10`)
	i.exec(`SELECT nextval('leat.objects_id_seq')`)
	i.exec(`SELECT setval('leat.rev', 100)`)
	i.exec(`
		INSERT INTO leat.objects (id, source, type, key, parent_id, depth, name, attrs, observed_at) OVERRIDING SYSTEM VALUE VALUES
			(1, 'shop', 'shop', 's1', NULL, 0, 'Corner', '{}', now()),
			(2, 'shop', 'item', 'i/1', 1, 1, 'Apple', '{"color": "red", "weight": 1.5}', now()),
			(3, 'shop', 'photo', 'p1', 1, 1, 'p1', '{}', now())`)
	i.exec(`
		INSERT INTO leat.stats (object_id, day, dims, metrics, hours, observed_at) VALUES
			(2, '2026-11-14', 'os=ios', '{"clicks": 3, "cost": 1.5}', '{"13": {"clicks": 1}, "23": {"clicks": 2, "cost": 1.5}}', now()),
			(2, '2026-05-01', 'os=android', '{"clicks": 4}', NULL, now()),
			(2, '2026-05-02', 'os=android', '{}', NULL, now())`)
	i.annotate(2)
	i.exec(`INSERT INTO leat.documents (object_id, half) VALUES (1, '2026H1'), (1, '2026H2'), (2, '2026H1'), (2, '2026H2'), (3, 'all')`)
	for _, name := range []string{"shop", "stranger"} {
		if err := i.mongo.Collection(name).Drop(i.t.Context()); err != nil {
			i.t.Fatal(err)
		}
	}
	i.insert("shop", documentsOfShop()...)
}

// annotate writes what the annotators give an object under the newest version.
func (i *installation) annotate(id int64) {
	i.t.Helper()
	uses, err := i.sources.History(i.t.Context(), "shop")
	if err != nil || len(uses) == 0 {
		i.t.Fatalf("versions of shop: %v, %v", uses, err)
	}
	version, err := i.sources.Version(i.t.Context(), uses[len(uses)-1].Hash)
	if err != nil {
		i.t.Fatal(err)
	}
	given, err := annotate.Annotate(i.t.Context(), i.db, map[int64]catalog.Version{id: version})
	if err != nil {
		i.t.Fatal(err)
	}
	i.exec(`INSERT INTO leat.tags (object_id, tags, inputs_hash, version_at) VALUES ($1, $2, $3, $4)`,
		id, given[id].Tags, given[id].Inputs, version.FirstUsed)
}

func documentsOfShop() []any {
	november := bson.M{"2026-11-14": bson.M{
		"m":  bson.M{"clicks": int64(3), "cost": 1.5},
		"h":  bson.M{"13": bson.M{"clicks": int64(1)}, "23": bson.M{"clicks": int64(2), "cost": 1.5}},
		"by": bson.A{bson.M{"d": bson.M{"os": "ios"}, "m": bson.M{"clicks": int64(3), "cost": 1.5}}},
	}}
	may := bson.M{"2026-05-01": bson.M{
		"m":  bson.M{"clicks": int64(4)},
		"by": bson.A{bson.M{"d": bson.M{"os": "android"}, "m": bson.M{"clicks": int64(4)}}},
	}}
	var all []any
	for half, days := range map[string]bson.M{"2026H1": may, "2026H2": november} {
		all = append(all,
			bson.M{"_id": "shop/s1/" + half, "source": "shop", "type": "shop", "key": "s1", "name": "Corner", "half": half, "rev": int64(7),
				"path": bson.A{}, "attrs": bson.M{}, "tags": bson.M{}, "days": days},
			bson.M{"_id": "item/i/1/" + half, "source": "shop", "type": "item", "key": "i/1", "name": "Apple", "half": half, "rev": int64(8),
				"path": bson.A{"shop/s1"}, "attrs": bson.M{"color": "red", "weight": 1.5}, "tags": bson.M{"brand": true}, "days": days})
	}
	return append(all,
		bson.M{"_id": "photo/p1/all", "source": "shop", "type": "photo", "key": "p1", "name": "p1", "half": "all", "rev": int64(9),
			"path": bson.A{"shop/s1"}, "attrs": bson.M{}, "tags": bson.M{}},
		bson.M{"_id": "photo/p2/all", "rev": int64(9), "gone": time.Now()})
}

func (i *installation) insert(collection string, docs ...any) {
	i.t.Helper()
	if _, err := i.mongo.Collection(collection).InsertMany(i.t.Context(), docs); err != nil {
		i.t.Fatal(err)
	}
}

func (i *installation) update(id string, update bson.M) {
	i.t.Helper()
	r, err := i.mongo.Collection("shop").UpdateOne(i.t.Context(), bson.M{"_id": id}, update)
	if err != nil || r.MatchedCount != 1 {
		i.t.Fatalf("update %s: %v, %+v", id, err, r)
	}
}

func (i *installation) remove(id string) {
	i.t.Helper()
	if _, err := i.mongo.Collection("shop").DeleteOne(i.t.Context(), bson.M{"_id": id}); err != nil {
		i.t.Fatal(err)
	}
}

// installed is an installation with tables, a partition for all days, and the
// version of the source that jobs ran under.
func installed(t *testing.T) *installation {
	t.Helper()
	i := install(t)
	i.migrate()
	i.exec(`CREATE TABLE leat.stats_rest PARTITION OF leat.stats DEFAULT`)
	src, err := source.Parse([]byte(shop), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.sources.Put(context.Background(), src); err != nil {
		t.Fatal(err)
	}
	return i
}
