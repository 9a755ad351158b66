package source

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/leatflow/leat/pkg/metric"
)

// FuzzExpression takes anything for an annotator: it is refused, with a place and
// a reason, or gives the same each time it runs, and what PostgreSQL can hold.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		`name matches "(?i)acme"`, `lookup("markets", parent("campaign").name)`, `labels?.a ?? 17`, `1/0`, `[1,2][5]`, `repeat(name, 9)`,
		`map(1..100, {map(1..1000, {#})})`, `fromJSON("[1e400]")`, `{"a": nil, "b": [name]}`, `share * 1e308 * 10`, `trim(url) + "\x00"`, `let x = 3; x % 2`,
	} {
		f.Add(seed, `{"url": "https://a.example", "clicks": 3, "labels": {"a": [1]}, "share": 0.5}`)
	}
	f.Fuzz(func(t *testing.T, rule, attrs string) {
		var fields map[string]any
		d := json.NewDecoder(strings.NewReader(attrs))
		d.UseNumber()
		if d.Decode(&fields) != nil || len(attrs) > 1000 || !utf8.ValidString(rule) {
			return
		}
		text, err := json.Marshal(rule) // is a text of YAML too
		if err != nil {
			t.Fatal(err)
		}
		s, err := tryShop("tag: "+string(text), tablesOfShop())
		if err != nil {
			if p, ok := errorsAs(err); !ok || p.Message == "" {
				t.Errorf("%q is refused: %v", rule, err)
			}
			return
		}
		o := anAd("{}")
		o.Attrs = fields
		tags, failed := s.Annotate(o, nil)
		again, failedAgain := s.Annotate(o, nil)
		if !reflect.DeepEqual(tags, again) || len(failed) != len(failedAgain) {
			t.Errorf("%q gives %v (%v), and then %v (%v)", rule, tags, failed, again, failedAgain)
		}
		if failed["tag"] != nil && failed["tag"].Error() == "" {
			t.Errorf("%q fails without a reason", rule)
		}
		if kept, err := json.Marshal(tags); err != nil || bytes.Contains(kept, []byte(`\u0000`)) {
			t.Errorf("%q gives %v: %v", rule, tags, err)
		}
	})
}

func errorsAs(err error) (*Problem, bool) {
	all := flatten(err)
	if len(all) == 0 {
		return nil, false
	}
	return all[0], true
}

// FuzzTemplate reads templates and dates, and makes keys of any text.
func FuzzTemplate(f *testing.F) {
	f.Add("{country}/{city}", "YYYY-MM-DD", "2026-11-20")
	f.Add("{account}/{name|slug}", "DD.MM.YY hh:mm AM ZZ", "Mötley Crüe!")
	f.Add("{a|date}", "unix_ms", "99999999999999999999")
	f.Fuzz(func(t *testing.T, template, form, text string) {
		if parsed, err := parseTemplate(template); (parsed == nil) == (err == nil) || err != nil && err.Error() == "" {
			t.Errorf("template %q: %+v, %v", template, parsed, err)
		}
		if d, ok := parseDateForm(form); ok {
			if day, moment, ok := d.read(text, time.UTC); ok && !moment.IsZero() && metric.DayOf(moment) != day {
				t.Errorf("%q by %q is %s, the moment %s", text, form, day, moment)
			}
		}
		escaped := escapeKey(text)
		if strings.Contains(escaped, "/") || strings.Count(escaped, "%") != strings.Count(text, "%")+strings.Count(text, "/") {
			t.Errorf("%q in a key is %q", text, escaped)
		}
		if s := slug(text); slug(s) != s || strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") || strings.Contains(s, "--") {
			t.Errorf("%q becomes %q, which becomes %q", text, s, slug(s))
		}
	})
}
