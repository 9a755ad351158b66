package fetch

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

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
