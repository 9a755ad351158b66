package rollup

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/schema"
)

// ads is a tree three deep, with a type beside it that has no stats.
const ads = `
source: ads
records:
  - each: campaigns
    object: {type: campaign, key: id, name: name, attributes: [status]}
    children:
      - each: groups
        object: {type: group, key: id}
        children:
          - each: ads
            object: {type: ad, key: id, name: name}
            children:
              - each: stats
                stat: {day: date, dimensions: [os, country], metrics: "*"}
  - each: photos
    object: {type: photo, key: id, attributes: [text]}
rollup: {hours: true, dimensions: [os], not_summed: [reach]}
`

// A bench is servers with a source and a running job that has nothing left
// upstream.
type bench struct {
	t       testing.TB
	db      *pgxpool.Pool
	mongo   *mongo.Database
	src     *source.Source
	sources *catalog.Catalog
	job     string
	sink    *sink
}

// newBench has PostgreSQL only.
func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, sink: &sink{}}
	var err error
	if b.db, err = postgres.Open(t.Context(), postgres.Config{URL: pipetest.Postgres(t), MaxConns: 8}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.db.Close)
	if err := postgres.Migrate(t.Context(), b.db, schema.FS); err != nil {
		t.Fatal(err)
	}
	b.exec(`CREATE TABLE stats_rest PARTITION OF stats DEFAULT`)
	if b.src, err = source.Parse([]byte(ads), nil); err != nil {
		t.Fatal(err)
	}
	b.sources = catalog.New(b.db)
	if err := b.sources.Put(t.Context(), b.src); err != nil {
		t.Fatal(err)
	}
	b.job = b.newJob("done")
	return b
}

// withMongo has MongoDB too.
func withMongo(t testing.TB) *bench {
	t.Helper()
	b := newBench(t)
	address, database := pipetest.Mongo(t)
	db, err := mongodb.Open(mongodb.Config{URL: address, Database: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Client().Disconnect(context.Background()) })
	b.mongo = db
	return b
}

// newJob is a running job whose own message is in a state.
func (b *bench) newJob(state string) string {
	b.t.Helper()
	id := uuid.NewString()
	b.exec(`INSERT INTO jobs (id, source, mode, params, via, state) VALUES ($1, 'ads', 'full', '{}', 'test', 'running')`, id)
	b.exec(`INSERT INTO ledger (stage, message_id, job_id, state) VALUES ('fetch', $1::text, $1::uuid, $2)`, id, state)
	return id
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) text(sql string, args ...any) string {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), sql, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(list, " ")
}

// The objects of tree.
const (
	c1 = int64(1 + iota) // campaign
	c2                   // campaign
	g1                   // group of c1
	a1                   // ad of g1
	a2                   // ad of g1
	p1                   // photo
)

// tree makes campaigns c1 (with the group g1 of the ads a1 and a2) and c2, and
// the photo p1.
func (b *bench) tree() {
	b.t.Helper()
	b.exec(`
		INSERT INTO objects (id, source, type, key, parent_id, depth, name, attrs, observed_at) OVERRIDING SYSTEM VALUE VALUES
			(1, 'ads', 'campaign', 'c1', NULL, 0, 'Spring', '{"status": "on"}', now()),
			(2, 'ads', 'campaign', 'c2', NULL, 0, 'Autumn', '{}', now()),
			(3, 'ads', 'group', 'g1', 1, 1, 'g1', '{}', now()),
			(4, 'ads', 'ad', 'a1', 3, 2, 'Apple', '{}', now()),
			(5, 'ads', 'ad', 'a2', 3, 2, 'Pear', '{}', now()),
			(6, 'ads', 'photo', 'p1', NULL, 0, 'p1', '{}', now())`)
	b.exec(`ALTER TABLE objects ALTER id RESTART WITH 100`)
}

// stat writes a row as delta does.
func (b *bench) stat(object int64, day, dims, metrics string, hours ...string) {
	b.t.Helper()
	var h *string
	if len(hours) > 0 {
		h = &hours[0]
	}
	b.exec(`
		INSERT INTO stats (object_id, day, dims, metrics, hours, observed_at) VALUES ($1, $2::text::date, $3, $4, $5, now())
		ON CONFLICT (object_id, day, rule, dims) DO UPDATE SET metrics = excluded.metrics, hours = excluded.hours`, object, day, dims, metrics, h)
}

// stage is one of a process of its own.
func (b *bench) stage() *Stage {
	return &Stage{
		Config: DefaultConfig(), DB: b.db, Mongo: b.mongo, Sources: catalog.New(b.db), Sink: b.sink,
		Feed: "leat.feed", Dead: "leat.dead", Log: zap.NewNop(),
	}
}

// changed handles a message of the job.
func (b *bench) changed(changes ...event.Change) {
	b.t.Helper()
	body, err := event.Changes{Source: "ads", Version: b.src.Hash, Objects: changes}.AppendJSON(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	e := pipeline.Envelope{ID: uuid.NewString(), Kind: event.KindChanges, Job: b.job, Body: body}
	if _, err := b.stage().Handle(b.t.Context(), pipeline.Batch{{Envelope: e}}); err != nil {
		b.t.Fatal(err)
	}
}

// write writes all that is due.
func (b *bench) write() {
	b.t.Helper()
	if err := idle(b.t.Context(), b.stage()); err != nil {
		b.t.Fatal(err)
	}
}

// idle calls Idle until there is no more.
func idle(ctx context.Context, s *Stage) error {
	for range 100 {
		s.settling.next = time.Time{}
		if pause, err := s.Idle(ctx); err != nil || pause > 0 {
			return err
		}
	}
	return errors.New("there is always more to do")
}

// doc is a document as the driver reads it, nil when there is none.
func (b *bench) doc(id string) bson.M {
	b.t.Helper()
	var m bson.M
	err := b.mongo.Collection("ads").FindOne(b.t.Context(), bson.M{"_id": id}).Decode(&m)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		b.t.Fatal(err)
	}
	return m
}

// days writes a document's days as JSON.
func (b *bench) days(id string) string {
	b.t.Helper()
	return text(b.t, b.doc(id)["days"])
}

// text writes what the driver reads as JSON, sorted.
func text(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(plain(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func plain(v any) any {
	switch v := v.(type) {
	case bson.D:
		m := map[string]any{}
		for _, e := range v {
			m[e.Key] = plain(e.Value)
		}
		return m
	case bson.M:
		m := map[string]any{}
		for k, e := range v {
			m[k] = plain(e)
		}
		return m
	case bson.A:
		a := make([]any, len(v))
		for i, e := range v {
			a[i] = plain(e)
		}
		return a
	}
	return v
}

func (b *bench) marks() string { return b.text(`SELECT count(*)::text FROM dirty`) }

func (b *bench) state(job string) string {
	return b.text(`SELECT state FROM jobs WHERE id = $1`, job)
}

func days(t testing.TB, texts ...string) []metric.Day {
	t.Helper()
	var out []metric.Day
	for _, s := range texts {
		d, err := metric.ParseDay(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// A sink keeps what is published; fails, if above 0, is how often it refuses.
type sink struct {
	mu        sync.Mutex
	fails     int
	published []pipeline.Envelope
}

func (s *sink) Publish(_ context.Context, out []pipeline.Envelope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return errors.New("the process dies here")
	}
	s.published = append(s.published, out...)
	return nil
}

func (s *sink) to(queue string) []pipeline.Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.published), func(e pipeline.Envelope) bool { return e.Queue != queue })
}
