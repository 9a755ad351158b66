package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/archive"
)

// verdict is what the worker will do about an error.
func verdict(err error) string {
	switch {
	case err == nil:
		return "none"
	case pipeline.IsPermanent(err):
		return "permanent"
	case pipeline.IsUnavailable(err):
		return "unavailable"
	}
	for e := err; e != nil; e = errors.Unwrap(e) { // pipeline keeps the word to itself
		if fmt.Sprintf("%T", e) == fmt.Sprintf("%T", pipeline.Later(io.EOF, 0)) {
			return "later"
		}
	}
	return "again"
}

// ask asks at an address, as nobody in particular.
func ask(t *testing.T, address string, timeout time.Duration) (io.ReadCloser, error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	response, err := get(t.Context(), question{client: http.DefaultClient, url: u, timeout: timeout})
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// openAt opens what is at an address, as a job's url has it.
func openAt(t *testing.T, s *Stage, address string, src *source.Source) (io.ReadCloser, error) {
	t.Helper()
	u, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	return s.open(t.Context(), task{src: src}, u, known{}, &Answer{})
}

func TestWhatASourceAnswersByItsStatus(t *testing.T) {
	for _, c := range []struct {
		status int
		want   string
	}{
		{200, "none"}, {404, "permanent"}, {401, "again"}, {400, "permanent"}, {304, "permanent"},
		{408, "later"}, {429, "later"}, {503, "later"}, {502, "later"}, {504, "later"}, {500, "again"}, {501, "again"},
	} {
		source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			if c.status != http.StatusNotModified {
				fmt.Fprint(w, "quota used up")
			}
		}))
		body, err := ask(t, source.URL, time.Minute)
		if err == nil {
			_ = body.Close()
		}
		source.Close()
		if got := verdict(err); got != c.want {
			t.Errorf("%d: %s (%v), want %s", c.status, got, err, c.want)
		}
		if err != nil && c.status != 304 && !strings.Contains(err.Error(), "quota used up") {
			t.Errorf("%d: %v does not say what the source said", c.status, err)
		}
	}
}

func TestASourceThatIsAwayIsAskedLater(t *testing.T) {
	source := httptest.NewServer(http.NotFoundHandler())
	source.Close()
	if _, err := ask(t, source.URL, time.Minute); verdict(err) != "later" {
		t.Errorf("got %v", err)
	}
}

func TestACutAnswerIsAnErrorToTryAgain(t *testing.T) {
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"ads":[`)
	}))
	defer source.Close()
	body, err := ask(t, source.URL, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	folder := t.TempDir()
	if in, err := archive.New(archive.Folder(folder)).Take(body); !errors.Is(err, io.ErrUnexpectedEOF) || in.Size != 8 || verdict(err) != "again" {
		t.Errorf("%d bytes, %v", in.Size, err)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) > 0 {
		t.Errorf("the archive holds %v, %v", left, err)
	}
}

func TestSilenceEndsARequest(t *testing.T) {
	for name, first := range map[string]string{"before the answer": "", "within it": `{"ads":[`} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if first != "" {
					fmt.Fprint(w, first)
					w.(http.Flusher).Flush()
				}
				select {
				case <-r.Context().Done():
				case <-over:
				}
			}))
			defer source.Close()
			defer close(over)
			body, err := ask(t, source.URL, 50*time.Millisecond)
			if first == "" {
				if verdict(err) != "later" || !strings.Contains(err.Error(), "silent for 50ms") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if verdict(err) != "again" || !strings.Contains(err.Error(), "silent for 50ms") || string(got) != first {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestASlowAnswerThatIsNotSilentComesThrough(t *testing.T) {
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 8 {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			<-time.After(50 * time.Millisecond)
		}
	}))
	defer source.Close()
	body, err := ask(t, source.URL, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || len(got) != 8 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, folder := range []string{inside, outside, filepath.Join(inside, "folder"), filepath.Join(dir, "inner")} {
		if err := os.Mkdir(folder, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "a.json"), []byte("[]"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"leads-out": filepath.Join(outside, "a.json"), "stays-in": filepath.Join(inside, "a.json"), "nowhere": filepath.Join(inside, "missing")} {
		if err := os.Symlink(to, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	src := parse(t, head+tail)
	for _, c := range []struct {
		name, url string
		folders   []string
		says      string
	}{
		{name: "a file in the folder", url: "file://" + inside + "/a.json"},
		{name: "on this host by name", url: "file://localhost" + inside + "/a.json"},
		{name: "further down", url: "file://" + inside + "/folder/a.json"},
		{name: "a link that stays in", url: "file://" + inside + "/stays-in"},
		{name: "the folder is allowed under a link", url: "file://" + inside + "/a.json", folders: []string{link}},
		{name: "a file outside", url: "file://" + outside + "/a.json", says: "is not below an allowed folder"},
		{name: "a folder whose name begins the same", url: "file://" + dir + "/inner/a.json", says: "is not below an allowed folder"},
		{name: "a link that leads out", url: "file://" + inside + "/leads-out", says: "is not below an allowed folder"},
		{name: "dots", url: "file://" + inside + "/../out/a.json", says: "is not below an allowed folder"},
		{name: "encoded dots", url: "file://" + inside + "/%2e%2e/out/a.json", says: "is not below an allowed folder"},
		{name: "one that is missing", url: "file://" + inside + "/b.json", says: "no such file"},
		{name: "a link to nowhere", url: "file://" + inside + "/nowhere", says: "no such file"},
		{name: "a missing one outside is not told from one that is there", url: "file://" + outside + "/b.json", says: "is not below an allowed folder"},
		{name: "a folder", url: "file://" + inside + "/folder", says: "is not a file"},
		{name: "another host", url: "file://example.com" + inside + "/a.json", says: `found host "example.com"`},
		{name: "no folder is allowed", url: "file://" + inside + "/a.json", folders: []string{}, says: "is not below an allowed folder"},
		{name: "another scheme", url: "ftp://example.com/a", says: "http://, https://, file://, archive:// are allowed"},
		{name: "no address", url: "://", says: "is not an address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.folders == nil {
				c.folders = []string{inside}
			}
			s := &Stage{Files: c.folders}
			file, err := openAt(t, s, c.url, src)
			if err == nil {
				defer file.Close()
			}
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (!pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v, want %s", err, c.says)
			}
		})
	}
}

func TestTheFormatIsWhatTheNameSaysElseTheSourceFile(t *testing.T) {
	src := parse(t, head+"http: {base_url: 'http://a.example'}\nfetch: {report: {path: '/r', format: ndjson}}\n"+
		"records: [{object: {type: ad, key: id}}]\n")
	for address, want := range map[string]string{
		"http://a.example/r": "ndjson", "http://a.example/a.json": "json", "http://a.example/a.JSON.gz?x=a.csv": "json",
		"http://a.example/a.csv.zst": "csv", "http://a.example/a.jsonl": "ndjson", "file:///a/b.tsv": "tsv", "http://a.example/a.exe": "ndjson",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := src.FormatOf(u.Path); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
