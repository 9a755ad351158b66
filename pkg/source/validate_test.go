package source

import (
	"errors"
	"strings"
	"testing"
)

// wrong has a mistake in nearly every line.
const wrong = `source: 9ads
timezone: Europe/Berln
accunts: [a]
http: {base_url: ftp://x, auth: {bearer: x}}
schedule: [{evry: 1h}]
fetch:
  report: {path: "/x?a={acount}", lookback: 30, format: jsn}
records:
  - each: campaigns
    object: {typ: campaign, key: id, attributes: [a, a, "b c"]}
    children:
      - each: ads
        object: {type: ad, key: "{id|slg}"}
        stat: {day: date, dimensions: [os]}
stats: {kind: totl}
annotate:
  b: 'parent("campain").name'
rollup: {dimensions: [oss]}
`

func TestAllMistakesOfAFileAreToldAtOnce(t *testing.T) {
	want := `1:9: source: found "9ads"; a name has letters, digits and _, begins with a letter or _, and is at most 63 long
2:11: timezone: found "Europe/Berln"; it must be the name of a time zone, such as Europe/Berlin or UTC
3:1: accunts: unknown key; did you mean accounts? allowed: source, timezone, accounts, http, fetch, records, feeds, numbers, dates, stats, annotate, lookups, rollup, schedule
4:18: http.base_url: found "ftp://x"; it must be an address such as https://api.example.com/v1, without ? and #
4:42: http.auth.bearer: holds no ${NAME} or ${file:/path}; a secret is taken from the worker's environment or a file, and never written here
5:13: schedule[0].evry: unknown key; did you mean every? allowed: every, cron, mode
7:18: fetch.report.path: found {acount}; did you mean {account}? allowed: {account}, {from}, {to}
7:45: fetch.report.lookback: found "30"; it must be a number of days such as 30d, from 1d to 36500d
7:57: fetch.report.format: found "jsn"; did you mean json? allowed: json, ndjson, csv, tsv
10:14: records[0].object.typ: unknown key; did you mean type? allowed: type, key, name, attributes, parent
10:54: records[0].object.attributes[1]: "a" stands twice
10:57: records[0].object.attributes[2]: found "b c"; a name has letters, digits and _, begins with a letter or _, and is at most 63 long
13:33: records[0].children[0].object.key: found "{id|slg}": "slg" is not a filter; allowed: date, slug
14:15: records[0].children[0].stat.metrics: missing; it must be "*" or a list of names
15:15: stats.kind: found "totl"; did you mean total? allowed: total, hour, count
17:6: annotate.b: at 1:8 of the expression: there is no type "campain"; allowed: ad
18:23: rollup.dimensions[0]: found "oss", which no stat rule has as a dimension; did you mean os? allowed: os`
	_, err := Parse([]byte(wrong), nil)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if problems, ok := errors.AsType[Problems](err); !ok || len(problems) != strings.Count(want, "\n")+1 {
		t.Errorf("problems: %v", problems)
	}
}

// rest completes a file that begins with something wrong, or with nothing.
const rest = "source: x\nrecords: [{object: {type: song, key: id, attributes: [length]}, stat: {day: d, dimensions: [os], metrics: [n]}}]\n"

// with is a file whose records are these, from line 2.
func with(records string) string { return "source: x\n" + records }

