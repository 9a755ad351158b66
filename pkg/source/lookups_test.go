package source

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// replies are what is known of some addresses.
func replies(t testing.TB, known map[string]string) map[string]Reply {
	t.Helper()
	out := map[string]Reply{}
	for address, text := range known {
		value, err := ReadReply([]byte(text), IsJSON("", []byte(text)))
		out[address] = Reply{value, err}
	}
	return out
}

// A tag names the first address that it needs; with its reply it goes on, and
// tags without http() never wait.
func TestHTTPAnswersFromWhatIsKnown(t *testing.T) {
	s := shop(t, `grade: 'http("https://g.example.com/?u=" + http("https://w.example.com/?n=" + urlEscape(name)).site).grade'
plain: name
none: 'http(nil)'
`)
	if !s.Asks("ad") || s.Asks("nothing") {
		t.Errorf("asks: %t, %t", s.Asks("ad"), s.Asks("nothing"))
	}
	known := map[string]string{}
	for _, step := range []struct{ needs, says string }{
		{"https://w.example.com/?n=Acme+Banner", `{"site": "acme.example"}`},
		{"https://g.example.com/?u=acme.example", `{"grade": 17}`},
	} {
		tags, failed := s.Annotate(anAd(`{}`), replies(t, known))
		unasked, ok := errors.AsType[*Unasked](failed["grade"])
		if !ok || unasked.Address != step.needs || tags["plain"] != "Acme Banner" || len(failed) != 1 {
			t.Fatalf("tags %v, failed %v, want it to need %s", tags, failed, step.needs)
		}
		known[step.needs] = step.says
	}
	before := s.Inputs(anAd(`{}`))
	tags, failed := s.Annotate(anAd(`{}`), replies(t, known))
	if tags["grade"] != 17 || len(failed) > 0 {
		t.Errorf("tags %v, failed %v", tags, failed)
	}
	if !reflect.DeepEqual(before, s.Inputs(anAd(`{}`))) {
		t.Error("the inputs depend on a reply")
	}
	away := errors.New("the host is away")
	all := replies(t, known)
	all["https://g.example.com/?u=acme.example"] = Reply{Err: away}
	if _, failed := s.Annotate(anAd(`{}`), all); !errors.Is(failed["grade"], away) {
		t.Errorf("failed %v, want the reply's own error", failed)
	}
}

func TestAReplyIsJSONOrText(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		want       any // an error's text if it is one
	}{
		{"application/json; charset=utf-8", `{"a": [1, 2.5, null]}`, map[string]any{"a": []any{1, 2.5, nil}}},
		{"application/problem+json", `7`, 7},
		{"text/plain", `7`, "7"},
		{"text/plain", ` [1]`, []any{1}},
		{"", `{no json`, "{no json"},
		{"", ``, ""},
		{"application/json", ``, errors.New("not the JSON that it should be")},
		{"application/json", `<html>`, errors.New("not the JSON that it should be")},
		{"application/json", `{} {}`, errors.New("more than one JSON value")},
		{"image/png", "\x89PNG\x00", errors.New("neither JSON nor text")},
		{"application/json", "[" + strings.Repeat("1,", 10_000) + "1]", errors.New("has 10001 elements")},
	} {
		got, err := ReadReply([]byte(c.body), IsJSON(c.kind, []byte(c.body)))
		if wrong, ok := c.want.(error); ok {
			if err == nil || !strings.Contains(err.Error(), wrong.Error()) {
				t.Errorf("%s %.20q: %v, %v", c.kind, c.body, got, err)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %.20q: %#v, %v, want %#v", c.kind, c.body, got, err, c.want)
		}
	}
}

func TestWhatHTTPCannotBeGiven(t *testing.T) {
	for _, address := range []string{`"file:///etc/passwd"`, `"/relative"`, `17`, `""`, `"https://user:pw@a.example.com"`, `"https://a.example.com/" + repeat("x", 3000)`} {
		_, failed := shop(t, "x: 'http("+address+")'").Annotate(anAd(`{}`), nil)
		if failed["x"] == nil || !strings.Contains(failed["x"].Error(), "it must be an address with http:// or https://") {
			t.Errorf("%s: %v", address, failed)
		}
	}
}

