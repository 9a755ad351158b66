package annotate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/schema"
)

// rules is a source whose ads have a tag of their own and one from above.
const rules = `
source: ads
records:
  - each: campaigns
    object: {type: campaign, key: id, name: name}
    children:
      - each: ads
        object: {type: ad, key: id, name: name, attributes: [status]}
annotate:
  brand: 'name matches "(?i)acme"'
  season: 'parent("campaign").name'
`

type bench struct {
	t   testing.TB
	db  *pgxpool.Pool
	src *source.Source
	job string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, job: uuid.NewString()}
	var err error
	if b.db, err = postgres.Open(t.Context(), postgres.Config{URL: pipetest.Postgres(t), MaxConns: 4}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.db.Close)
	if err := postgres.Migrate(t.Context(), b.db, schema.FS); err != nil {
		t.Fatal(err)
	}
	b.exec(`INSERT INTO jobs (id, source, mode, params, via, state) VALUES ($1, 'ads', 'full', '{}', 'test', 'running')`, b.job)
	b.exec(`
		INSERT INTO objects (id, source, type, key, parent_id, depth, name, observed_at) OVERRIDING SYSTEM VALUE VALUES
			(1, 'ads', 'campaign', 'c1', NULL, 0, 'Spring', now()),
			(2, 'ads', 'ad', 'a1', 1, 1, 'Acme apple', now()),
			(3, 'ads', 'ad', 'a2', 1, 1, 'Pear', now()),
			(4, 'ads', 'campaign', 'c2', NULL, 0, 'Autumn', now())`)
	b.exec(`ALTER TABLE objects ALTER id RESTART WITH 100`)
	b.src = b.version(rules, time.Hour)
	return b
}

// version keeps a version of the source that was first used a while ago.
func (b *bench) version(text string, ago time.Duration) *source.Source {
	b.t.Helper()
	src, err := source.Parse([]byte(text), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := catalog.New(b.db).Put(b.t.Context(), src); err != nil {
		b.t.Fatal(err)
	}
	b.exec(`UPDATE source_versions SET at = now() - $2::interval WHERE hash = $1`, src.Hash, ago)
	return src
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) text(sql string) string {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), sql)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(list, "\n")
}

// tags are all tags, one object a line.
func (b *bench) tags() string {
	return b.text(`SELECT concat_ws(' ', o.key, t.tags) FROM tags t JOIN objects o ON o.id = t.object_id ORDER BY o.key`)
}

func (b *bench) stage() *Stage {
	return &Stage{DB: b.db, Sources: catalog.New(b.db), Self: "leat.annotate", Next: "leat.rollup", Log: zap.NewNop()}
}

// delivery is a message of changes under a version.
func (b *bench) delivery(src *source.Source, changes ...event.Change) pipeline.Delivery {
	b.t.Helper()
	body, err := event.Changes{Source: "ads", Version: src.Hash, Objects: changes}.AppendJSON(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return pipeline.Delivery{Envelope: pipeline.Envelope{ID: uuid.NewString(), Kind: event.KindChanges, Job: b.job, Body: body}}
}

// handle handles a batch and returns what follows, as told.
func (b *bench) handle(in ...pipeline.Delivery) (out []pipeline.Envelope, told string) {
	b.t.Helper()
	out, err := b.stage().Handle(b.t.Context(), in)
	if err != nil {
		b.t.Fatal(err)
	}
	var lines []string
	for _, e := range out {
		changes, err := pipeline.Decode[event.Changes](e)
		if err != nil {
			b.t.Fatal(err)
		}
		line := e.Queue
		for _, c := range changes.Objects {
			line += fmt.Sprintf(" %d", c.ID)
			if c.Self {
				line += "+self"
			}
			if c.Above {
				line += "+above"
			}
			if len(c.Days) > 0 {
				line += "+days"
			}
		}
		lines = append(lines, line)
	}
	return out, strings.Join(lines, "\n")
}
