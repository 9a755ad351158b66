package source

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const rowRules = `
records:
  - object: {type: country, key: country, name: label}
  - object: {type: city, key: "{country}/{city}", attributes: [mayor], parent: {type: country, key: country}}
    stat: {day: day, metrics: [people]}
`

const starRules = `
stats: {kind: hour}
timezone: Europe/Berlin
accounts: {acme: {timezone: America/New_York}}
records:
  - object: {type: page, key: "{account}/{page|slug}/{at|date}"}
    stat: {day: at, metrics: "*"}
`

func TestTables(t *testing.T) {
	const header = "country,label,city,mayor,day,people\n"
	for _, test := range []struct{ name, rules, body, want string }{
		{"a row is several objects, of which one is the other's parent", rowRules, header + "DE,Germany,Köln,Ann,2026-11-01,5\n",
			`country DE "Germany"
city DE/Köln < DE "DE/Köln"{"mayor":"Ann"}
DE/Köln 2026-11-01 {"people":5}`},
		{"the parts of a key are percent-encoded, and may be empty", rowRules, header + "A/B%,,,,2026-11-01,\n",
			`country A/B% "A/B%"
city A%2FB%25/ < A/B% "A%2FB%25/"{"mayor":""}
A%2FB%25/ 2026-11-01 {}`},
		{"a refused object takes along what names it as its parent", rowRules, header + ",x,y,z,2026-11-01,1\nDE,x,y,z,2026-11-01,1\n",
			`country DE "x"
city DE/y < DE "DE/y"{"mayor":"z"}
DE/y 2026-11-01 {"people":1}
! line 2 (country): country: country is empty; a key of 1 to 512 bytes is allowed
! line 2 (city): its parent, the country of the same row, is refused`},
		{"a bad stat costs the stat", rowRules, header + "DE,x,y,z,2020-22-01,1\n",
			`country DE "x"
city DE/y < DE "DE/y"{"mayor":"z"}
! line 2: day is "2020-22-01"; a day (2006-01-02) or a moment (RFC 3339) is allowed`},
		{"a row with other fields than the header is refused", rowRules, header + "DE,x\n\r\nDE,x,\"y\"z,z,2026-11-01,1\n" + "DE,x,y,z,2026-11-01,1,2",
			`! line 2: it has 2 fields; the header has 6
! line 4: text follows the end of a quoted field; the separator or the line's end is allowed
! line 5: it has 7 fields; the header has 6`},
		{"quoted fields hold lines, commas and quotes; lines keep their numbers", rowRules,
			"\xef\xbb\xbf" + header + "DE,\"a\r\n\"\"b\"\", c\",y,z,2026-11-01,1\r\nDE,x\n",
			`country DE "a\r\n\"b\", c"
city DE/y < DE "DE/y"{"mayor":"z"}
DE/y 2026-11-01 {"people":1}
! line 4: it has 2 fields; the header has 6`},
		{"a quote without end costs its line", rowRules, header + "DE,\"x,y,z,2026-11-01,1\nFR,x,y,z,2026-11-01,1\nDE,y\n",
			`country FR "x"
city FR/y < FR "FR/y"{"mayor":"z"}
FR/y 2026-11-01 {"people":1}
! line 2: a quoted field has no end
! line 4: it has 2 fields; the header has 6`},
		{"under * each column that no rule names is a metric where it holds a number", starRules,
			"at,page,views,note,7\n2026-11-20T04:30:00Z,Crème brûlée!,3,x,\n2026-11-20T05:00:00Z,b,,4,-1.5\n2026-11-20,b,1,1,1\n2026-11-20T05:00:00Z,b,1234567890123,1,1\n",
			`page acme/creme-brulee/2026-11-19 "acme/creme-brulee/2026-11-19"
page acme/b/2026-11-20 "acme/b/2026-11-20"
acme/creme-brulee/2026-11-19 2026-11-19 23h {"views":3}
acme/b/2026-11-20 2026-11-20 0h {"_7":-1.5,"note":4}
! line 4: at is "2026-11-20", which has no hour; a moment (RFC 3339) is allowed
! line 5: views is "1234567890123"; a number with at most 12 digits before the point is allowed`},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := []byte(test.body)
			if got := cutAnswer(t, sourceOf(t, test.rules), answerOf(formatCSV, body)).String(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			tabs := []byte(strings.NewReplacer(",", "\t", "\"\"b\"\"\t c", "\"\"b\"\", c").Replace(test.body))
			if got := cutAnswer(t, sourceOf(t, test.rules), answerOf(formatTSV, tabs)).String(); strings.ReplaceAll(got, `\t c`, ", c") != test.want {
				t.Errorf("with tabs, got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func answerOf(format string, body []byte) Answer {
	return Answer{Format: format, Account: "acme", File: strings.NewReader(string(body)), Size: int64(len(body))}
}

func TestTablesThatAreNone(t *testing.T) {
	for _, body := range []string{"", "<!DOCTYPE html>\n<p>", "country,label,town,day,people\nDE,x,y,2026-11-01,1\n", `{"a":1}`} {
		c := cutAnswer(t, sourceOf(t, rowRules), answerOf(formatCSV, []byte(body)))
		broken, ok := errors.AsType[*FormError](c.err)
		if !ok || broken.Position != "line 1" || broken.Found == "" || broken.Expected != "a header with the columns country, city, day" {
			t.Errorf("%q: %v", body, c.err)
		}
	}
}

func TestLines(t *testing.T) {
	const good = `{"id":"a","stats":[{"date":"2026-11-01","n":1},{"date":"x"}]}` + "\n"
	rules := strings.Replace(statRules, "each: ads\n    object", "object", 1)
	for _, test := range []struct{ name, body, want string }{
		{"a line is an element, and may have arrays in it", good,
			`ad a "a"
a 2026-11-01 os= {"n":1}
! line 1: stats[1]: date is "x"; a day (2006-01-02) or a moment (RFC 3339) is allowed`},
		{"a broken line costs that line", "\n{\"id\":\n" + `{"id":"b"} {}` + "\n[1]\r\n" + `{"id":"c"}`,
			`ad c "c"
! line 2: the end of an answer that is cut off was found at byte 6; one JSON object is allowed
! line 3: more after the end of the JSON was found; one JSON object is allowed
! line 4: an array was found where an object is allowed`},
		{"a line above 1 MiB costs that line", `{"id":"` + strings.Repeat("x", maxRecord) + "\"}\n" + `{"id":"c"}` + "\n" + strings.Repeat("y", 3*maxRecord),
			`ad c "c"
! line 1: the record has more than 1 MiB; 1 MiB is allowed
! line 3: the record has more than 1 MiB; 1 MiB is allowed`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := cutAnswer(t, sourceOf(t, rules), answerOf(formatNDJSON, []byte(test.body))).String(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
	c := cutAnswer(t, sourceOf(t, rules), answerOf(formatNDJSON, []byte("<html>\n")))
	if _, ok := errors.AsType[*FormError](c.err); !ok {
		t.Error(c.err)
	}
}

func TestHoursOfTheClock(t *testing.T) {
	const rules = `
stats: {kind: hour}
timezone: Europe/Berlin
records:
  - object: {type: page, key: page}
    stat: {day: at, hour: hour, metrics: [n]}
`
	byMoment := strings.Replace(rules, "hour: hour, ", "", 1)
	for _, test := range []struct{ name, rules, at, hour, want string }{
		{"the hour is that of the account's clock", byMoment, "2026-07-01T22:10:00Z", "", "2026-07-02 0"},
		{"an hour that comes twice is itself the first time", byMoment, "2026-10-25T00:59:59Z", "", "2026-10-25 2"},
		{"and 24 the second time", byMoment, "2026-10-25T01:00:00Z", "", "2026-10-25 24"},
		{"to its end", byMoment, "2026-10-25T01:59:59Z", "", "2026-10-25 24"},
		{"after which the clock goes on", byMoment, "2026-10-25T02:00:00Z", "", "2026-10-25 3"},
		{"in spring an hour is left out", byMoment, "2026-03-29T01:00:00Z", "", "2026-03-29 3"},
		{"the hour may be a field", rules, "2026-07-01", "24", "2026-07-01 24"},
		{"of 0 to 24", rules, "2026-07-01", "25", `hour is "25"; an hour from 0 to 24 is allowed`},
		{"and must be there", rules, "2026-07-01", "", `hour is ""; an hour from 0 to 24 is allowed`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cutAnswer(t, sourceOf(t, test.rules), answerOf(formatCSV, fmt.Appendf(nil, "page,at,hour,n\np,%s,%s,1\n", test.at, test.hour)))
			if len(c.rejects) > 0 {
				if c.rejects[0].Reason != test.want {
					t.Error(c.rejects[0].Reason)
				}
				return
			}
			s := c.parts[0].Stats[0]
			if got := fmt.Sprint(s.Day, " ", *s.Hour); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestEventsWithoutAnIdAreNamedByTheAnswer(t *testing.T) {
	const rules = `
stats: {kind: count}
records:
  - object: {type: page, key: page}
    stat: {day: day, metrics: [n]}
`
	c := cutAnswer(t, sourceOf(t, rules), answerOf(formatNDJSON, []byte(`{"page":"p","day":"2026-11-20","n":1}`+"\n"+`{"page":"p","day":"2026-11-20","n":1}`)))
	const want = `page p "p"
p 2026-11-20 23h hash#line 1 {"n":1}
p 2026-11-20 23h hash#line 2 {"n":1}`
	if c.String() != want {
		t.Errorf("got\n%s", c)
	}
}
