package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// cutting is what came of an answer.
type cutting struct {
	parts   []event.Part
	rejects []Reject
	err     error
}

// sourceOf returns a source of the lines of a file, which follow its name.
func sourceOf(t testing.TB, lines string) *Source {
	t.Helper()
	s, err := Parse([]byte("source: test\n"+lines), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cutBytes(t testing.TB, s *Source, format string, body []byte) cutting {
	t.Helper()
	return cutAnswer(t, s, Answer{Format: format, File: bytes.NewReader(body), Size: int64(len(body))})
}

func cutAnswer(t testing.TB, s *Source, a Answer) (c cutting) {
	t.Helper()
	a.ObservedAt, a.Hash = noon, "hash"
	seen := map[string]bool{}
	c.err = s.Cut(t.Context(), a, func(p event.Part, rejects []Reject) error {
		checkPart(t, p, len(c.parts), rejects)
		for _, r := range rejects {
			if seen[r.Position] {
				t.Errorf("two rejects at %s", r.Position)
			}
			seen[r.Position] = true
		}
		c.parts = append(c.parts, p)
		c.rejects = append(c.rejects, rejects...)
		return nil
	})
	return c
}

// checkPart checks what is true of every part.
func checkPart(t testing.TB, p event.Part, ordinal int, rejects []Reject) {
	t.Helper()
	if p.Ordinal != ordinal || !p.AnswerAt().Equal(noon) || p.Rejected != len(rejects) {
		t.Errorf("part %d: ordinal %d, answer at %v, rejected %d", ordinal, p.Ordinal, p.AnswerAt(), p.Rejected)
	}
	seen, count := map[string]bool{}, len(p.Stats)
	for i, o := range p.Objects {
		if id := o.Type + "\x00" + o.Key; seen[id] {
			t.Errorf("part %d: %s %s is there twice", ordinal, o.Type, o.Key)
		} else {
			seen[id] = true
		}
		if o.Parent > i {
			t.Errorf("part %d: the parent of %s %s follows it", ordinal, o.Type, o.Key)
		}
		if o.Described {
			count++
		}
	}
	for _, s := range p.Stats {
		if s.Object < 0 || s.Object >= len(p.Objects) {
			t.Errorf("part %d: a stat of object %d", ordinal, s.Object)
		}
	}
	if count > maxRecords {
		t.Errorf("part %d: %d records", ordinal, count)
	}
	for _, r := range rejects {
		if r.Reason == "" || r.Position == "" || len(r.Record) > maxRejectText || strings.ContainsRune(r.Record, 0) || strings.ToValidUTF8(r.Record, "") != r.Record {
			t.Errorf("part %d: reject %q", ordinal, r)
		}
	}
}

// String writes records a line each: objects as TYPE KEY, with what is below
// it indented, for tables to compare.
func (c cutting) String() string {
	var b strings.Builder
	for _, p := range c.parts {
		for _, o := range p.Objects {
			fmt.Fprintf(&b, "%s %s", o.Type, o.Key)
			if o.Parent > 0 {
				fmt.Fprintf(&b, " < %s", p.Objects[o.Parent-1].Key)
			}
			if o.Described {
				fmt.Fprintf(&b, " %q", o.Name)
			}
			fmt.Fprintf(&b, "%s\n", o.Attrs)
		}
		for _, s := range p.Stats {
			m, _ := s.Metrics.MarshalJSON()
			fmt.Fprintf(&b, "%s %s", p.Objects[s.Object].Key, s.Day)
			if s.Hour != nil {
				fmt.Fprintf(&b, " %dh", *s.Hour)
			}
			for _, text := range []string{s.Rule, s.Dims, s.ID} {
				if text != "" {
					b.WriteString(" " + text)
				}
			}
			fmt.Fprintf(&b, " %s\n", m)
		}
	}
	for _, r := range c.rejects {
		fmt.Fprintf(&b, "! %s: %s\n", r.Position, r.Reason)
	}
	if c.err != nil {
		fmt.Fprintf(&b, "error: %v\n", c.err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

const covidRules = `
records:
  - object: {type: province, key: "{Country/Region}/{Province/State}", parent: {type: country, key: "{Country/Region}"}}
    stat: {day: Date, metrics: [Confirmed, Recovered, Deaths]}
`

func covid(t testing.TB, day string) cutting {
	t.Helper()
	name := filepath.Join("..", "..", "..", "shared", "data", "covid", "combined-"+day+".csv.gz")
	body, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the covid data is not beside the project")
	}
	if err != nil {
		t.Fatal(err)
	}
	return cutBytes(t, sourceOf(t, covidRules), formatCSV, body)
}

func TestCovid(t *testing.T) {
	if c := covid(t, "2020-09-03"); c.err != nil || len(c.rejects) != 36974 {
		t.Errorf("%d rejects, error %v; 36974 of its days have no such month", len(c.rejects), c.err)
	}
	c := covid(t, "2020-09-07")
	if c.err != nil || len(c.rejects) > 0 {
		t.Fatalf("%d rejects, error %v", len(c.rejects), c.err)
	}
	var confirmed metric.Sum
	objects := map[string]map[string]bool{"province": {}, "country": {}}
	for _, p := range c.parts {
		for _, o := range p.Objects {
			objects[o.Type][o.Key] = true
			if !o.Described {
				t.Fatalf("%s %s is not described", o.Type, o.Key)
			}
		}
		for _, s := range p.Stats {
			confirmed.Add(s.Metrics.Get("Confirmed"))
		}
	}
	if p, n := len(objects["province"]), len(objects["country"]); p != 266 || n != 188 {
		t.Errorf("%d provinces and %d countries", p, n)
	}
	if got := confirmed.Number(); got != int64(1727018195) {
		t.Errorf("%v confirmed", got)
	}
}

func compress(t testing.TB, format string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	switch format {
	case "gzip":
		w := gzip.NewWriter(&b)
		w.Write(body)
		w.Close()
	case "zstd":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(body)
		w.Close()
	default:
		return body
	}
	return b.Bytes()
}

func TestTheSameAnswerGivesTheSameParts(t *testing.T) {
	s := sourceOf(t, adsRules)
	body := adsAnswer(40, 5, 7)
	var first []byte
	for _, format := range []string{"plain", "gzip", "zstd", "gzip"} {
		folder, packed := t.TempDir(), compress(t, format, body)
		c := cutAnswer(t, s, Answer{File: bytes.NewReader(packed), Size: int64(len(packed)), Temp: folder})
		if left, err := os.ReadDir(folder); c.err != nil || err != nil || len(left) > 0 {
			t.Fatal(c.err, err, left)
		}
		got, err := json.Marshal(c.parts)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if !bytes.Equal(first, got) {
			t.Errorf("%s differs", format)
		}
	}
}

func TestContextIsWatched(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := adsAnswer(1, 1, 1)
	err := sourceOf(t, adsRules).Cut(ctx, Answer{File: bytes.NewReader(body), Size: int64(len(body))}, func(event.Part, []Reject) error {
		t.Error("a part after the context's end")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestErrorsOfEmitPassThrough(t *testing.T) {
	stop := errors.New("stop")
	body := adsAnswer(10, 10, 10)
	calls := 0
	err := sourceOf(t, adsRules).Cut(t.Context(), Answer{File: bytes.NewReader(body), Size: int64(len(body))}, func(event.Part, []Reject) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Error(err, calls)
	}
}
