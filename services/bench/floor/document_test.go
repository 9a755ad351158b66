package floor

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/bench/expect"
	"github.com/leatflow/leat/services/demosource"
)

// reportOf is what the platform says of an account.
func reportOf(t testing.TB, account string) []byte {
	t.Helper()
	cfg := demosource.DefaultConfig()
	cfg.Size = 400_000
	cfg.Now = func() time.Time { return time.Date(2026, 7, 8, 12, 0, 0, 0, time.UTC) }
	w := httptest.NewRecorder()
	demosource.New(cfg).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ads/report?account="+account+"&from=2026-06-24&to=2026-07-07", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.Bytes()
}

const shipped = "../../../config/sources/"

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ads is the source that the benchmark uses.
func ads(t testing.TB) *source.Source {
	t.Helper()
	s, err := source.Parse(read(t, shipped+"ads.yaml"), map[string][]byte{"markets": read(t, shipped+"markets.csv")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func expected(t testing.TB, report []byte) expect.Report {
	t.Helper()
	markets, err := expect.ReadMarkets(bytes.NewReader(read(t, shipped+"markets.csv")))
	if err != nil {
		t.Fatal(err)
	}
	return expect.Report{
		Source: "ads", Markets: markets,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(report)), nil },
	}
}

// The quick way and the slow way know nothing of each other, and agree.
func TestDocumentsAreAsExpected(t *testing.T) {
	report := reportOf(t, "acme")
	want := expected(t, report)
	state, err := expect.New(want.Documents)
	if err != nil {
		t.Fatal(err)
	}
	if state.Len() < 80 {
		t.Fatalf("only %d documents", state.Len())
	}
	src := ads(t)
	found := func(emit func(expect.Line) error) error { return documents(report, src, emit) }
	if err := state.Compare(found, want.Documents); err != nil {
		t.Error(err)
	}
}

// documents emits what the floor makes of a report.
func documents(report []byte, src *source.Source, emit func(expect.Line) error) error {
	var p parser
	r := renderer{source: src.Name, rev: 5}
	return elements(bytes.NewReader(report), "campaigns", func(b []byte) error {
		objects, err := p.element(b)
		if err != nil {
			return err
		}
		p.addUp(objects)
		r.use(p.metrics)
		for _, o := range objects {
			tags, _ := src.Annotate(o.view(), nil)
			for _, h := range o.halves() {
				if err := document(&r, o, h, tags, emit); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func document(r *renderer, o *object, h half, tags map[string]any, emit func(expect.Line) error) error {
	doc, err := r.document(o, h, tags)
	if err != nil {
		return err
	}
	d, err := expect.Decode(doc)
	if err != nil {
		return err
	}
	return emit(expect.DocumentLine(d))
}

func TestBrokenReports(t *testing.T) {
	for _, text := range []string{`{"id":"c","name":5}`, `{"id":"c"`, `{"id":"c","adgroups":{}}`, `{"id":"c","budget":"1`, `[]`} {
		var p parser
		if _, err := p.element([]byte(text)); err == nil {
			t.Errorf("%s is taken for a campaign", text)
		}
	}
}

// What is not where it was, or not what it was, has changed.
func TestKnownRows(t *testing.T) {
	o := object{rows: []row{{digest: 1}, {digest: 2}}}
	k := known{rows: o.digests()}
	for _, row := range []struct {
		at     int
		digest uint64
		want   bool
	}{{0, 1, true}, {1, 2, true}, {0, 2, true}, {5, 1, true}, {0, 3, false}} {
		if got := k.has(row.at, row.digest); got != row.want {
			t.Errorf("has(%d, %d) = %v", row.at, row.digest, got)
		}
	}
}

func BenchmarkElement(b *testing.B) {
	report := reportOf(b, "acme")
	b.SetBytes(int64(len(report)))
	var p parser
	for b.Loop() {
		if err := elements(bytes.NewReader(report), "campaigns", func(e []byte) error {
			objects, err := p.element(e)
			p.addUp(objects)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}