func TestEachMistakeSaysWhatIsAllowed(t *testing.T) {
	mistakes := []struct{ name, text, want string }{
		{"an empty file", "", "the file is empty"},
		{"a file of remarks", "# nothing\n", "the file is empty"},
		{"a file that is not text", "source: \xff\n", "the file is not UTF-8 text"},
		{"a list", "- a\n", "1:1: found a list; it must be settings, of these: source, timezone, accounts, http, fetch, records, feeds, numbers, dates, stats, annotate, lookups, rollup, schedule"},
		{"broken YAML", "source: x\nfetch: {\n", "2:1: not YAML: did not find expected node content"},
		{"two documents", rest + "---\na: b\n", "3:1: a second document begins here; a file describes one source"},
		{"an alias", rest + "stats: &a {kind: total}\nrollup: *a\n", "4:9: rollup: *a: aliases are not supported; write it out"},
		{"a merge key", rest + "stats: {<<: {kind: total}}\n", `3:9: stats: found "<<"; a key must be a plain word`},
		{"a key that stands twice", rest + "source: y\n", "3:1: source: stands twice, first in line 1"},
		{"no source", "records: [{object: {type: song, key: id}}]\n", "1:1: source: missing"},
		{"no records", "source: x\n", "1:1: records: missing; it says what the answer's records are"},
		{"nothing where a map is due", rest + "stats:\n", "3:7: stats: found nothing; it must be settings, of these: kind, absent"},
		{"text where a switch is due", rest + "rollup: {hours: yes please}\n", `3:17: rollup.hours: found "yes please"; allowed: true, false`},
		{"a timeout without unit", rest + "http: {timeout: 30}\n", `3:17: http.timeout: found "30"; it must be a time such as 30s, above 0 and at most 1h`},
		{"a slice of no days", rest + "fetch: {report: {slice: 0d}}\n", `3:25: fetch.report.slice: found "0d"; it must be a number of days such as 30d, from 1d to 36500d`},
		{"the machine's own zone", rest + "timezone: Local\n", `3:11: timezone: found "Local"; it must be the name of a time zone, such as Europe/Berlin or UTC`},
		{"an account's zone", rest + "accounts: {a: {timezone: Mars}}\n", `3:26: accounts.a.timezone: found "Mars"; it must be the name of a time zone, such as Europe/Berlin or UTC`},
		{"an account's setting", rest + "accounts: {a: {timezon: UTC}}\n", "3:16: accounts.a.timezon: unknown key; did you mean timezone? allowed: timezone"},
		{"an account with a blank", rest + "accounts: [' a']\n", `3:12: accounts[0]: found " a"; an account has 1 to 200 bytes, no control characters, and no blanks around it`},
		{"accounts that are text", rest + "accounts: acme\n", `3:11: accounts: found "acme"; it must be a list such as [acme, globex], or a map such as {acme: {timezone: America/New_York}}`},
		{"a path without address", rest + "fetch: {report: {path: /a}}\n", "1:1: http.base_url: missing; fetch.report.path is relative to it"},
		{"an address with a query", rest + "http: {base_url: 'http://h/?a'}\n", `3:18: http.base_url: found "http://h/?a"; it must be an address such as https://api.example.com/v1, without ? and #`},
		{"a variable without name", rest + "http: {base_url: 'http://$HOST/'}\n", `3:18: http.base_url: found "http://$HOST/"; a variable of the environment is written ${NAME}, and other braces are not allowed`},
		{"an account where there is none", rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: '/{account}'}}\n", "4:24: fetch.report.path: found {account}; the source has no accounts"},
		{"accounts that all get the same", rest + "accounts: [a]\nhttp: {base_url: 'http://h'}\nfetch: {report: {path: /a}}\n", "5:24: fetch.report.path: lacks {account}; every account would get the same answer"},
		{"a brace alone", rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: '/a{from'}}\n", `4:24: fetch.report.path: found "/a{from"; a brace stands alone`},
		{"a slice of a path without days", rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: /a, slice: 1d}}\n", "4:35: fetch.report.slice: has no use: the path has neither {from} nor {to}"},
		{"a slice of a path with one day", rest + "http: {base_url: 'http://h'}\nfetch: {report: {path: '/{from}', slice: 7d}}\n", "4:42: fetch.report.slice: found 7d; the path lacks {from} or {to}, so a slice must be 1d"},
		{"a first day that is none", rest + "fetch: {report: {since: 2026-02-30}}\n", `3:25: fetch.report.since: found "2026-02-30"; it must be a day such as 2026-01-31, not before 2000-01-01`},
		{"events that are zero when absent", rest + "stats: {kind: count, absent: zero}\n", `3:30: stats.absent: found "zero"; events of kind count only add, so it must be keep`},
		{"a metric to leave out that is none", rest + "rollup: {not_summed: [m]}\n", `3:23: rollup.not_summed[0]: found "m", which no stat rule has as a metric; allowed: n`},
		{"a tag's name", rest + "annotate: {'a b': 'name'}\n", `3:19: annotate.a b: found "a b"; a name has letters, digits and _, begins with a letter or _, and is at most 63 long`},
		{"a rule without purpose", with("records: [{each: a}]\n"), "2:11: records[0]: has none of object, stat and children"},
		{"a stat without object", with("records: [{stat: {day: d, metrics: '*'}}]\n"), "2:18: records[0].stat: has no object: neither this rule nor one around it has one"},
		{"an object without key", with("records: [{object: {type: a}}]\n"), "2:20: records[0].object.key: missing; it must be a field's name or a template such as {a}/{b|slug}"},
		{"a key of an account where there is none", with("records: [{object: {type: a, key: '{account}'}}]\n"), `2:35: records[0].object.key: found "{account}"; the source has no accounts`},
		{"a list in a row of CSV", with("fetch: {report: {format: csv}}\nrecords: [{each: a, object: {type: a, key: id}}]\n"), `3:18: records[0].each: found "a"; a row of csv holds no list`},
		{"a list without a name", with("records: [{each: a..b, object: {type: a, key: id}}]\n"), `2:18: records[0].each: found "a..b"; it must be names with a dot between them`},
		{"a type described twice", with("records:\n - object: {type: a, key: id}\n - object: {type: a, key: id}\n"), "4:19: records[1].object.type: type a is described at records[0].object (line 3) already: its fields would have two voices"},
		{"a parent further down", with("records:\n - object: {type: a, key: id, parent: {type: b, key: b}}\n - object: {type: b, key: id}\n"), "3:46: records[0].object.parent.type: b is described further down, at records[1].object (line 4); a parent's type must stand above"},
		{"a parent of its own type", with("records: [{object: {type: a, key: id, parent: {type: a, key: b}}}]\n"), `2:54: records[0].object.parent.type: found "a"; an object cannot be below one of its own type`},
		{"a parent for one that has it above", with("records: [{object: {type: a, key: id}, children: [{object: {type: b, key: id, parent: {type: a, key: b}}}]}]\n"), "2:87: records[0].children[0].object.parent: the object around it, a, is its parent already"},
		{"a stat without day", with("records: [{object: {type: a, key: id}, stat: {metrics: '*'}}]\n"), "2:46: records[0].stat.day: missing; it names the field that holds the day"},
		{"no metrics", with("records: [{object: {type: a, key: id}, stat: {day: d, metrics: []}}]\n"), `2:64: records[0].stat.metrics: found an empty list; it must be "*" or a list of names`},
		{"a metric that is a dimension", with("records: [{object: {type: a, key: id}, stat: {day: d, dimensions: [n], metrics: [m, n]}}]\n"), "2:85: records[0].stat.metrics[1]: n is a dimension already"},
		{"an hour in a day's total", with("records: [{object: {type: a, key: id}, stat: {day: d, hour: h, metrics: '*'}}]\n"), `2:61: records[0].stat.hour: found "h"; hours are of stats.kind hour or count, and it is total`},
		{"an id of what is no event", with("stats: {kind: hour}\nrecords: [{object: {type: a, key: id}, stat: {day: d, id: i, metrics: '*'}}]\n"), `3:59: records[0].stat.id: found "i"; only events have one, of stats.kind count, and it is hour`},
		{"stat rules without names", with("records: [{object: {type: a, key: id}, stat: {rule: r, day: d, metrics: '*'}, children: [{each: b, stat: {day: d, metrics: '*'}}]}]\n"), "2:106: records[0].children[0].stat.rule: missing; type a has 2 stat rules, so each needs a name"},
	}
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			_, err := Parse([]byte(m.text), nil)
			if err == nil || err.Error() != m.want {
				t.Errorf("got\n%v\nwant\n%s", err, m.want)
			}
		})
	}
}

