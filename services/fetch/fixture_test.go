package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/archive"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/schema"
)

// A bench is a database, a source over HTTP, and a stage that asks it.
type bench struct {
	*Stage
	t        testing.TB
	mu       sync.Mutex
	url      string // of the source
	answer   func(w http.ResponseWriter, r *http.Request)
	requests []string
	sink     *sink
	folder   string // of the archive
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, sink: &sink{}}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: pipetest.Postgres(t), MaxConns: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db, schema.FS); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b.folder = filepath.Join(dir, "archive")
	b.Stage = &Stage{
		DB: db, Sources: catalog.New(db), Archive: archive.New(archive.Folder(b.folder)), Sink: b.sink,
		Folder: filepath.Join(dir, "sources"), Guard: loopback(t), Self: "leat.fetch", Next: "leat.delta", Log: zap.NewNop(),
	}
	if err := os.MkdirAll(b.Folder, 0o750); err != nil {
		t.Fatal(err)
	}
	b.serve(b)
	b.source("", "report: {path: '/r?from={from}&to={to}', lookback: 2d}")
	b.says(`{"ads":[{"id":"a1","date":"2026-11-13","clicks":3},{"id":"a2","date":"2026-11-13","clicks":4}]}`)
	return b
}

// loopback allows the sources of tests.
func loopback(t testing.TB) *outbound.Guard {
	t.Helper()
	g, err := outbound.New(outbound.Config{Setting: "fetch", Networks: []string{"127.0.0.1"}, MaxBytes: 1 << 20, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// serve has h be the source.
func (b *bench) serve(h http.Handler) {
	source := httptest.NewServer(h)
	b.t.Cleanup(source.Close)
	b.url = source.URL
}

// source writes the source file: what is in http besides base_url, and in fetch.
func (b *bench) source(settings, fetch string, more ...string) {
	b.t.Helper()
	text := fmt.Sprintf("%shttp: {base_url: %q, %s}\nfetch: {%s}\n%s%s", head, b.url, settings, fetch, strings.Join(more, ""), tail)
	if err := os.WriteFile(filepath.Join(b.Folder, "ads.yaml"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// another returns the stage of another process on the same servers.
func (b *bench) another() *Stage {
	return &Stage{
		DB: b.DB, Sources: catalog.New(b.DB), Archive: b.Archive, Sink: b.sink,
		Folder: b.Folder, Guard: b.Guard, Self: b.Self, Next: b.Next, Log: zap.NewNop(),
	}
}

// ServeHTTP is the source.
func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, r.URL.String())
	b.answer(w, r)
}

// says sets what the source answers from now on.
func (b *bench) says(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func (b *bench) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.requests)
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.DB.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) text(sql string, args ...any) string {
	b.t.Helper()
	rows, err := b.DB.Query(b.t.Context(), sql, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(list, "\n")
}

// do handles one message.
func (b *bench) do(e pipeline.Envelope) ([]pipeline.Envelope, error) {
	return b.Handle(b.t.Context(), pipeline.Batch{{Envelope: e}})
}

// must handles one message that cannot fail.
func (b *bench) must(e pipeline.Envelope) []pipeline.Envelope {
	b.t.Helper()
	out, err := b.do(e)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func job(body string) pipeline.Envelope {
	return pipeline.Envelope{Kind: event.KindJob, Queue: "leat.fetch", Body: []byte(body)}
}

// slice submits a job and returns its only slice.
func (b *bench) slice(body string) pipeline.Envelope {
	b.t.Helper()
	named := b.must(job(body))
	if len(named) != 1 {
		b.t.Fatalf("a job without an id became %+v", named)
	}
	slices := b.must(named[0])
	if len(slices) != 1 || slices[0].Kind != event.KindSlice {
		b.t.Fatalf("the job became %+v", slices)
	}
	return slices[0]
}

// finish ends a job as rollup does.
func (b *bench) finish(id, state string) {
	b.t.Helper()
	b.exec(`UPDATE jobs SET state = $2 WHERE id = $1`, uuid.MustParse(id), state)
}

// A sink keeps the parts that are published.
type sink struct {
	mu        sync.Mutex
	check     func(e pipeline.Envelope) // asked before each
	fails     int                       // how often it refuses yet
	published []pipeline.Envelope
}

func (s *sink) Publish(_ context.Context, out []pipeline.Envelope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range out {
		if s.check != nil {
			s.check(e)
		}
	}
	s.published = append(s.published, out...)
	if s.fails > 0 {
		s.fails--
		return errors.New("the process dies here")
	}
	return nil
}

// all returns what was published since the last call.
func (s *sink) all() []pipeline.Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.published
	s.published = nil
	return all
}

// take returns what was published since the last call, an id and a body a line.
func (s *sink) take() string {
	var lines []string
	for _, e := range s.all() {
		lines = append(lines, e.ID+" "+string(e.Body))
	}
	return strings.Join(lines, "\n")
}
