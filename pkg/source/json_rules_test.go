package source

import (
	"errors"
	"testing"
)

const statRules = `
records:
  - each: ads
    object: {type: ad, key: id, name: name, attributes: [url, size]}
    children:
      - each: stats
        stat: {day: date, dimensions: [os], metrics: "*"}
`

const deepRules = `
records:
  - each: data.campaigns
    object: {type: campaign, key: id, attributes: [status]}
    children:
      - each: report.ads
        object: {type: ad, key: id}
        children:
          - each: stats
            stat: {day: date, metrics: [clicks]}
`

const eventRules = `
stats: {kind: count}
timezone: Europe/Berlin
records:
  - object: {type: page, key: page}
    stat: {day: at, metrics: [views], id: "{page}/{event}"}
`

func TestJSON(t *testing.T) {
	for _, test := range []struct{ name, rules, body, want string }{
		{"a nested element is an object of the one above", deepRules,
			`{"data":{"campaigns":[{"id":"c","status":"on","report":{"ads":[{"id":7,"stats":[{"date":"2026-11-01","clicks":3}]}]}}]}}`,
			`campaign c "c"{"status":"on"}
ad 7 < c "7"
7 2026-11-01 {"clicks":3}`},
		{"arrays may stand before the fields of their element", deepRules,
			`{"data":{"campaigns":[{"report":{"ads":[{"stats":[{"clicks":3,"date":"2026-11-01"}],"id":7}]},"status":"on","id":"c"}]}}`,
			`campaign c "c"{"status":"on"}
ad 7 < c "7"
7 2026-11-01 {"clicks":3}`},
		{"a refused object takes along what is below it", deepRules,
			`{"data":{"campaigns":[{"id":"","report":{"ads":[{"id":7,"stats":[{"date":"2026-11-01","clicks":3}]}]}},{"id":"d"}]}}`,
			`campaign d "d"
! data.campaigns[0]: campaign: id is empty; a key of 1 to 512 bytes is allowed; refused with everything below it`},
		{"so does one whose key comes last", deepRules,
			`{"data":{"campaigns":[{"report":{"ads":[{"id":7}]},"id":"a\u0000b"}]}}`,
			`! data.campaigns[0]: campaign: id is "a\x00b", which holds a NUL; text without is allowed; refused with everything below it`},
		{"a bad stat costs the stat", statRules,
			`{"ads":[{"id":"a","stats":[{"date":"2026-11-31","n":1},{"date":"2026-11-30","n":2}]}]}`,
			`ad a "a"
a 2026-11-30 os= {"n":2}
! ads[0].stats[0]: date is "2026-11-31"; a day (2006-01-02) or a moment (RFC 3339) is allowed`},
		{"days lie between 2000 and 400 days ahead", statRules,
			`{"ads":[{"id":"a","stats":[{"date":"1999-12-31"},{"date":"2000-01-01"},{"date":"2027-12-25"},{"date":"2027-12-26"},{"date":5},{}]}]}`,
			`ad a "a"
a 2000-01-01 os= {}
a 2027-12-25 os= {}
! ads[0].stats[0]: date is "1999-12-31"; a day from 2000-01-01 to 2027-12-25 is allowed
! ads[0].stats[3]: date is "2027-12-26"; a day from 2000-01-01 to 2027-12-25 is allowed
! ads[0].stats[4]: date is "5"; a day (2006-01-02) or a moment (RFC 3339) is allowed
! ads[0].stats[5]: date is empty; a day (2006-01-02) or a moment (RFC 3339) is allowed`},
		{"under * every number is a metric, under a name that one may have", statRules,
			`{"ads":[{"id":"a","stats":[{"date":"2026-11-01","os":"i=o,s%","click rate":0.5,"7d":1,"text":"3","zero":0,"b":true,"minus":-0.0,"e":15e-1}]}]}`,
			`ad a "a"
a 2026-11-01 os=i%3Do%2Cs%25 {"_7d":1,"click_rate":0.5,"e":1.5}`},
		{"a metric has at most 12 digits before the point", statRules,
			`{"ads":[{"id":"a","stats":[{"date":"2026-11-01","n":1000000000000},{"date":"2026-11-02","n":999999999999.1234565}]}]}`,
			`ad a "a"
a 2026-11-02 os= {"n":999999999999.123456}
! ads[0].stats[0]: n is "1000000000000"; a number with at most 12 digits before the point is allowed`},
		{"attributes have one form for equal values; null is absent", statRules,
			`{"ads":[{"id":"a","name":"","url":null,"size":{"z":[1.0,-0,1e2,12.50,"\u0041",{}],"a":null,"z":[1.0,-0,1e2,12.50,"\u0041",{}]}}]}`,
			`ad a "a"{"size":{"a":null,"z":[1,0,100,12.5,"A",{}]}}`},
		{"a number of more than 400 digits is refused", statRules,
			`{"ads":[{"id":"a","size":1e400},{"id":"b","size":1e-401},{"id":"c","size":[1e99999999999999999999]},{"id":"d","size":0e99999999999999999999}]}`,
			`ad d "d"{"size":0}
! ads[0]: ad: size is "1e400"; a number of at most 400 digits is allowed; refused with everything below it
! ads[1]: ad: size is "1e-401"; a number of at most 400 digits is allowed; refused with everything below it
! ads[2]: ad: size is "1e99999999999999999999"; a number of at most 400 digits is allowed; refused with everything below it`},
		{"invalid text costs its record", statRules,
			"{\"ads\":[{\"id\":\"a\xff\"},{\"id\":\"b\",\"size\":{\"\xff\":1}},{\"id\":\"c\",\"url\":\"\\ud800\"},{\"id\":\"d\",\"other\":\"\xff\"},{\"id\":\"a\\nb\"}]}",
			`ad d "d"
! ads[0]: ad: id is "a\xff", which is not UTF-8; UTF-8 is allowed; refused with everything below it
! ads[1]: ad: size is "\xff", which is not UTF-8; UTF-8 is allowed; refused with everything below it
! ads[2]: ad: url is "\"\\ud800\"", which is not Unicode text; UTF-8 is allowed; refused with everything below it
! ads[4]: ad: id is "a\nb"; a key without control characters is allowed; refused with everything below it`},
		{"of a field given twice the last is taken", statRules,
			`{"ads":[{"id":"a","id":"b","stats":[{"date":"2026-11-01","n":1,"n":2}],"stats":[{"date":"x"}],"stats":[{"date":"x"}]}]}`,
			`ad b "b"
b 2026-11-01 os= {"n":2}
! ads[0].stats#2[0]: date is "x"; a day (2006-01-02) or a moment (RFC 3339) is allowed
! ads[0].stats#3[0]: date is "x"; a day (2006-01-02) or a moment (RFC 3339) is allowed`},
		{"what is not an object is not an element", statRules,
			`{"ads":[1,null,{"id":"a","stats":{"date":"2026-11-01"}},{"id":"b","stats":[[]]},{"id":"c","stats":null}]}`,
			`ad a "a"
ad b "b"
ad c "c"
! ads[0]: a number was found where an object is allowed
! ads[1]: null was found where an object is allowed
! ads[2].stats: an object was found where an array is allowed
! ads[3].stats[0]: an array was found where an object is allowed`},
		{"an answer without the arrays is not silently nothing", statRules,
			`{"error":"quota","code":7}`,
			`! the answer: it has no ads, of which the records are made`},
		{"an empty answer is nothing", statRules, `{}`, ``},
		{"rows are the elements of an array at the top", eventRules,
			`[{"page":"a/b","at":"2026-11-20T23:30:00Z","views":1,"event":"1"},{"page":"c","at":"2026-11-12","views":"2.5","event":"1"},{"page":"c","at":"2026-11-13","views":"x","event":1}]`,
			`page a/b "a/b"
page c "c"
a/b 2026-11-21 0h a%2Fb/1 {"views":1}
! [1]: at is "2026-11-12"; an event of 2026-11-13 or later is allowed, since ids are kept for 7 days
! [2]: views is "x"; a number with at most 12 digits before the point is allowed`},
		{"or the object that the answer is", eventRules,
			`{"page":"c","at":"2026-11-19T10:00:00+01:00","views":2,"event":7}`,
			`page c "c"
c 2026-11-19 10h c/7 {"views":2}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := cutBytes(t, sourceOf(t, test.rules), formatJSON, []byte(test.body)).String()
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestBrokenJSON(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"cut off", `{"ads":[{"id":"a","stats":[{"date":"2026-11-01","n":1},{"date":"202`, `error: the answer, byte 67: found the end of an answer that is cut off; expected the rest of the JSON`},
		{"HTML", " <!DOCTYPE html><p>", `error: the answer, byte 0: found HTML or XML, " <!DOCTYPE html><p>"; expected a JSON array or object`},
		{"nothing", "", "error: the answer, byte 0: found nothing; expected a JSON array or object"},
		{"a number", "17", "error: the answer, byte 0: found a number; expected a JSON array or object"},
		{"broken", `{"ads":[{"id":"a"}},`, `error: the answer, byte 18: found invalid character '}' after array element (expecting ',' or ']') in /ads; expected valid JSON`},
		{"more", `{"ads":[{"id":"a"}]} {}`, `error: the answer, byte 22: found more after the end of the JSON; expected one JSON array or object`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cutBytes(t, sourceOf(t, statRules), formatJSON, []byte(test.body))
			if _, ok := errors.AsType[*FormError](c.err); !ok || c.String() != test.want {
				t.Errorf("got\n%s\nwant\n%s", c, test.want)
			}
		})
	}
}