func TestHelpers(t *testing.T) {
	attrs := `{"url": "https://Shop.example.com:8443/a/b?q=1&q=2&x=%C3%A4#top", "clicks": 50, "share": 0.25}`
	for expression, want := range map[string]any{
		`capture(name, "(\\w+) (\\w+)", 2)`:       "Banner",
		`capture(name, "B.*", 0)`:                 "Banner",
		`capture(name, "(x)?Acme", 1)`:            nil,
		`capture(name, "nothing", 0)`:             nil,
		`capture(labels, "x", 0)`:                 nil,
		`bucket(clicks, [10, 100])`:               "10-100",
		`bucket(10, [10, 100])`:                   "10-100",
		`bucket(100, [10, 100])`:                  "100+",
		`bucket(share, [0.5])`:                    "<0.5",
		`bucket(labels, [1])`:                     nil,
		`urlParts(url).host`:                      "Shop.example.com",
		`urlParts(url).port + urlParts(url).path`: "8443/a/b",
		`urlParts(url).query.x`:                   "ä",
		`urlParts(url).query.q`:                   "1",
		`urlParts(url).fragment`:                  "top",
		`urlParts("http://[")?.host`:              nil,
		`urlEscape("a&b ä")`:                      "a%26b+%C3%A4",
		`urlEscape(clicks)`:                       "50",
	} {
		tags, failed := shop(t, fmt.Sprintf("x: '%s'", expression)).Annotate(anAd(attrs), nil)
		if len(failed) > 0 || !reflect.DeepEqual(tags["x"], want) {
			t.Errorf("%s: %#v, failed %v, want %#v", expression, tags["x"], failed, want)
		}
	}
	for expression, says := range map[string]string{
		`capture(name, "(a)", 2)`: "asks for group 2; the pattern has 1",
		`capture(clicks, "a", 0)`: "must be a text",
		`bucket(name, [1])`:       "must be a number",
		`bucket(clicks, [])`:      "1 to 100 numbers",
		`bucket(clicks, [3, 2])`:  "each larger than the one before",
		`urlParts(clicks)`:        "must be a text",
		`count(1..9000, count(1..100, bucket(1, [1]) == "") > 0)`: "more than 100000 steps",
	} {
		_, failed := shop(t, fmt.Sprintf("x: '%s'", expression)).Annotate(anAd(attrs), nil)
		if failed["x"] == nil || !strings.Contains(failed["x"].Error(), says) {
			t.Errorf("%s: %v, want %s", expression, failed["x"], says)
		}
	}
}

func TestHowHostsAreAsked(t *testing.T) {
	head := "source: shop\nrecords: [{object: {type: ad, key: id}}]\nannotate: {x: 'http(\"https://a.example.com/\" + key)'}\n"
	s, err := Parse([]byte(head+`lookups: {"a.example.com:8443": {cache: 1d, rate: {requests: 5}, auth: {bearer: "${KEY}"}}}`+"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, path := s.LookupOf("a.example.com:8443")
	if l.Cache != 1 || l.Timeout != lookupTimeout || l.Rate.Burst != 5 || path != "lookups.a.example.com:8443" {
		t.Errorf("%+v at %s", l, path)
	}
	if l, _ := s.LookupOf("other.example.com"); l.Cache != lookupCache || l.Auth != nil {
		t.Errorf("others: %+v", l)
	}
	for setting, says := range map[string]string{
		`lookups: [a]`:                                                 "lookups: found a list; it must be a map of hosts to settings",
		`lookups: {"https://a.example.com": {}}`:                       "it must be a host such as",
		`lookups: {a.example.com: {timeout: 2m}}`:                      "lookups.a.example.com.timeout: found 2m0s; at most 1m0s is allowed",
		`lookups: {a.example.com: {cash: 1d}}`:                         "did you mean cache?",
		`lookups: {a.example.com: {auth: {bearer: abc}}}`:              "lookups.a.example.com.auth.bearer: holds no ${NAME}",
		`lookups: {a.example.com: {auth: {bearer: "${K_{account}}"}}}`: "holds {account}",
		`lookups: {a.example.com: {rate: {requests: 0}}}`:              "lookups.a.example.com.rate.requests: found 0",
	} {
		if _, err := Parse([]byte(head+setting+"\n"), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", setting, err, says)
		}
	}
	if _, err := Parse([]byte("source: shop\nrecords: [{object: {type: ad, key: id}}]\nlookups: {a.example.com: {}}\n"), nil); err == nil || !strings.Contains(err.Error(), "has no use") {
		t.Errorf("without http(): %v", err)
	}
	for name := range maps.Keys(helpers) {
		if _, err := tryShop("x: '"+name+"()'", tablesOfShop()); err == nil || !strings.Contains(err.Error(), "it must be written as "+name+"(") {
			t.Errorf("%s without arguments: %v", name, err)
		}
	}
}
