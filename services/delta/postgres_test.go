package delta

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/schema"
)

// A bench is a database with a source and a running job.
type bench struct {
	t          testing.TB
	db         *pgxpool.Pool
	src        *source.Source
	job        string
	statements *atomic.Int64
}

func newBench(t testing.TB, stats string) *bench {
	t.Helper()
	return newBenchOf(t, newSource(t, all, stats))
}

func newBenchOf(t testing.TB, src *source.Source) *bench {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(pipetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, src: src, statements: new(atomic.Int64)}
	cfg.MaxConns = 6
	cfg.ConnConfig.RuntimeParams["search_path"] = postgres.Schema
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.Tracer = counter{b.statements}
	if b.db, err = pgxpool.NewWithConfig(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.db.Close)
	if err := postgres.Migrate(t.Context(), b.db, schema.FS); err != nil {
		t.Fatal(err)
	}
	if err := catalog.New(b.db).Put(t.Context(), b.src); err != nil {
		t.Fatal(err)
	}
	b.job = b.newJob()
	return b
}

func (b *bench) newJob() string {
	id := uuid.NewString()
	b.exec(`INSERT INTO jobs (id, source, mode, params, via, state) VALUES ($1, 'ads', 'full', '{}', 'test', 'running')`, id)
	return id
}

// counter counts statements.
type counter struct{ n *atomic.Int64 }

func (c counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// text returns the only column of the rows, one a line.
func (b *bench) text(sql string) string {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), sql)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// stage is one of a process of its own.
func (b *bench) stage() *Stage {
	return &Stage{DB: b.db, Sources: catalog.New(b.db), Next: "leat.annotate"}
}

// batch is deliveries of parts.
func (b *bench) batch(texts ...string) pipeline.Batch {
	b.t.Helper()
	var in pipeline.Batch
	for _, text := range texts {
		body, err := toldPart(b.t, b.src, text).AppendJSON(nil)
		if err != nil {
			b.t.Fatal(err)
		}
		in = append(in, pipeline.Delivery{Envelope: pipeline.Envelope{ID: pipeline.Hash(b.job, text), Kind: event.KindPart, Job: b.job, Body: body}})
	}
	return in
}

