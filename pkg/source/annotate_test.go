package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// shop is a source of three types with the annotators given, a line each.
func shop(t testing.TB, annotators string) *Source {
	t.Helper()
	s, err := tryShop(annotators, tablesOfShop())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryShop(annotators string, tables map[string][]byte) (*Source, error) {
	return Parse([]byte(`source: shop
records:
  - each: campaigns
    object: {type: campaign, key: id, name: name, attributes: [status, budget]}
    children:
      - each: adgroups
        object: {type: adgroup, key: id, name: name}
        children:
          - each: ads
            object: {type: ad, key: id, name: name, attributes: [url, clicks, labels, share]}
annotate:
  `+strings.ReplaceAll(annotators, "\n", "\n  ")+"\n"), tables)
}

func tablesOfShop() map[string][]byte {
	return map[string][]byte{
		"markets": []byte("\ufeffcampaign,market\nAutumn,DACH\n17,seventeen\n"),
		"people":  []byte("name,first,last\nads,Ada,Lovelace\n"),
	}
}

// anAd is an ad with its ancestors; attrs are written as JSON.
func anAd(attrs string) Object {
	return Object{Type: "ad", Key: "a1", Name: "Acme Banner", Attrs: decode(attrs), Parents: []Object{
		{Type: "adgroup", Key: "g1"},
		{Type: "campaign", Key: "c1", Name: "Autumn", Attrs: decode(`{"status": "paused", "budget": 17}`)},
	}}
}

func decode(attrs string) map[string]any {
	d := json.NewDecoder(strings.NewReader(attrs))
	d.UseNumber()
	m := map[string]any{}
	if err := d.Decode(&m); err != nil {
		panic(err)
	}
	return m
}

func TestAnExpressionSeesTheObject(t *testing.T) {
	attrs := `{"url": "https://a.example.com/x", "clicks": 12, "labels": ["a", "b"], "share": 0.25}`
	rows := []struct {
		expression string
		want       any
	}{
		{`type + "/" + key`, "ad/a1"},
		{`name matches "(?i)acme"`, true},
		{`clicks * 2`, 24},
		{`clicks > 10 && share < 0.5`, true},
		{`share + clicks`, 12.25},
		{`labels`, []any{"a", "b"}},
		{`map(labels, upper(#))`, []any{"A", "B"}},
		{`let host = split(url, "/")[2]; {"host": host, "n": len(host)}`, map[string]any{"host": "a.example.com", "n": 13}},
		{`split(url, "/")`, []any{"https:", "", "a.example.com", "x"}},
		{`clicks > 100 ? "many" : nil`, nil},
		{`parent("campaign").status`, "paused"},
		{`parent("campaign").key + parent("campaign").type`, "c1campaign"},
		{`parent("adgroup").name`, "g1"}, // it has no name, so its key is its name
		{`let c = parent("campaign"); c.budget + 1`, 18},
		{`lookup("markets", parent("campaign").name)`, "DACH"},
		{`lookup("markets", parent("campaign").budget)`, "seventeen"},
		{`lookup("markets", "nowhere")`, nil},
		{`lookup("markets", nil)`, nil},
		{`lookup("people", "ads").last`, "Lovelace"},
		{`lookup("people", name)?.last ?? "nobody"`, "nobody"},
		{`lookup("people", "ads")`, map[string]any{"first": "Ada", "last": "Lovelace"}},
	}
	for _, row := range rows {
		s := shop(t, fmt.Sprintf("x: '%s'", row.expression))
		tags, failed := s.Annotate(anAd(attrs), nil)
		if len(failed) > 0 || !reflect.DeepEqual(tags["x"], row.want) || (row.want == nil) != (len(tags) == 0) {
			t.Errorf("%s: got %#v, failed %v, want %#v", row.expression, tags, failed, row.want)
		}
	}
}

func TestAnExpressionThatFailsSaysWhere(t *testing.T) {
	rows := []struct{ expression, want string }{
		{`name + url`, "at 1:6 of the expression: invalid operation: string + <nil>"},
		{`date("2026-01-01")`, "gives a time.Time, which is no JSON value"},
		{`duration("1h")`, "gives a time.Duration, which is no JSON value"},
		{`clicks / 0`, "gives +Inf, which is no JSON number"},
		{`[clicks / 0]`, "gives +Inf, which is no JSON number"},
		{`fromBase64("AA==")`, `gives text that is not UTF-8, or has a NUL in it: "\x00"`},
		{`1..9000 | map(#..9000) | len()`, "at 1:16 of the expression: memory budget exceeded"},
		{`lookup("markets", labels)`, "at 1:1 of the expression: lookup: a key must be text or a number, not []interface {}"},
	}
	for _, row := range rows {
		s := shop(t, fmt.Sprintf("x: '%s'\ngood: name\nurl_too: '[clicks, labels, share, url][:0]'", row.expression))
		tags, failed := s.Annotate(anAd(`{"clicks": 3, "labels": []}`), nil)
		if failed["x"] == nil || !strings.HasPrefix(failed["x"].Error(), row.want) || tags["x"] != nil {
			t.Errorf("%s: failed %v, tags %v, want %s", row.expression, failed, tags, row.want)
		}
		if tags["good"] != "Acme Banner" {
			t.Errorf("%s: the tags beside it are lost: %v", row.expression, tags)
		}
	}
}

func TestAnExpressionFailsWithoutTheParentItNames(t *testing.T) {
	s := shop(t, `x: 'parent("campaign").name'`)
	tags, failed := s.Annotate(Object{Type: "ad", Key: "a1"}, nil)
	if len(tags) > 0 || failed["x"] == nil || failed["x"].Error() != "the object has no campaign above it" {
		t.Errorf("tags %v, failed %v", tags, failed)
	}
}

func TestATagAppliesToTypesThatHaveAllItNames(t *testing.T) {
	s := shop(t, `every: name
ads: url
campaigns: budget > 3
below: 'parent("campaign").status'
both: 'url + parent("adgroup").name'`)
	want := map[string]string{"every": "campaign adgroup ad", "ads": "ad", "campaigns": "campaign", "below": "adgroup ad", "both": "ad"}
	for tag, types := range want {
		if got := strings.Join(s.tagged(tag), " "); got != types {
			t.Errorf("%s applies to %s, want %s", tag, got, types)
		}
	}
	if got := strings.Join(s.LooksUp("campaign"), " "); got != "adgroup ad" {
		t.Errorf("%s look up to a campaign", got)
	}
	if got := strings.Join(s.LooksUp("adgroup"), " "); got != "ad" {
		t.Errorf("%s look up to an adgroup", got)
	}
	if len(s.LooksUp("ad")) > 0 || len(s.LooksUp("nothing")) > 0 {
		t.Error("nothing is below an ad")
	}
	only := shop(t, "ads: url")
	if !only.Annotates("ad") || only.Annotates("campaign") || only.Annotates("nothing") {
		t.Error("ads alone are annotated")
	}
	if tags, failed := only.Annotate(Object{Type: "campaign"}, nil); len(tags)+len(failed) > 0 {
		t.Errorf("a campaign has %v, %v", tags, failed)
	}
}

func TestAWrongExpressionIsToldBeforeItRuns(t *testing.T) {
	rows := []struct{ expression, want string }{
		{`urll`, `1:1 of the expression: no type has an attribute "urll"; did you mean url?`},
		{`name + `, "1:7 of the expression: unexpected token EOF"},
		{`name + 1`, "1:6 of the expression: invalid operation: + (mismatched types string and int)"},
		{`url + status`, "1:1 of the expression: no type has all that it names: status (of campaign), url (of ad)"},
		{`parent("ad").url`, `1:1 of the expression: no type has all that it names: parent("ad") (of no type)`},
		{`parent("campain").name`, `1:8 of the expression: there is no type "campain"; did you mean campaign? allowed: campaign, adgroup, ad`},
		{`parent("campaign").url`, `1:20 of the expression: campaign has no attribute "url"; allowed: budget, key, name, status, type`},
		{`let c = parent("campaign"); c.url`, "1:31 of the expression: unknown field url"},
		{`parent(type)`, `1:1 of the expression: it must be written as parent("campaign"), with a name in quotes`},
		{`lookup(name, name)`, `1:1 of the expression: it must be written as lookup("markets", name), with a name in quotes`},
		{`lookup("../markets", name)`, `1:1 of the expression: it must be written as lookup("markets", name), with a name in quotes`},
		{`lookup("cities", name)`, "1:8 of the expression: there is no cities.csv beside the source file"},
		{`getenv("HOME")`, `1:1 of the expression: there is no function "getenv"`},
		{`$env["name"]`, "1:1 of the expression: $env is not supported; name the attribute itself"},
		{`now().Year()`, "1:1 of the expression: now() is not allowed"},
		{`name matches "("`, "1:6 of the expression: error parsing regexp"},
		{strings.Repeat("(", 5000), "1:1 of the expression: the expression has 5000 bytes; at most 4096 are allowed"},
		{strings.Repeat("-", 1500) + "1", "of the expression: compilation failed: expression exceeds maximum allowed nodes"},
	}
	for _, row := range rows {
		_, err := tryShop(fmt.Sprintf("x: '%s'", row.expression), tablesOfShop())
		if err == nil || !strings.HasPrefix(err.Error(), "12:6: annotate.x: ") || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%.40s: got %v, want %s", row.expression, err, row.want)
		}
	}
}

