//go:build !race

package cloud

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/services/archive"
)

// fakeS3 is a server that speaks S3's language, and counts what it is sent.
func fakeS3(t *testing.T) (address string, writes *atomic.Int32, server *httptest.Server) {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "leat", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_REGION": "eu-central-1", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	backend := s3mem.New()
	if err := backend.CreateBucket("answers"); err != nil {
		t.Fatal(err)
	}
	s3 := gofakes3.New(backend).Server()
	writes = new(atomic.Int32)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			writes.Add(1)
		}
		s3.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return "s3://answers?use_path_style=true&prefix=leat/&endpoint=" + server.URL, writes, server
}

// Each place does the same.
func TestPlaces(t *testing.T) {
	address, writes, _ := fakeS3(t)
	s3, err := archive.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]*archive.Archive{
		"folder": archive.New(archive.Folder(t.TempDir())), "memory": archive.New(bucket{memblob.OpenBucket(nil)}), "S3": s3,
	} {
		t.Run(name, func(t *testing.T) { place(t, a) })
	}
	if got := writes.Load(); got != 1 {
		t.Errorf("one answer was sent %d times", got)
	}
}

func place(t *testing.T, a *archive.Archive) {
	defer a.Close()
	ctx, answer := t.Context(), bytes.Repeat([]byte("leat "), 100_000)
	if err := a.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	hash := ""
	for range 2 {
		in, err := a.Take(bytes.NewReader(answer))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Has(ctx, in.Hash); hash == "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is seen before it is put: %v", err)
		}
		if err := a.Put(ctx, in); err != nil {
			t.Fatal(err)
		}
		hash = in.Hash
		in.File.Close()
	}
	if err := a.Has(ctx, hash); err != nil {
		t.Error(err)
	}
	file, err := a.Get(ctx, hash)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<30)); err != nil || !bytes.Equal(got, answer) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for range 2 {
		if err := a.Remove(ctx, hash); err != nil {
			t.Error(err)
		}
	}
	if _, err := a.Get(ctx, hash); !errors.Is(err, fs.ErrNotExist) || pipeline.IsUnavailable(err) {
		t.Errorf("what is not there: %v", err)
	}
	if err := a.Has(ctx, hash); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
}

// An answer larger than a piece of an upload.
func TestALargeAnswerComesBack(t *testing.T) {
	address, _, _ := fakeS3(t)
	a, err := archive.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	answer := bytes.Repeat([]byte("0123456789abcdef"), 20<<16)
	in, err := a.Take(bytes.NewReader(answer))
	if err == nil {
		err = a.Put(t.Context(), in)
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := a.Get(t.Context(), in.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<30)); err != nil || !bytes.Equal(got, answer) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestABucketThatIsAwayIsAnOutage(t *testing.T) {
	address, _, server := fakeS3(t)
	for name, address := range map[string]string{"no bucket": strings.Replace(address, "answers", "others", 1), "no server": address} {
		t.Run(name, func(t *testing.T) {
			a, err := archive.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			if name == "no server" {
				server.Close()
			}
			err = a.Ready(t.Context())
			if !pipeline.IsUnavailable(err) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("ready: %v", err)
			}
			in, err := a.Take(strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Put(t.Context(), in); !pipeline.IsUnavailable(err) {
				t.Errorf("put: %v", err)
			}
		})
	}
}

// The clouds' libraries know the addresses that Check allows.
func TestAddresses(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
	for _, address := range []string{"s3://answers?region=eu-central-1&prefix=leat/&ssetype=aws:kms&kmskeyid=1", "s3://answers?region=x&endpoint=http://127.0.0.1:1&use_path_style=true&disable_https=true", "gs://answers?prefix=leat/"} {
		if _, err := archive.Check(address); err != nil {
			t.Error(err)
		}
		b, err := blob.OpenBucket(t.Context(), address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		b.Close()
	}
}
