// Package archive keeps the raw answers of sources, each once under the hash of
// its bytes: in a folder, or in a bucket (package cloud).
//
// In: answers as they come. Out: files to cut.
package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/leatflow/leat/pkg/pipeline"
)

// An Archive keeps answers. When it cannot be reached, its errors are Unavailable:
// that says nothing about the answer.
type Archive struct {
	place    Place
	troubled atomic.Bool // the last call failed, or there was none yet
}

// A Place is where answers lie that are whole. What is not there is
// fs.ErrNotExist.
type Place interface {
	Ready(ctx context.Context) error
	Temp() (*os.File, error)                                    // for an answer that comes in
	Put(ctx context.Context, hash string, whole *os.File) error // again: nothing
	Get(ctx context.Context, hash string) (*os.File, error)
	Has(ctx context.Context, hash string) error
	Remove(ctx context.Context, hash string) error // again: nothing
	Sweep() error                                  // of what dead processes left
	Close() error
}

// New returns the archive at a place.
func New(p Place) *Archive {
	a := &Archive{place: p}
	a.troubled.Store(true)
	return a
}

// An Incoming is an answer that is read, and not yet in the archive.
type Incoming struct {
	File *os.File
	Hash string
	Size int64
}

// Take reads an answer to its end. Size says how far it came, also with an error.
func (a *Archive) Take(answer io.Reader) (in Incoming, err error) {
	file, err := a.place.Temp()
	if err != nil {
		return in, a.told(err)
	}
	sum := sha256.New()
	in.Size, err = io.Copy(io.MultiWriter(disk{file}, sum), answer)
	if err == nil {
		err = disk{file}.sync()
	}
	if err != nil {
		_ = file.Close()           // its own error is the one to tell
		_ = os.Remove(file.Name()) // it may have no name any more
		return in, err
	}
	in.File, in.Hash = file, hex.EncodeToString(sum.Sum(nil))
	return in, nil
}

// A disk is a file whose errors are those of the machine, and not of the answer.
type disk struct{ *os.File }

func (d disk) Write(p []byte) (int, error) {
	n, err := d.File.Write(p)
	return n, away(err)
}

func (d disk) sync() error { return away(d.Sync()) }

// Put puts an answer under its hash, where others see it from then on, whole.
func (a *Archive) Put(ctx context.Context, in Incoming) error {
	return a.told(a.place.Put(ctx, in.Hash, in.File))
}

// Get opens an answer.
func (a *Archive) Get(ctx context.Context, hash string) (*os.File, error) {
	file, err := a.place.Get(ctx, hash)
	return file, a.told(err)
}

// Has returns nil when an answer is there.
func (a *Archive) Has(ctx context.Context, hash string) error { return a.told(a.place.Has(ctx, hash)) }

// Remove removes an answer.
func (a *Archive) Remove(ctx context.Context, hash string) error {
	return a.told(a.place.Remove(ctx, hash))
}

// Sweep removes what dead processes left half done.
func (a *Archive) Sweep() error { return a.told(a.place.Sweep()) }

// Close ends the connections.
func (a *Archive) Close() error { return a.place.Close() }

// Ready returns nil when the archive can be worked with. It asks only after
// something went wrong, and the first time.
func (a *Archive) Ready(ctx context.Context) error {
	if !a.troubled.Load() {
		return nil
	}
	return a.told(a.place.Ready(ctx))
}

// told notes how a call went, and marks its error.
func (a *Archive) told(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.troubled.Store(err != nil)
	return away(err)
}

func away(err error) error {
	if err == nil {
		return nil
	}
	return pipeline.Unavailable(fmt.Errorf("archive: %w", err))
}
