package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/services/archive"
)

// A bad place is a folder that can be away.
type badPlace struct {
	archive.Folder
	err error
}

func (p *badPlace) Ready(context.Context) error { return p.err }

func (p *badPlace) Put(ctx context.Context, hash string, whole *os.File) error {
	if p.err != nil {
		return p.err
	}
	return p.Folder.Put(ctx, hash, whole)
}

// The source is not asked for what could not be kept, and no attempt is used up.
func TestWhileTheArchiveIsAwayNobodyIsAsked(t *testing.T) {
	b := newBench(t)
	place := &badPlace{Folder: archive.Folder(b.folder)}
	b.Archive = archive.New(place)
	slice := b.slice(`{"source":"ads"}`)
	place.err = errors.New("the bucket is away")
	if err := b.Archive.Ready(t.Context()); err == nil {
		t.Fatal("it is there")
	}
	for range 3 {
		if _, err := b.do(slice); verdict(err) != "unavailable" || !strings.Contains(err.Error(), "the bucket is away") {
			t.Fatalf("got %v", err)
		}
	}
	if b.asked() > 0 {
		t.Errorf("asked %d times", b.asked())
	}
	place.err = nil
	b.must(slice)
	again := b.slice(`{"source":"ads","mode":"backfill"}`)
	place.err = errors.New("it went away while the source was asked")
	for range 3 {
		if _, err := b.do(again); verdict(err) != "unavailable" {
			t.Fatalf("got %v", err)
		}
	}
	if b.asked() != 2 || b.text(`SELECT count(*)::text FROM answers`) != "1" {
		t.Errorf("asked %d times, %s answers", b.asked(), b.text(`SELECT count(*)::text FROM answers`))
	}
	place.err = nil
	b.must(again)
}

