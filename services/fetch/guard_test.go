package fetch

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
)

func TestAnAddressThatIsNotAllowedIsADeadLetter(t *testing.T) {
	b := newBench(t)
	guard, err := outbound.New(outbound.Config{Setting: "fetch", MaxBytes: 1 << 20, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	b.Guard = guard
	_, err = b.do(b.slice(`{"source":"ads"}`))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "127.0.0.1:") || !strings.Contains(err.Error(), "fetch.allow_networks allows []") || b.asked() > 0 {
		t.Errorf("%v; the source was asked %d times", err, b.asked())
	}
}

func TestAnAnswerThatIsTooLargeIsADeadLetter(t *testing.T) {
	b := newBench(t)
	b.says(strings.Repeat(" ", 1<<20+1))
	_, err := b.do(b.slice(`{"source":"ads"}`))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "1 MiB that fetch.max_size_mib allows") {
		t.Errorf("err = %v", err)
	}
	if n := b.text(`SELECT count(*)::text FROM answers`); n != "0" {
		t.Errorf("%s answers were kept", n)
	}
}

// A link that is made after the links of a path were resolved leads nowhere.
func TestALinkThatIsMadeMeanwhileLeadsNowhere(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "in"), filepath.Join(dir, "secret.json")
	if err := os.Mkdir(inside, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"absolute": outside, "relative": "../secret.json", "folder": ".."} {
		if err := os.Symlink(to, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute", "relative", "folder/secret.json"} {
		if file, err := openIn(inside, name); err == nil {
			file.Close()
			t.Errorf("%s was opened", name)
		}
	}
}

func TestAPipeIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Stage{Files: []string{dir}}
	_, err := openAt(t, s, "file://"+dir+"/pipe.json", parse(t, head+tail))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("err = %v", err)
	}
}

// A source over HTTPS may have an authority of its own, and want a certificate.
func TestCertificatesOfASource(t *testing.T) {
	mine, other := pipetest.NewAuthority(t), pipetest.NewAuthority(t)
	source := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") }))
	source.Config.ErrorLog = log.New(io.Discard, "", 0)
	source.TLS = mine.Server("127.0.0.1")
	source.StartTLS()
	defer source.Close()
	tls := func(ca string, pair ...string) string {
		if len(pair) == 0 {
			return fmt.Sprintf("{ca_file: %q}", ca)
		}
		return fmt.Sprintf("{ca_file: %q, cert_file: %q, key_file: %q}", ca, pair[0], pair[1])
	}
	cert, key := mine.Issue("client")
	strange, strangeKey := other.Issue("client")
	for _, c := range []struct{ name, url, tls, says string }{
		{name: "all right", url: source.URL, tls: tls(mine.CA, cert, key)},
		{name: "the system's authorities", url: source.URL, tls: "{}", says: "http.tls.ca_file"},
		{name: "another authority", url: source.URL, tls: tls(other.CA, cert, key), says: "http.tls.ca_file"},
		{name: "another name", url: strings.Replace(source.URL, "127.0.0.1", "localhost", 1), tls: tls(mine.CA, cert, key), says: "another host than http.base_url"},
		{name: "no certificate", url: source.URL, tls: tls(mine.CA), says: "http.tls.cert_file"},
		{name: "a certificate of another authority", url: source.URL, tls: tls(mine.CA, strange, strangeKey), says: "http.tls.cert_file"},
		{name: "a file that is missing", url: source.URL, tls: tls("/nowhere/ca.pem"), says: "http.tls.ca_file: open /nowhere/ca.pem"},
		{name: "a file that holds none", url: source.URL, tls: tls(key), says: "holds no certificate"},
		{name: "half a pair", url: source.URL, tls: fmt.Sprintf("{cert_file: %q}", cert), says: "needs both"},
		{name: "no TLS there", url: "https" + strings.TrimPrefix(newBench(t).url, "http"), tls: "{}", says: "does not speak it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := openAt(t, &Stage{Guard: loopback(t)}, c.url, parse(t, head+"http: {tls: "+c.tls+"}\n"+tail))
			if err == nil {
				_, err = io.ReadAll(body)
				body.Close()
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

// A small answer that stands for a large one is given up before it fills the disk.
func TestABombIsNotUnpacked(t *testing.T) {
	var gzipped, zstded bytes.Buffer
	z, err := zstd.NewWriter(&zstded)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.MaxSize = 1 << 20
	for bomb, w := range map[*bytes.Buffer]io.WriteCloser{&gzipped: gzip.NewWriter(&gzipped), &zstded: z} {
		for range 100 {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		b.says(bomb.String())
		_, err := b.do(b.slice(backfill))
		if err == nil || !strings.Contains(err.Error(), "byte 1048576: found more than that when decompressed; expected no more: fetch.max_size_mib") {
			t.Errorf("%d bytes: %v", bomb.Len(), err)
		}
	}
}