func TestABrokenTableIsTold(t *testing.T) {
	rows := map[string]string{
		"":                  "markets.csv: it needs a heading with two columns or more, the first of them the key",
		"key\na\n":          "markets.csv: it needs a heading with two columns or more, the first of them the key",
		"key,a,a\n":         "markets.csv: two columns of the heading have the same name",
		"key,a\nx,1\n\nx,2": `markets.csv: line 4: key "x" stands twice`,
		"key,a\nx\n":        "markets.csv: record on line 2: wrong number of fields",
		"key,a\nx,\xff\n":   "markets.csv: it is not UTF-8 text",
		"key,a\nx,\"open\n": "markets.csv: parse error on line 2, column 9: extraneous or missing \" in quoted-field",
	}
	for csv, want := range rows {
		_, err := tryShop(`x: 'lookup("markets", name)'`, map[string][]byte{"markets": []byte(csv)})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", csv, err, want)
		}
	}
}

func TestInputsChangeWithWhatATagCanSee(t *testing.T) {
	rules := "x: 'url + parent(\"campaign\").name'\ny: 'lookup(\"markets\", name)'"
	attrs := `{"url": "u", "clicks": 3}`
	first := shop(t, rules).Inputs(anAd(attrs))
	if len(first) != 16 {
		t.Fatalf("%d bytes", len(first))
	}
	edit := func(change func(o *Object)) []byte {
		o := anAd(attrs)
		change(&o)
		return shop(t, rules).Inputs(o)
	}
	rows := []struct {
		name   string
		inputs []byte
		same   bool
	}{
		{"nothing", edit(func(*Object) {}), true},
		{"the name", edit(func(o *Object) { o.Name = "other" }), false},
		{"the key", edit(func(o *Object) { o.Key = "a2" }), false},
		{"an attribute", edit(func(o *Object) { o.Attrs["url"] = "v" }), false},
		{"an attribute's type", edit(func(o *Object) { o.Attrs["clicks"] = "3" }), false},
		{"an attribute that is not declared", edit(func(o *Object) { o.Attrs["other"] = "v" }), true},
		{"an attribute that is now null", edit(func(o *Object) { o.Attrs["share"] = nil }), true},
		{"a name that was written as the key", edit(func(o *Object) { o.Parents[0].Name = "g1" }), true},
		{"an ancestor that is named", edit(func(o *Object) { o.Parents[1].Name = "Spring" }), false},
		{"an attribute of it", edit(func(o *Object) { o.Parents[1].Attrs["status"] = "active" }), false},
		{"an ancestor that is not named", edit(func(o *Object) { o.Parents[0].Key = "g2" }), true},
		{"an ancestor that is gone", edit(func(o *Object) { o.Parents = o.Parents[:1] }), false},
		{"an expression", shop(t, rules+"\nz: key").Inputs(anAd(attrs)), false},
		{"an expression of another type", shop(t, rules+"\nz: budget").Inputs(anAd(attrs)), true},
		{"a tag's name", shop(t, strings.Replace(rules, "x:", "z:", 1)).Inputs(anAd(attrs)), false},
	}
	for _, row := range rows {
		if same := bytes.Equal(first, row.inputs); same != row.same {
			t.Errorf("%s: the inputs are the same: %v, want %v", row.name, same, row.same)
		}
	}
	if shop(t, "x: budget").Inputs(anAd(attrs)) != nil {
		t.Error("a type without annotators has no inputs")
	}
}