func (b *bench) handle(texts ...string) []pipeline.Envelope {
	b.t.Helper()
	out, err := b.stage().Handle(b.t.Context(), b.batch(texts...))
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// end is the state: objects, and stats that are not zero.
func (b *bench) end() string {
	return b.text(`
		SELECT concat_ws(' ', o.key, o.name, coalesce(p.key, 'nothing'), o.attrs::text,
			(SELECT string_agg(concat_ws(' ', f.key, f.value ->> 'name', q.key, f.value ->> 'attrs'), '; ' ORDER BY f.key)
				FROM jsonb_each(o.feeds) f LEFT JOIN objects q ON q.id = (f.value ->> 'parent_id')::bigint)) FROM objects o LEFT JOIN objects p ON p.id = o.parent_id
		ORDER BY 1`) + "\n" + b.text(`
		SELECT concat_ws(' ', o.key, s.day, s.dims, s.metrics, s.hours) FROM stats s JOIN objects o ON o.id = s.object_id
		WHERE s.metrics <> '{}' ORDER BY 1`)
}

func TestAPartBecomesRowsOutputsAndALedgerRow(t *testing.T) {
	b := newBench(t, total)
	const part = `12:00; !c1 name=Spring; !a1 name=Apple in=c1 {"budget":1.50}; a1 os=ios clicks=3; a1 day=2026-11-13 os=ios clicks=4`
	out := b.handle(part)
	if got, want := b.end(), lines(`
		a1 Apple c1 {"budget": 1.50}
		c1 Spring nothing {}
		a1 2026-11-13 os=ios {"clicks": 4}
		a1 2026-11-14 os=ios {"clicks": 3} {"13": {"clicks": 3}}`); got != want {
		t.Errorf("rows:\n%s\nwant:\n%s", got, want)
	}
	if len(out) != 1 || out[0].Queue != "leat.annotate" || out[0].Job != b.job {
		t.Fatalf("outputs: %+v", out)
	}
	changes, err := pipeline.Decode[event.Changes](out[0])
	if err != nil || len(changes.Objects) != 2 || len(changes.Objects[1].Days) != 2 || !changes.Objects[0].New {
		t.Errorf("changes: %+v, %v", changes, err)
	}
	if got := b.text(`SELECT concat_ws(' ', state, source, to_char(observed_at, 'HH24:MI'), cardinality(seen), counts, names[1]) FROM ledger`); got !=
		`done ads 12:00 {"stats.new": 2, "objects.new": 2} `+out[0].ID {
		t.Errorf("ledger: %s", got)
	}

	t.Run("a redelivery does nothing and returns the same", func(t *testing.T) {
		before := b.text(`SELECT string_agg(xmin::text, ' ') FROM (SELECT xmin FROM objects UNION ALL SELECT xmin FROM stats UNION ALL SELECT xmin FROM ledger) AS r`)
		again := b.handle(part, part)
		if len(again) != 1 || again[0].ID != out[0].ID || !sameJSON(again[0].Body, out[0].Body) {
			t.Errorf("outputs: %+v, the first time %+v", again, out)
		}
		if after := b.text(`SELECT string_agg(xmin::text, ' ') FROM (SELECT xmin FROM objects UNION ALL SELECT xmin FROM stats UNION ALL SELECT xmin FROM ledger) AS r`); after != before {
			t.Error("rows were written")
		}
	})
	t.Run("the same report again writes nothing and has no output", func(t *testing.T) {
		before := b.text(`SELECT string_agg(xmin::text, ' ') FROM (SELECT xmin FROM objects UNION ALL SELECT xmin FROM stats) AS r`)
		if out := b.handle(strings.Replace(part, "12:00", "14:00", 1)); len(out) != 0 {
			t.Errorf("outputs: %+v", out)
		}
		if after := b.text(`SELECT string_agg(xmin::text, ' ') FROM (SELECT xmin FROM objects UNION ALL SELECT xmin FROM stats) AS r`); after != before {
			t.Error("rows were written")
		}
	})
	t.Run("and what was seen makes an older part late", func(t *testing.T) {
		before := b.end()
		if out := b.handle(`13:00; !a1 name=Pear in=c1; a1 os=ios clicks=1; a1 day=2026-11-13 os=ios clicks=1`); len(out) != 0 || b.end() != before {
			t.Errorf("outputs: %+v, rows:\n%s", out, b.end())
		}
	})
	t.Run("a part older than the ledger reaches is refused", func(t *testing.T) {
		b.exec(`INSERT INTO horizons VALUES ('ads', '2026-11-14 11:00Z')`)
		_, err := b.stage().Handle(t.Context(), b.batch(`10:00; a1 clicks=1`))
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "fetch these days again") {
			t.Errorf("got %v", err)
		}
	})
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

func TestEventsCountOnceWhoeverHandlesThem(t *testing.T) {
	b := newBench(t, events)
	var workers sync.WaitGroup
	for i := range 4 {
		workers.Go(func() {
			for n := range 5 {
				b.retry(b.stage(), b.batch(fmt.Sprintf("12:0%d; a1 h=1 id=e%d clicks=1; a1 h=2 id=e%d clicks=1", i, n, n+1)))
			}
		})
	}
	workers.Wait()
	if got := b.text(`SELECT metrics::text FROM stats`); got != `{"clicks": 6}` {
		t.Errorf("6 events, told 40 times, are %s", got)
	}
}

// retry handles a batch as a worker does: an error that is nobody's fault is
// tried again.
func (b *bench) retry(s *Stage, in pipeline.Batch) {
	for range 20 {
		_, err := s.Handle(b.t.Context(), in)
		if err == nil {
			return
		}
		if pipeline.IsPermanent(err) || pipeline.IsUnavailable(err) || strings.Contains(err.Error(), "40P01") {
			b.t.Error(err)
			return
		}
	}
	b.t.Errorf("%v: still not done", in.IDs())
}

func TestWorkersSideBySideEndAsOne(t *testing.T) {
	for name, stats := range map[string]string{"totals": total, "hours": hourly, "totals of whole answers": totalWhole} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, stats)
			sideBySide(t, b, func(random *rand.Rand) []string {
				return randomParts(random, []string{"os=ios", "os=android"}, b.src.Stats.Kind == source.KindHour)
			})
		})
	}
	t.Run("feeds", func(t *testing.T) { sideBySide(t, newBenchOf(t, newFeeds(t)), randomFeeds) })
}

func sideBySide(t *testing.T, b *bench, parts func(*rand.Rand) []string) {
	t.Helper()
	for round := range uint64(8) {
		random := rand.New(rand.NewPCG(round, 2))
		texts := parts(random)
		b.clear()
		b.handle(texts...)
		want := b.end()

		b.clear()
		stages := []*Stage{b.stage(), b.stage(), b.stage()}
		var workers sync.WaitGroup
		for _, stage := range stages {
			var batches []pipeline.Batch
			for _, texts := range shuffled(random, append(texts, texts...)) {
				batches = append(batches, b.batch(texts...))
			}
			workers.Go(func() {
				for _, in := range batches {
					b.retry(stage, in)
				}
			})
		}
		workers.Wait()
		if got := b.end(); got != want {
			t.Fatalf("round %d: the parts\n%s\nend as\n%s\nhandled by one as\n%s", round, strings.Join(texts, "\n"), got, want)
		}
		if n := b.text(`SELECT count(*)::text FROM ledger`); n != fmt.Sprint(len(texts)) {
			t.Fatalf("round %d: %s ledger rows of %d parts", round, n, len(texts))
		}
	}
}

