//go:build !race

package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/gcsblob" // gs://
	_ "gocloud.dev/blob/s3blob"  // s3://
	"gocloud.dev/gcerrors"

	"github.com/leatflow/leat/services/archive"
)

func init() { archive.Buckets = Open }

// Open opens a bucket.
func Open(ctx context.Context, url string) (archive.Place, error) {
	b, err := blob.OpenBucket(ctx, url)
	if err != nil {
		return nil, err
	}
	return bucket{b}, nil
}

// A bucket is a Place. An answer lies on this machine's disk while it is read and
// cut: a bucket has no name for what is not whole, and cutting reads out of order.
type bucket struct{ *blob.Bucket }

// Ready implements archive.Place.
func (b bucket) Ready(ctx context.Context) error {
	there, err := b.IsAccessible(ctx)
	if err == nil && !there {
		err = errors.New("there is no such bucket")
	}
	return err
}

// Temp implements archive.Place. The file has no name any more.
func (bucket) Temp() (*os.File, error) {
	file, err := os.CreateTemp("", "leat-answer-")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}

// Put implements archive.Place.
func (b bucket) Put(ctx context.Context, hash string, whole *os.File) error {
	if there, err := b.Exists(ctx, archive.Name(hash)); there || err != nil {
		return err
	}
	if _, err := whole.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return b.Upload(ctx, archive.Name(hash), whole, &blob.WriterOptions{ContentType: "application/octet-stream", MaxConcurrency: 1})
}

// Get implements archive.Place.
func (b bucket) Get(ctx context.Context, hash string) (*os.File, error) {
	file, err := b.Temp()
	if err != nil {
		return nil, err
	}
	if err := b.Download(ctx, archive.Name(hash), file, nil); err != nil {
		_ = file.Close() // its own error is the one to tell
		return nil, missing(hash, err)
	}
	return file, nil
}

// Has implements archive.Place.
func (b bucket) Has(ctx context.Context, hash string) error {
	there, err := b.Exists(ctx, archive.Name(hash))
	if err == nil && !there {
		err = fmt.Errorf("%s: %w", hash, fs.ErrNotExist)
	}
	return err
}

// Remove implements archive.Place.
func (b bucket) Remove(ctx context.Context, hash string) error {
	if err := b.Delete(ctx, archive.Name(hash)); gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	return nil
}

func missing(hash string, err error) error {
	if gcerrors.Code(err) == gcerrors.NotFound {
		return fmt.Errorf("%s: %w", hash, fs.ErrNotExist)
	}
	return err
}

// Sweep implements archive.Place: files without a name go with their process.
func (bucket) Sweep() error { return nil }
