package source

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leatflow/leat/pkg/event"
)

// fuzz cuts anything: it must end, without a panic, and give what checkPart
// says, or a FormError.
func fuzz(f *testing.F, rules, format string, seeds ...string) {
	s := sourceOf(f, rules)
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := cutBytes(t, s, format, body)
		if c.err != nil {
			if _, ok := errors.AsType[*FormError](c.err); !ok {
				t.Error(c.err)
			}
		}
		for _, p := range c.parts {
			checkTexts(t, p)
		}
	})
}

// checkTexts checks that PostgreSQL can hold what a part says.
func checkTexts(t *testing.T, p event.Part) {
	for _, o := range p.Objects {
		if o.Key == "" || len(o.Key) > maxKey {
			t.Errorf("key %q", o.Key)
		}
		for _, text := range []string{o.Key, o.Name, string(o.Attrs)} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Errorf("text %q", text)
			}
		}
		if len(o.Attrs) > 0 {
			again, reason := appendCanonical(nil, o.Attrs)
			if reason != "" || !bytes.Equal(again, o.Attrs) {
				t.Errorf("%s is canonically %s (%s)", o.Attrs, again, reason)
			}
		}
	}
	for _, s := range p.Stats {
		if s.Day < firstDay {
			t.Errorf("day %s", s.Day)
		}
	}
}

func FuzzNestedJSON(f *testing.F) {
	fuzz(f, deepRules, formatJSON,
		`{"data":{"campaigns":[{"report":{"ads":[{"stats":[{"clicks":3,"date":"2026-11-01"}],"id":7}]},"status":{"b":[1e3],"a":-0},"id":"c"}]}}`,
		`{"data":{"campaigns":[{"id":"","report":[]},{"id":"c","id":1,"report":null,"report":{"ads":{}}}]},"data":1}`,
		`[{"data":{"campaigns":[{"id":"c"}]}}]`, string(adsAnswer(1, 1, 1)))
}

func FuzzJSONRows(f *testing.F) {
	fuzz(f, eventRules, formatJSON, `[{"page":"a/b","at":"2026-11-20T23:30:00Z","views":1,"event":"1"},7]`, "<html>", `{"page":"\ud800"}`)
}

func FuzzNDJSON(f *testing.F) {
	fuzz(f, strings.Replace(statRules, "each: ads\n    object", "object", 1), formatNDJSON,
		`{"id":"a","url":[1.50],"stats":[{"date":"2026-11-01","n":1},{"date":"x"}]}`+"\n{\n[]\n", "\xef\xbb\xbf{}")
}

func FuzzCSV(f *testing.F) {
	fuzz(f, rowRules, formatCSV, "country,label,city,mayor,day,people\nDE,\"a\n\"\"b\",y,z,2026-11-01,1\nDE,\"x\n", "country,city,day\n\"")
}

func FuzzTSV(f *testing.F) {
	fuzz(f, starRules, formatTSV, "at\tpage\tviews\t7\n2026-11-20T04:30:00Z\tCrème\t3\tx\n", "at\tpage\tat\n2026-11-20\n")
}
