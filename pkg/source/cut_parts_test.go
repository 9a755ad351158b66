package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/event"
)

// adsOf makes ads with so many stats each: on days of three stats, or on one day.
func adsOf(counts []int, perDay int) []byte {
	var b strings.Builder
	b.WriteString(`{"ads":[`)
	for i, n := range counts {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"a%d","stats":[`, i)
		for j := range n {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"date":"20%02d-01-%02d","os":"%d","n":1}`, 10+j/perDay/28%16, 1+j/perDay%28, j)
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func TestPartsAreCutBetweenObjects(t *testing.T) {
	for _, test := range []struct {
		name   string
		counts []int
		perDay int
		want   string // stats of each part
	}{
		{"what fits is one part", []int{499, 499}, 3, "998"},
		{"an object that does not fit begins the next", []int{499, 500, 2}, 3, "499 502"},
		{"one that is too large is cut between days", []int{5, 1500, 5}, 400, "5 800 705"},
		{"or within a day that is too large itself", []int{2500}, 5000, "999 1000 501"},
		{"objects without stats count", make([]int, 2500), 1, "0 0 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cutBytes(t, sourceOf(t, statRules), formatJSON, adsOf(test.counts, test.perDay))
			if c.err != nil || len(c.rejects) > 0 {
				t.Fatal(c.err, c.rejects)
			}
			var got []string
			for _, p := range c.parts {
				got = append(got, fmt.Sprint(len(p.Stats)))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestPartsAreCutBySize(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `{"page":"p%d","event":1,"at":"2026-11-20","views":1,"x":%q}`+"\n", i, strings.Repeat("x", 100<<10))
	}
	rules := strings.Replace(eventRules, "key: page", "key: page, attributes: [x]", 1)
	c := cutBytes(t, sourceOf(t, rules), formatNDJSON, []byte(b.String()))
	if c.err != nil || len(c.rejects) > 0 || len(c.parts) < 13 || len(c.parts) > 17 {
		t.Error(c.err, len(c.rejects), len(c.parts))
	}
}

func TestEveryPartNamesTheAncestors(t *testing.T) {
	c := cutBytes(t, sourceOf(t, adsRules), formatJSON, adsAnswer(1, 1, 1200))
	for i, p := range c.parts {
		if len(p.Stats) == 0 {
			continue // the campaign and its first ad group stand before an ad that fills parts
		}
		chain := ""
		for at := p.Stats[0].Object + 1; at > 0; at = p.Objects[at-1].Parent {
			chain += " " + p.Objects[at-1].Type
		}
		if chain != " ad adgroup campaign" {
			t.Errorf("part %d: %s", i, chain)
		}
		if p.Objects[0].Described {
			t.Errorf("part %d describes the campaign again", i)
		}
	}
}

func TestOfAnObjectDescribedTwiceTheLaterWordStands(t *testing.T) {
	c := cutBytes(t, sourceOf(t, rowRules), formatCSV, []byte("country,label,city,mayor,day,people\nDE,a,x,A,2026-11-01,1\nDE,b,x,A,2026-11-01,2\nDE,b,x,A,2026-11-02,2\n"))
	const want = `country DE "b"
city DE/x < DE "DE/x"{"mayor":"A"}
DE/x 2026-11-01 {"people":1}
DE/x 2026-11-01 {"people":2}
DE/x 2026-11-02 {"people":2}`
	if c.String() != want {
		t.Errorf("got\n%s", c)
	}
}

func TestAParentDescribedAfterItsChildStandsBeforeIt(t *testing.T) {
	const rules = `
records:
  - {each: continents, object: {type: continent, key: id}}
  - {each: countries, object: {type: country, key: id, parent: {type: continent, key: continent}}}
  - {each: cities, object: {type: city, key: id, parent: {type: country, key: country}}}
`
	c := cutBytes(t, sourceOf(t, rules), formatJSON, []byte(`{"cities":[{"id":"x","country":"DE"}],"countries":[{"id":"DE","continent":"EU"}]}`))
	const want = `continent EU
country DE < EU "DE"
city x < DE "x"`
	if c.String() != want {
		t.Errorf("got\n%s", c)
	}
}

func TestManyRejectsAreNotHeld(t *testing.T) {
	body := strings.Repeat("x\n", 12_345)
	c := cutBytes(t, sourceOf(t, eventRules), formatNDJSON, []byte(body))
	if len(c.parts) != 3 || len(c.rejects) != 12_345 {
		t.Error(len(c.parts), len(c.rejects))
	}
}

func TestDamagedAnswers(t *testing.T) {
	body := adsAnswer(3, 3, 30)
	for _, format := range []string{"gzip", "zstd"} {
		packed := compress(t, format, body)
		for _, test := range [][]byte{packed[:len(packed)/2], append(bytes.Clone(packed[:len(packed)/2]), packed[len(packed)/2+7:]...)} {
			c := cutBytes(t, sourceOf(t, adsRules), formatJSON, test)
			if _, ok := errors.AsType[*FormError](c.err); !ok || !strings.Contains(c.err.Error(), format) {
				t.Errorf("%s: %v", format, c.err)
			}
		}
		if c := cutBytes(t, sourceOf(t, adsRules), formatJSON, append(packed, compress(t, format, []byte("  "))...)); c.err != nil {
			t.Errorf("%s of several members: %v", format, c.err)
		}
	}
}

func TestFlatJSONIsReadAsItIsDecompressed(t *testing.T) {
	rules := strings.Replace(eventRules, "- object", "- each: data.rows\n    object", 1)
	body := compress(t, "zstd", []byte(`{"data":{"rows":[{"page":"c","at":"2026-11-19T10:00:00Z","views":2,"event":7},8]}}`))
	c := cutAnswer(t, sourceOf(t, rules), Answer{File: bytes.NewReader(body), Size: int64(len(body)), Temp: "/no such folder"})
	const want = `page c "c"
c 2026-11-19 11h c/7 {"views":2}
! data.rows[1]: a number was found where an object is allowed`
	if c.String() != want {
		t.Errorf("got\n%s", c)
	}
}

// A maker is a file that is made as it is read: a head, one piece many times,
// and a tail.
type maker struct {
	head, piece, tail string
	times             int64
}

func (m maker) size() int64 {
	return int64(len(m.head)+len(m.tail)) + m.times*int64(len(m.piece))
}

// ReadAt implements io.ReaderAt.
func (m maker) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at, middle := off+int64(n), off+int64(n)-int64(len(m.head))
		switch end := m.times * int64(len(m.piece)); {
		case middle < 0:
			n += copy(p[n:], m.head[at:])
		case middle < end:
			n += copy(p[n:], m.piece[middle%int64(len(m.piece)):])
		case middle < end+int64(len(m.tail)):
			n += copy(p[n:], m.tail[middle-end:])
		default:
			return n, io.EOF
		}
	}
	return n, nil
}

func TestMemoryIsFlat(t *testing.T) {
	const stat = `{"date":"2026-11-01","os":"ios","n":1,"m":2.5},`
	for _, test := range []struct {
		name string
		m    maker
		want int // stats
	}{
		{"one ad of 50 MB", maker{`{"ads":[{"id":"a","name":"b","url":"u","size":1,"stats":[`, stat, `{}]}]}`, 50 << 20 / int64(len(stat))}, 50 << 20 / len(stat)},
		{"whose key comes last", maker{`{"ads":[{"stats":[`, stat, `{}],"id":"a"}]}`, 50 << 20 / int64(len(stat))}, 50 << 20 / len(stat)},
		{"a stat of 30 MB", maker{`{"ads":[{"id":"a","stats":[{"date":"2026-11-01"},{"x":[`, stat, `{}]}]}]}`, 30 << 20 / int64(len(stat))}, 1},
		{"own fields of 30 MB", maker{`{"ads":[{"id":"a","name":[`, stat, `{}],"stats":[{"date":"2026-11-01"}]}]}`, 30 << 20 / int64(len(stat))}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, stats, rejects, highest := sourceOf(t, statRules), 0, 0, uint64(0)
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			before := m.HeapAlloc
			err := s.Cut(t.Context(), Answer{File: test.m, Size: test.m.size(), ObservedAt: noon}, func(p event.Part, r []Reject) error {
				stats, rejects = stats+len(p.Stats), rejects+len(r)
				if p.Ordinal%50 == 0 {
					runtime.ReadMemStats(&m)
					highest = max(highest, m.HeapAlloc)
				}
				return nil
			})
			if err != nil || stats != test.want || rejects != 1 {
				t.Errorf("%d stats, %d rejects, error %v", stats, rejects, err)
			}
			if highest > before+20<<20 {
				t.Errorf("the heap grew by %d MB", (highest-before)>>20)
			}
		})
	}
}

// An attribute that lies deeper than MongoDB can hold costs its record.
func TestAnAttributeIsNotDeeperThanADocument(t *testing.T) {
	s, err := Parse([]byte("source: x\nrecords: [{object: {type: ad, key: id, attributes: [a]}}]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	got := cutBytes(t, s, formatJSON, []byte(`[{"id":1,"a":`+deep(50)+`},{"id":2,"a":`+deep(51)+`}]`)).String()
	if want := "ad 1 \"1\"{\"a\":" + deep(50) + "}\n! [1]: ad: a has more than 50 objects or arrays within one another"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