func TestStatRulesOfOneNameAreToldApart(t *testing.T) {
	text := with("records: [{object: {type: a, key: id}, stat: {rule: r, day: d, metrics: '*'}, children: [{each: b, stat: {rule: RULE, day: d, metrics: '*'}}]}]\n")
	if s := parsed(t, strings.Replace(text, "RULE", "s", 1)); len(s.types[0].stats) != 2 {
		t.Error("two rules with names of their own are right")
	}
	_, err := Parse([]byte(strings.Replace(text, "RULE", "r", 1)), nil)
	if err == nil || strings.Count(err.Error(), `found "r", which another stat rule of type a is called`) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestRulesAreNestedSoFarAndNoFurther(t *testing.T) {
	nested := func(n int) string {
		return with("records: " + strings.Repeat("[{object: {type: a, key: id}, children: ", n) + "[{each: b}]" + strings.Repeat("}]", n) + "\n")
	}
	const tooDeep = "rules stand within more than 30 others"
	if _, err := Parse([]byte(nested(30)), nil); err == nil || strings.Contains(err.Error(), tooDeep) {
		t.Errorf("30 deep: got %v", err)
	}
	if _, err := Parse([]byte(nested(3000)), nil); err == nil || !strings.Contains(err.Error(), tooDeep) {
		t.Errorf("3000 deep: got %v", err)
	}
}

func TestNearestIsOneOrTwoSlipsAway(t *testing.T) {
	words := []string{"source", "kind", "key", "attributes"}
	for given, want := range map[string]string{"sorce": "source", "Kind": "kind", "knid": "kind", "atributs": "attributes", "kez": "key", "x": "", "zone": "", "": ""} {
		if got := nearest(given, words); got != want {
			t.Errorf("nearest to %q is %q, want %q", given, got, want)
		}
	}
}
