package archive

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

// files are the names below a folder.
func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(folder, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func keep(t *testing.T, a *Archive, answer io.Reader) Incoming {
	t.Helper()
	in, err := a.Take(answer)
	if err == nil {
		err = a.Put(t.Context(), in)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.File.Close() })
	return in
}

func TestAFolderHoldsAnAnswerOnceUnderItsHash(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "archive")
	a, err := Open(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	answer := bytes.Repeat([]byte("leat "), 100_000)
	first := keep(t, a, bytes.NewReader(answer))
	again := keep(t, a, iotest.HalfReader(bytes.NewReader(answer)))
	if first.Hash != again.Hash || again.Size != int64(len(answer)) {
		t.Errorf("%+v, and again %+v", first, again)
	}
	if got := strings.Join(files(t, folder), " "); got != first.Hash[:2]+"/"+first.Hash {
		t.Errorf("the folder holds %s", got)
	}
	other, err := Open(t.Context(), "file://"+folder)
	if err != nil {
		t.Fatal(err)
	}
	file, err := other.Get(t.Context(), first.Hash)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, answer) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for range 2 {
		if err := a.Remove(t.Context(), first.Hash); err != nil {
			t.Error(err)
		}
	}
	if _, err := a.Get(t.Context(), first.Hash); !errors.Is(err, fs.ErrNotExist) || pipeline.IsUnavailable(err) {
		t.Errorf("an answer that is not there: %v", err)
	}
}

// What is not whole is nowhere.
func TestAnAnswerThatBreaksOffLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	a := New(Folder(folder))
	in, err := a.Take(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if !errors.Is(err, io.ErrUnexpectedEOF) || pipeline.IsUnavailable(err) || in.Size != 4 || len(files(t, folder)) > 0 {
		t.Errorf("%d bytes, %v; left %q", in.Size, err, files(t, folder))
	}
}

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	folder := t.TempDir()
	for name, age := range map[string]time.Duration{"incoming-old": 25 * time.Hour, "incoming-new": time.Hour, "ab": 48 * time.Hour} {
		at := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(filepath.Join(folder, name), nil, 0o600), os.Chtimes(filepath.Join(folder, name), at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := New(Folder(folder)).Sweep(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(files(t, folder), " "); got != "ab incoming-new" {
		t.Errorf("left: %s", got)
	}
}

// A disk that is full says nothing about the answer.
func TestAFolderThatCannotBeWrittenIsAnOutage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := New(Folder(filepath.Join(file, "archive")))
	if err := a.Ready(t.Context()); !pipeline.IsUnavailable(err) {
		t.Errorf("ready: %v", err)
	}
	if _, err := a.Take(strings.NewReader("x")); !pipeline.IsUnavailable(err) {
		t.Errorf("take: %v", err)
	}
}

func TestAnAddressThatIsWrongSaysWhatIsAllowed(t *testing.T) {
	for address, says := range map[string]string{
		"/var/lib/leat/archive": "", "archive": "", "file:///var/lib/leat": "",
		"s3://answers": "", "s3://answers?region=eu-central-1&prefix=leat/": "", "gs://answers": "",
		"":                         "missing",
		"ftp://host/x":             `found "ftp://host/x"; a folder, file:///path, s3://bucket or gs://bucket is allowed`,
		"mem://":                   "is allowed",
		"file://host/x":            "is allowed",
		"s3://":                    "the name of a bucket",
		"s3://answers/leat":        "?prefix=",
		"s3://answers?regin=eu":    `found the parameter "regin"; of s3:// there are region`,
		"gs://answers?region=eu":   `found the parameter "region"; of gs:// there are prefix`,
		"s3://key:s3cr3t@answers":  "the environment says who asks",
		"s3://answers%zz?secret=1": "is not an address",
	} {
		switch _, err := Check(address); {
		case says == "" && err != nil:
			t.Errorf("%s: %v", address, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cr3t")):
			t.Errorf("%s: %v, want %s", address, err, says)
		}
	}
	if _, err := Open(t.Context(), "s3://answers"); err == nil || !strings.Contains(err.Error(), "does not know buckets") {
		t.Errorf("a program without buckets: %v", err)
	}
}
