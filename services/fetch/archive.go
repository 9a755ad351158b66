package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// An Archive keeps raw answers in a folder, each once under its hash.
type Archive struct{ Folder string }

// Keep streams an answer into the archive. It is on disk when Keep returns.
func (a Archive) Keep(answer io.Reader) (hash string, size int64, err error) {
	if err := os.MkdirAll(a.Folder, 0o750); err != nil {
		return "", 0, err
	}
	temp, err := os.CreateTemp(a.Folder, "incoming-")
	if err != nil {
		return "", 0, err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // it is gone when it was renamed
	defer temp.Close()           //nolint:errcheck // Sync has said whether it is all there
	sum := sha256.New()
	if size, err = io.Copy(io.MultiWriter(temp, sum), answer); err != nil {
		return "", size, err
	}
	if err := temp.Sync(); err != nil {
		return "", size, err
	}
	hash = hex.EncodeToString(sum.Sum(nil))
	path := a.path(hash)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", size, err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return "", size, fmt.Errorf("keep answer: %w", err)
	}
	return hash, size, nil
}

// Open returns an answer; os.ErrNotExist when this host does not have it.
func (a Archive) Open(hash string) (*os.File, error) { return os.Open(a.path(hash)) }

// Has returns nil when this host has an answer, and os.ErrNotExist when it has not.
func (a Archive) Has(hash string) error {
	_, err := os.Stat(a.path(hash))
	return err
}

func (a Archive) path(hash string) string { return filepath.Join(a.Folder, hash[:2], hash) }