func TestInputsChangeWithTheTablesThatAreLookedUp(t *testing.T) {
	changed := func(rules string) bool {
		tables := tablesOfShop()
		s, err := tryShop(rules, tables)
		if err != nil {
			t.Fatal(err)
		}
		before := s.Inputs(anAd("{}"))
		tables["markets"] = append(slices.Clone(tables["markets"]), "Winter,Nordics\n"...)
		if s, err = tryShop(rules, maps.Clone(tables)); err != nil {
			t.Fatal(err)
		}
		return !bytes.Equal(before, s.Inputs(anAd("{}")))
	}
	if !changed(`x: 'lookup("markets", name)'`) {
		t.Error("the table was changed, and the inputs are the same")
	}
	if changed("x: 'lookup(\"people\", name)'\ny: 'lookup(\"markets\", status)'") {
		t.Error("a table that only campaigns look up changed an ad's inputs")
	}
}

func TestATagIsAPlainJSONValue(t *testing.T) {
	rows := []struct{ given, want any }{
		{nil, nil},
		{int64(3), 3},
		{uint8(3), 3},
		{float32(0.5), 0.5},
		{[]string{"a"}, []any{"a"}},
		{map[string]int{"a": 1}, map[string]any{"a": 1}},
	}
	for _, row := range rows {
		if got, err := plain(row.given, 0); err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%#v became %#v, %v", row.given, got, err)
		}
	}
	deep := any("x")
	for range 30 {
		deep = []any{deep}
	}
	for _, given := range []any{math.NaN(), func() {}, map[int]int{1: 1}, time.Now(), "\x00", "\xff", deep, map[string]any{"\x00": 1}, []any{math.Inf(1)}, uint64(math.MaxUint64)} {
		if got, err := plain(given, 0); err == nil {
			t.Errorf("%T became %#v", given, got)
		}
	}
}

func TestNumbersOfJSONAreWholeWhereTheyCan(t *testing.T) {
	got := fromJSON(decode(`{"a": 3, "b": [0.5, 1e3, 9223372036854775808], "c": {"d": -1}}`))
	want := map[string]any{"a": 3, "b": []any{0.5, 1000.0, 9223372036854775808.0}, "c": map[string]any{"d": -1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}
