package fetch

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/services/catalog"
)

const report = "report: {path: '/r?from={from}&to={to}', lookback: 2d}"

// breaks makes the source file one that cannot be read.
func (b *bench) breaks() {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.Folder, "ads.yaml"), []byte("source: ads\nrecrods: []\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// version runs a job up to its slices, and returns the version they are of and
// the job's note.
func (b *bench) version(on *Stage) (hash, note string) {
	b.t.Helper()
	do := func(e pipeline.Envelope) pipeline.Envelope {
		out, err := on.Handle(b.t.Context(), pipeline.Batch{{Envelope: e}})
		if err != nil || len(out) != 1 {
			b.t.Fatalf("it became %+v, %v", out, err)
		}
		return out[0]
	}
	out := do(do(job(`{"source":"ads"}`)))
	slice, err := pipeline.Decode[event.Slice](out)
	if err != nil {
		b.t.Fatal(err)
	}
	return slice.Version, b.text(`SELECT coalesce(note, '') FROM jobs WHERE id = $1`, out.Job)
}

func TestWhileAFileIsBrokenJobsRunUnderTheVersionThatWasUsedLast(t *testing.T) {
	b := newBench(t)
	first, _ := b.version(b.Stage)
	b.source("", report, "timezone: Europe/Berlin\n")
	second, note := b.version(b.Stage)
	if first == second || note != "" {
		t.Fatalf("versions %s and %s, note %q", first, second, note)
	}
	b.source("", report)
	if again, _ := b.version(b.Stage); again != first {
		t.Fatalf("the file as it was is %s, not %s", again, first)
	}
	b.breaks()
	for name, on := range map[string]*Stage{"here": b.Stage, "another": b.another()} {
		kept, note := b.version(on)
		if kept != first || !strings.Contains(note, "ads.yaml:2:1: recrods: ") || !strings.Contains(note, first[:8]) {
			t.Errorf("%s: under %s, note %q; want %s, which was used after %s", name, kept, note, first, second)
		}
	}
	b.source("", report, "timezone: Europe/Berlin\n")
	if mended, note := b.version(b.Stage); mended != second || note != "" {
		t.Errorf("mended: under %s, note %q", mended, note)
	}
}

// What one host took up, another whose file is broken goes on with.
func TestTheLastVersionIsThatOfAnyHost(t *testing.T) {
	b := newBench(t)
	b.version(b.Stage)
	other := b.another()
	other.Folder, b.Folder = b.Folder, filepath.Join(t.TempDir(), "other")
	if err := os.MkdirAll(b.Folder, 0o750); err != nil {
		t.Fatal(err)
	}
	b.source("", report, "timezone: Europe/Berlin\n")
	newer, _ := b.version(b.Stage)
	here := b.Folder
	b.Folder = other.Folder
	b.breaks()
	b.Folder = here
	if kept, _ := b.version(other); kept != newer {
		t.Errorf("the host whose file is broken works under %s, not %s", kept, newer)
	}
}

func TestABrokenFileThatNeverWasSoundIsADeadLetter(t *testing.T) {
	b := newBench(t)
	b.breaks()
	named := b.must(job(`{"source":"ads"}`))
	if _, err := b.do(named[0]); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "ads.yaml:2:1: recrods") {
		t.Errorf("got %v", err)
	}
	if _, err := b.do(job(`{"source":"gigs","id":"1"}`)); !pipeline.IsPermanent(err) || strings.Contains(err.Error(), "recrods") {
		t.Errorf("a source without a file: %v", err)
	}
}

func TestABrokenFileIsSaidOnce(t *testing.T) {
	b := newBench(t)
	core, logs := observer.New(zap.InfoLevel)
	var told map[string]string
	b.Log, b.Host, b.Broken = zap.New(core), "here", func(broken map[string]string) { told = broken }
	look := func() {
		t.Helper()
		if err := b.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look()
	b.exec(`INSERT INTO source_problems (source, host, problem) VALUES ('ads', 'there', 'another host')`)
	b.breaks()
	for range 3 {
		look()
	}
	if logs.FilterLevelExact(zap.ErrorLevel).Len() != 1 || !strings.Contains(told["ads"], "ads.yaml:2:1: recrods") {
		t.Errorf("%d errors logged, told %q", logs.Len(), told)
	}
	if got := b.text(`SELECT source || ' ' || split_part(problem, ':', 1) FROM source_problems WHERE host = 'here'`); got != "ads ads.yaml" {
		t.Errorf("PostgreSQL has %q", got)
	}
	b.source("", report)
	look()
	if got := b.text(`SELECT host FROM source_problems`); len(told) > 0 || logs.Len() != 2 || got != "there" {
		t.Errorf("mended: told %q, %d lines, PostgreSQL has that of %q", told, logs.Len(), got)
	}
}

// What PostgreSQL could not be told is told when it is back.
func TestABrokenFileIsToldToPostgresLater(t *testing.T) {
	b := newBench(t)
	b.breaks()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Look(ctx); err == nil {
		t.Fatal("it was told without PostgreSQL")
	}
	if err := b.Look(t.Context()); err != nil || b.text(`SELECT source FROM source_problems`) != "ads" {
		t.Errorf("later: %v, %s", err, b.text(`SELECT source FROM source_problems`))
	}
}

func TestTheLastVersionOfASourceThatNobodyUsed(t *testing.T) {
	b := newBench(t)
	if src, err := catalog.New(b.DB).Taken(t.Context(), "ads"); src != nil || err != nil {
		t.Errorf("%+v, %v", src, err)
	}
}