// kept is what the archive has: the folder's files, and the rows.
func (b *bench) kept() (files, rows string) {
	b.t.Helper()
	names, err := filepath.Glob(filepath.Join(b.folder, "*", "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return strconv.Itoa(len(names)), b.text(`SELECT count(*)::text FROM archive`)
}

func (b *bench) idle() {
	b.t.Helper()
	b.pruned.Store(0)
	for {
		pause, err := b.Idle(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if pause > 0 {
			return
		}
	}
}

// Each of these keeps an answer: its retention, a job that is not done, another
// source that wants it longer.
func TestAnAnswerIsKeptUntilNobodyNeedsIt(t *testing.T) {
	b := newBench(t)
	b.source("", "keep: 5d, report: {path: /r}")
	slice := b.slice(refresh)
	b.must(slice)
	if got := b.text(`SELECT (until - now() BETWEEN interval '4 days 23 hours' AND interval '5 days')::text FROM archive`); got != "true" {
		t.Error("it is not kept for 5 days")
	}
	want := func(what, count string) {
		t.Helper()
		b.idle()
		if files, rows := b.kept(); files != count || rows != count {
			t.Errorf("%s: %s files, %s rows, want %s", what, files, rows, count)
		}
	}
	past := func() { b.exec(`UPDATE archive SET until = now() - interval '1 second'`) }
	b.finish(slice.Job, "done")
	want("within its retention", "1")
	past()
	for _, state := range []string{"running", "incomplete", "failed"} {
		b.finish(slice.Job, state)
		want("of a job that is "+state, "1")
	}
	b.finish(slice.Job, "done")
	again := b.slice(backfill) // says the same, and wants it no longer
	b.must(again)
	b.finish(again.Job, "done")
	want("it was kept once more", "1")
	b.source("", "keep: forever, report: {path: /r}")
	third := b.slice(backfill)
	b.must(third)
	b.finish(third.Job, "done")
	if got := b.text(`SELECT until::text FROM archive`); got != "infinity" {
		t.Errorf("until %s", got)
	}
	b.source("", "keep: 1d, report: {path: /r}")
	fourth := b.slice(backfill)
	b.must(fourth)
	b.finish(fourth.Job, "done")
	if got := b.text(`SELECT until::text FROM archive`); got != "infinity" {
		t.Errorf("wanted for ever by one, and for a day by another: until %s", got)
	}
	want("of which each is kept", "1")
	past()
	want("needed by nobody", "0")
	b.must(b.slice(backfill))
	want("and kept again", "1")
}

func TestManyAnswersGoInPieces(t *testing.T) {
	b := newBench(t)
	b.exec(`INSERT INTO archive SELECT lpad(i::text, 64, '0'), 1, now() - interval '1 day' FROM generate_series(1, 45) AS i`)
	removed := 0
	b.Archive = archive.New(&removing{Folder: archive.Folder(b.folder), remove: func(string) error {
		removed++
		if removed == 30 {
			return errors.New("the process dies here")
		}
		return nil
	}})
	if more, err := b.prune(t.Context()); !more || err != nil {
		t.Errorf("more %t, %v", more, err)
	}
	if _, err := b.prune(t.Context()); verdict(err) != "unavailable" {
		t.Errorf("got %v", err)
	}
	if _, rows := b.kept(); rows != "25" {
		t.Errorf("%s rows, want the 25 of which nobody knows that they are gone", rows)
	}
	b.idle()
	if _, rows := b.kept(); rows != "0" {
		t.Errorf("%s rows", rows)
	}
}

type removing struct {
	archive.Folder
	remove func(hash string) error
}

func (p *removing) Remove(ctx context.Context, hash string) error {
	return errors.Join(p.remove(hash), p.Folder.Remove(ctx, hash))
}

// A job keeps the very answer that is being removed: it waits, and puts it there again.
func TestAnAnswerThatIsKeptWhileItIsRemovedIsThere(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: /r}")
	first := b.slice(refresh)
	b.must(first)
	b.finish(first.Job, "done")
	b.exec(`UPDATE archive SET until = now() - interval '1 second'`)
	second := b.slice(backfill)
	done := make(chan error)
	b.Archive = archive.New(&removing{Folder: archive.Folder(b.folder), remove: func(string) error {
		go func() { _, err := b.do(second); done <- err }()
		for late := time.Now().Add(20 * time.Second); time.Now().Before(late) && b.text(`SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO archive AS%' AND datname = current_database()`) != "1"; {
			time.Sleep(time.Millisecond)
		}
		return nil
	}})
	if _, err := b.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if files, rows := b.kept(); files != "1" || rows != "1" {
		t.Errorf("%s files, %s rows", files, rows)
	}
}

func (b *bench) replay(url, more string) (pipeline.Envelope, error) {
	e := job(fmt.Sprintf(`{"source":"ads","url":%q%s}`, url, more))
	e = b.must(e)[0]
	out, err := b.do(e)
	if err != nil {
		return e, err
	}
	return out[0], nil
}

// A replay is the answer, the account, the format and the moment of then, under
// the source file of now; it asks nobody.
func TestAPastAnswerIsCutAgain(t *testing.T) {
	b := newBench(t)
	const accounts = "accounts: {acme: {timezone: Asia/Tokyo}, globex: }\n"
	b.source("", "report: {path: '/r.ndjson?a={account}', format: json}", accounts)
	b.says(says(3) + "\n" + says(4)) // which is no JSON
	slice := b.slice(`{"source":"ads","account":"acme"}`)
	b.must(slice)
	b.sink.take()
	b.finish(slice.Job, "done")
	hash := b.text(`SELECT hash FROM answers`)
	b.says(says(99))
	seen := b.text(`SELECT (observed_at + interval '1 ms')::text FROM answers`)
	for i, url := range []string{"archive://" + hash, Replay(slice.Job, 0), Replay(slice.Job, 0)} {
		again, err := b.replay(url, "")
		if err != nil {
			t.Fatal(err)
		}
		b.must(again)
		part := b.sink.take()
		if !strings.Contains(part, `"account":"acme"`) || !strings.Contains(part, `"a1"`) || strings.Contains(part, ",99]") || b.asked() != 1 {
			t.Errorf("%s: asked %d times, %s", url, b.asked(), part)
		}
		at := b.text(`SELECT observed_at::text FROM answers ORDER BY asked_at DESC LIMIT 1`)
		if i == 0 && at != seen || i > 0 && at <= seen {
			t.Errorf("%s: as of %s; the last time it was %s", url, at, seen)
		}
		seen = at
	}
	again, err := b.replay("archive://"+hash, `,"as_of":"2026-11-14T00:00:00Z"`)
	if err != nil {
		t.Fatal(err)
	}
	b.must(again)
	if got := b.text(`SELECT (observed_at = '2026-11-14T00:00:00Z')::text FROM answers ORDER BY asked_at DESC LIMIT 1`); got != "true" {
		t.Error("the job's own word does not count")
	}
	if got := b.text(`SELECT url FROM archive_index`); !strings.HasPrefix(got, b.url) {
		t.Errorf("the index says %s", got)
	}
	if files, _ := b.kept(); files != "1" {
		t.Errorf("%s files", files)
	}
}

func TestAPastAnswerThatIsNotThereIsAMistake(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: '/r?a={account}'}", "accounts: [acme, globex]\n")
	for _, account := range []string{"acme", "globex"} {
		slice := b.slice(fmt.Sprintf(`{"source":"ads","account":%q}`, account))
		b.must(slice)
		b.finish(slice.Job, "done")
	}
	hash, made := b.text(`SELECT hash FROM archive`), b.text(`SELECT id::text FROM jobs LIMIT 1`)
	for url, c := range map[string]struct{ more, says string }{
		"archive://" + hash:                    {``, `account: missing; archive://` + hash + ` is an answer for "acme", for "globex"`},
		"archive://" + strings.Repeat("0", 64): {``, `the archive has no answer 000`},
		Replay(made, 7):                        {``, `the archive has no answer ` + made + `/7 of source ads: it never had, or fetch.keep`},
		Replay(made, 0):                        {`,"account":"nobody"`, `account: found "nobody"; archive://`},
	} {
		if _, err := b.replay(url, c.more); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", url, err, c.says)
		}
	}
	late, err := b.replay("archive://"+hash, `,"account":"acme"`)
	if err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE archive SET until = now() - interval '1 second'`)
	b.idle()
	if _, err := b.do(late); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "the archive has no answer "+hash) {
		t.Errorf("removed meanwhile: %v", err)
	}
	for _, url := range []string{"archive://", "archive://abc", "archive://" + strings.ToUpper(hash), "archive://" + made, "archive://" + made + "/x"} {
		if _, err := ParseJob(fmt.Appendf(nil, `{"source":"ads","url":%q}`, url)); err == nil || !strings.Contains(err.Error(), "archive://HASH, of 64 hex digits, or archive://JOB/N") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAListOfChangesIsNotCutAgain(t *testing.T) {
	b := newBench(t)
	b.source("", "changes: {path: '/c?since={cursor}', cursor: next}, report: {path: /r}")
	b.says(`{"next":"1"}`)
	slice := b.slice(refresh)
	b.must(slice)
	if _, err := b.replay(Replay(slice.Job, 0), ""); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "is a list of what changed, and holds no records") {
		t.Errorf("got %v", err)
	}
}