func (b *bench) clear() {
	b.exec(`TRUNCATE objects, stats, told, ledger, events, tags RESTART IDENTITY`)
}

func TestMonthsAreMadeSideBySide(t *testing.T) {
	b := newBench(t, total)
	var workers sync.WaitGroup
	for i := range 4 {
		workers.Go(func() {
			stage := b.stage()
			for m := 1; m <= 6; m++ {
				b.retry(stage, b.batch(fmt.Sprintf("12:%02d; a%d day=2025-%02d-03 clicks=1", m, i, m)))
			}
		})
	}
	workers.Wait()
	if n := b.text(`SELECT count(*)::text FROM stats`); n != "24" {
		t.Errorf("%s stats, want 24", n)
	}
	if n := b.text(`SELECT count(*)::text FROM pg_inherits WHERE inhparent = 'stats'::regclass`); n != "7" { // the coming one too
		t.Errorf("%s months, want 7", n)
	}
}

func TestStatementsDoNotGrowWithTheBatch(t *testing.T) {
	b := newBench(t, total)
	stage := b.stage()
	count := func(minute int, parts int) int64 {
		var texts []string
		for i := range parts {
			text := fmt.Sprintf("12:%02d +%d", minute, i)
			for key := range 5 {
				text += fmt.Sprintf("; !a%d%d name=n%d; a%d%d clicks=%d; a%d%d day=2026-11-13 clicks=%d", i, key, minute, i, key, minute, i, key, minute)
			}
			texts = append(texts, text)
		}
		in := b.batch(texts...)
		before := b.statements.Load()
		if _, err := stage.Handle(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		return b.statements.Load() - before
	}
	count(1, 8)
	if one, eight := count(2, 1), count(3, 8); one != eight || one > 14 {
		t.Errorf("%d statements for one part, %d for eight", one, eight)
	}
}

func TestAPartOfAJobThatIsGoneIsRefused(t *testing.T) {
	b := newBench(t, total)
	b.job = uuid.NewString()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := b.stage().Handle(ctx, b.batch("12:00; a1 clicks=1")); !pipeline.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if got := b.end(); strings.TrimSpace(got) != "" {
		t.Errorf("it left rows:\n%s", got)
	}
}

func TestPartsOfOneMomentEndTheSameInAnyOrder(t *testing.T) {
	b := newBench(t, total)
	var ends []string
	for _, parts := range [][]string{
		{"12:00 acme; a1 day=2026-11-13 clicks=8", "12:00; a1 day=2026-11-13 clicks=10"},
		{"12:00; a1 day=2026-11-13 clicks=10", "12:00 acme; a1 day=2026-11-13 clicks=8"},
	} {
		b.clear()
		b.handle("10:00; a1 day=2026-11-13 clicks=8")
		for _, part := range parts {
			b.handle(part)
		}
		ends = append(ends, b.end())
	}
	if ends[0] != ends[1] {
		t.Errorf("one way: %s; the other way: %s", ends[0], ends[1])
	}
}

// A parent that was made ahead of a transaction that never came is reported by
// the next part that describes it.
func TestAParentMadeAheadIsReportedByWhoeverDescribesIt(t *testing.T) {
	b := newBench(t, total)
	in := b.batch("12:00; !c1 name=Spring; !a1 name=Apple in=c1")
	parts, err := b.stage().decode(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := makeParents(t.Context(), b.db, parts); err != nil { // and the worker dies
		t.Fatal(err)
	}
	if got := b.text(`SELECT key || announced FROM objects`); got != "c1false" {
		t.Fatalf("made ahead: %s", got)
	}
	changes := func(text string) string {
		out := b.handle(text)
		if len(out) == 0 {
			return ""
		}
		c, err := pipeline.Decode[event.Changes](out[0])
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, o := range c.Objects {
			ids = append(ids, fmt.Sprint(o.ID, o.Self, o.New))
		}
		return strings.Join(ids, ", ")
	}
	campaign := b.text(`SELECT id::text FROM objects`)
	if got := changes("12:01; !a2 name=Pear in=c1"); strings.Contains(got, campaign+" ") {
		t.Errorf("one that only names it reports %s", got)
	}
	if got := changes("12:02; !c1 name=Spring; !a3 name=Fig in=c1"); !strings.Contains(got, campaign+" true true") {
		t.Errorf("one that describes it reports %q", got)
	}
	if got := changes("12:01; !c1 name=Autumn"); got != "" || !strings.Contains(b.end(), "c1 Spring") {
		t.Errorf("one that is older than who reported it changes %q:\n%s", got, b.end())
	}
	if got := changes("12:03; !c1 name=Spring"); got != "" {
		t.Errorf("the next reports %s", got)
	}
}
