package source

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

const erring = `
http: {base_url: "http://a.example"}
fetch:
  report: {path: /r}
  errors:
    - {path: error.code, equals: [17, rate], then: wait}
    - {path: error.code, equals: [190], then: fail}
    - {path: error.message}
    - {path: failed, then: reject}
records: [{each: ads, object: {type: ad, key: id}}]
`

func TestAnAnswerThatIsAnErrorIsKnownByItsBeginning(t *testing.T) {
	s := sourceOf(t, erring)
	long := `{"ads":[` + strings.Repeat(`{"id":1,"error":{"code":17}},`, 5000) + `{}],"error":{"code":17}}`
	for answer, want := range map[string]string{
		`{"error":{"code":17}}`:                      `wait: error.code is "17"`,
		`{"error":{"code":"rate","message":"slow"}}`: `wait: error.code is "rate"`,
		`{"error":{"message":"no","code":190}}`:      `fail: error.code is "190"`,
		`{"error":{"message":"no","code":1}}`:        `retry: error.message is "no"`,
		`{"error":{"message":"no","code":190},"x":`:  `fail: error.code is "190"`, // cut off after it
		`[{"failed":true}]`:                          `reject: failed is "true"`,
		"\xef\xbb\xbf" + `{"failed":1}`:              `reject: failed is "1"`,
		`{"failed":false,"error":{"code":2}}`:        "",
		`{"failed":0,"error":{"message":""}}`:        "",
		`{"failed":null,"error":null,"ads":[]}`:      "",
		`<html>error 17</html>`:                      "",
		"id,error\n1,17\n":                           "",
		"":                                           "",
		long:                                         "", // what records say is theirs; and it is far behind
	} {
		rule, said, err := s.ErrorIn(t.Context(), Answer{File: bytes.NewReader([]byte(answer)), Size: int64(len(answer)), ObservedAt: time.Now()})
		got := ""
		if rule != nil {
			got = rule.Then + ": " + said
		}
		if err != nil || got != want {
			t.Errorf("%.60s: %s, %v, want %s", answer, got, err, want)
		}
	}
}

func TestErrorRulesThatAreWrong(t *testing.T) {
	const start = "source: a\nrecords: [{object: {type: a, key: id}}]\n"
	for text, says := range map[string]string{
		"fetch: {errors: [{then: retry}]}":                 `fetch.errors[0].path: found ""; it must be names`,
		"fetch: {errors: [{path: a, then: rtry}]}":         `fetch.errors[0].then: found "rtry"`,
		"fetch: {errors: [{path: a, thn: wait}]}":          `fetch.errors[0].thn: unknown key; did you mean then`,
		"fetch: {errors: [{path: a}], poll: {every: 10s}}": "fetch.errors: has no use with fetch.stream and fetch.poll",
		"fetch: {errors: [{path: a, equals: [[1]]}]}":      "fetch.errors[0].equals[0]: found a list",
		"fetch: {keep: 5}":                                 `fetch.keep: found "5"; it must be forever, or a number of days such as 90d`,
	} {
		if _, err := Parse([]byte(start+text+"\n"), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", text, err, says)
		}
	}
}
