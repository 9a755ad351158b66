package rollup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/source"
)

// compute returns the days of each wanted document as JSON, or "gone".
func (b *bench) compute(wants ...Want) map[string]string {
	b.t.Helper()
	docs, err := Compute(b.t.Context(), b.db, func(string) (*source.Source, error) { return b.src, nil }, wants)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range docs {
		expected, err := d.Expected()
		if err != nil {
			b.t.Fatal(err)
		}
		out[d.ID()] = text(b.t, expected["days"])
		if d.Gone {
			out[d.ID()] = "gone"
		}
	}
	return out
}

func all(object int64, half string) Want { return Want{Object: object, Half: half, All: true} }

func TestParentsAreTheSumsOfWhatIsBelow(t *testing.T) {
	b := newBench(t)
	b.tree()
	b.stat(a1, "2026-11-14", "os=ios", `{"clicks": 3, "cost": 0.1}`)
	b.stat(a2, "2026-11-14", "os=ios", `{"clicks": 4, "cost": 0.2}`)
	b.stat(a2, "2026-11-15", "os=android", `{"clicks": 5}`)
	b.stat(a2, "2026-05-01", "os=android", `{"clicks": 6}`)
	got := b.compute(all(a1, "2026H2"), all(a2, "2026H2"), all(g1, "2026H2"), all(c1, "2026H2"), all(c1, "2026H1"), all(c2, "2026H2"), all(a1, "2026H1"), all(99, "2026H2"))
	sum := `{"2026-11-14":{"by":[{"d":{"os":"ios"},"m":{"clicks":7,"cost":0.3}}],"m":{"clicks":7,"cost":0.3}},"2026-11-15":{"by":[{"d":{"os":"android"},"m":{"clicks":5}}],"m":{"clicks":5}}}`
	want := map[string]string{
		"ad/a1/2026H2":       `{"2026-11-14":{"by":[{"d":{"os":"ios"},"m":{"clicks":3,"cost":0.1}}],"m":{"clicks":3,"cost":0.1}}}`,
		"ad/a2/2026H2":       `{"2026-11-14":{"by":[{"d":{"os":"ios"},"m":{"clicks":4,"cost":0.2}}],"m":{"clicks":4,"cost":0.2}},"2026-11-15":{"by":[{"d":{"os":"android"},"m":{"clicks":5}}],"m":{"clicks":5}}}`,
		"group/g1/2026H2":    sum,
		"campaign/c1/2026H2": sum,
		"campaign/c1/2026H1": `{"2026-05-01":{"by":[{"d":{"os":"android"},"m":{"clicks":6}}],"m":{"clicks":6}}}`,
		"campaign/c2/2026H2": "gone",
		"ad/a1/2026H1":       "gone",
	}
	for id, days := range want {
		if got[id] != days {
			t.Errorf("%s: %s, want %s", id, got[id], days)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d documents, want %d: an object that is not there has none", len(got), len(want))
	}
}

func TestADay(t *testing.T) {
	b := newBench(t)
	b.tree()
	var fifty, more []string
	for i := range 51 {
		row := fmt.Sprintf(`a1 os=%02d {"clicks": 1}`, i)
		more = append(more, row)
		fifty = append(fifty[:min(i, 49)], row)
	}
	for _, c := range []struct {
		name string
		rows []string // object, dims, metrics, hours
		ad   string   // a1's day
		top  string   // c1's; default: as a1's
	}{
		{name: "zeros are absent", rows: []string{`a1 os=ios {"clicks": 3}`, `a1 os=android {}`}, ad: `{"by":[{"d":{"os":"ios"},"m":{"clicks":3}}],"m":{"clicks":3}}`},
		{name: "a day without metrics is no day", rows: []string{`a1 os=ios {}`}, ad: ``},
		{name: "what cancels out is absent from the sum", rows: []string{`a1 os=ios {"clicks": 3}`, `a1 os=android {"clicks": -3}`},
			ad: `{"by":[{"d":{"os":"android"},"m":{"clicks":-3}},{"d":{"os":"ios"},"m":{"clicks":3}}],"m":{}}`},
		{name: "decimals add up exactly", rows: []string{`a1 os=a {"cost": 0.1}`, `a1 os=b {"cost": 0.2}`, `a1 os=c {"cost": 0.7}`},
			ad: `{"by":[{"d":{"os":"a"},"m":{"cost":0.1}},{"d":{"os":"b"},"m":{"cost":0.2}},{"d":{"os":"c"},"m":{"cost":0.7}}],"m":{"cost":1}}`},
		{name: "hours", rows: []string{`a1 os=ios {"clicks": 3} {"7": {"clicks": 1}, "23": {"clicks": 2}}`, `a1 os=android {"clicks": 4}`},
			ad: `{"by":[{"d":{"os":"android"},"m":{"clicks":4}},{"d":{"os":"ios"},"m":{"clicks":3}}],"h":{"23":{"clicks":6},"7":{"clicks":1}},"m":{"clicks":7}}`},
		{name: "all in the last hour is no hours", rows: []string{`a1 os=ios {"clicks": 3} {"23": {"clicks": 3}}`}, ad: `{"by":[{"d":{"os":"ios"},"m":{"clicks":3}}],"m":{"clicks":3}}`},
		{name: "dimensions that are not of the breakdown are added up", rows: []string{`a1 country=DE,os=ios {"clicks": 3}`, `a1 country=FR,os=ios {"clicks": 4}`},
			ad: `{"by":[{"d":{"os":"ios"},"m":{"clicks":7}}],"m":{"clicks":7}}`},
		{name: "values are decoded", rows: []string{`a1 os=a%2Cb%3Dc%252C {"clicks": 3}`}, ad: `{"by":[{"d":{"os":"a,b=c%2C"},"m":{"clicks":3}}],"m":{"clicks":3}}`},
		{name: "what is not summed stands where it is alone", rows: []string{`a1 os=ios {"reach": 9}`},
			ad: `{"by":[{"d":{"os":"ios"},"m":{"reach":9}}],"m":{"reach":9}}`, top: `none`},
		{name: "and not beside another", rows: []string{`a1 os=ios {"reach": 9, "clicks": 1}`, `a1 os=android {"reach": 8}`},
			ad: `{"by":[{"d":{"os":"android"},"m":{"reach":8}},{"d":{"os":"ios"},"m":{"clicks":1,"reach":9}}],"m":{"clicks":1}}`, top: `{"by":[{"d":{"os":"ios"},"m":{"clicks":1}}],"m":{"clicks":1}}`},
		{name: "fifty entries are shown", rows: fifty},
		{name: "more are not", rows: more, ad: `{"by_more":true,"m":{"clicks":51}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.exec(`TRUNCATE stats`)
			for _, row := range c.rows {
				words := strings.SplitN(row, " ", 3)
				metrics, hours, ok := strings.Cut(words[2], "} {")
				if !ok {
					b.stat(a1, "2026-11-14", words[1], metrics)
					continue
				}
				b.stat(a1, "2026-11-14", words[1], metrics+"}", "{"+hours)
			}
			got := b.compute(all(a1, "2026H2"), all(c1, "2026H2"))
			if len(c.rows) == 50 {
				if n := strings.Count(got["ad/a1/2026H2"], `"os"`); n != 50 {
					t.Errorf("%d entries", n)
				}
				return
			}
			ad, top := c.ad, c.top
			if top == "" {
				top = ad
			}
			for id, want := range map[string]string{"ad/a1/2026H2": ad, "campaign/c1/2026H2": top} {
				if want == "" || want == "none" {
					want = `{}`
				} else {
					want = `{"2026-11-14":` + want + `}`
				}
				if got[id] != want {
					t.Errorf("%s:\n%s, want\n%s", id, got[id], want)
				}
			}
		})
	}
}

func TestWholeNumbersAreIntegersAndOthersDoubles(t *testing.T) {
	b := newBench(t)
	b.tree()
	b.stat(a1, "2026-11-14", "", `{"whole": 3, "part": 0.5, "large": 999999999999}`)
	docs, err := Compute(t.Context(), b.db, func(string) (*source.Source, error) { return b.src, nil }, []Want{all(a1, "2026H2")})
	if err != nil {
		t.Fatal(err)
	}
	expected, err := docs[0].Expected()
	if err != nil {
		t.Fatal(err)
	}
	m := plain(expected["days"]).(map[string]any)["2026-11-14"].(map[string]any)["m"].(map[string]any)
	for name, want := range map[string]any{"whole": int64(3), "part": 0.5, "large": int64(999999999999)} {
		if m[name] != want {
			t.Errorf("%s: %T %v, want %T %v", name, m[name], m[name], want, want)
		}
	}
}
