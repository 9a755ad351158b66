package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Folder is a Place on the disk.
type Folder string

// Name is what an answer is called in every place.
func Name(hash string) string { return hash[:2] + "/" + hash }

func (f Folder) path(hash string) string { return filepath.Join(string(f), Name(hash)) }

// Ready implements Place.
func (f Folder) Ready(context.Context) error { return os.MkdirAll(string(f), 0o750) }

const incoming = "incoming-"

// Temp implements Place.
func (f Folder) Temp() (*os.File, error) {
	if err := os.MkdirAll(string(f), 0o750); err != nil {
		return nil, err
	}
	return os.CreateTemp(string(f), incoming)
}

// Put implements Place.
func (f Folder) Put(_ context.Context, hash string, whole *os.File) error {
	path := f.path(hash)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.Rename(whole.Name(), path)
}

// Get implements Place.
func (f Folder) Get(_ context.Context, hash string) (*os.File, error) { return os.Open(f.path(hash)) }

// Has implements Place.
func (f Folder) Has(_ context.Context, hash string) error {
	_, err := os.Stat(f.path(hash))
	return err
}

// Remove implements Place.
func (f Folder) Remove(_ context.Context, hash string) error {
	if err := os.Remove(f.path(hash)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// abandoned is longer than any answer takes to come in.
const abandoned = 24 * time.Hour

// Sweep implements Place.
func (f Folder) Sweep() error {
	files, err := filepath.Glob(filepath.Join(string(f), incoming+"*"))
	for _, file := range files {
		info, gone := os.Stat(file)
		if gone == nil && time.Since(info.ModTime()) > abandoned {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return err
}

// Close implements Place.
func (Folder) Close() error { return nil }
