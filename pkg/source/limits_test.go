package source

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A rule that would run for ever, or fill the memory, fails, and costs its own tag.
func TestARuleCannotRunForEver(t *testing.T) {
	list := "[" + strings.Repeat("1,", 4999) + "1]"
	long := `"` + strings.Repeat("lorem ipsum ", 80_000) + `"`
	for _, c := range []struct{ name, rule, labels, says string }{
		{"loops within loops", `all(labels, all(labels, all(labels, all(labels, true))))`, list, "more than 100000 steps"},
		{"a loop of ranges", `count(1..9000, count(1..9000, # > 1) > 1)`, list, "more than 100000 steps"},
		{"reduce", `reduce(labels, #acc + count(labels, # > 0), 0)`, list, "more than 100000 steps"},
		{"find", `find(labels, any(labels, # == 2))`, list, "more than 100000 steps"},
		{"sortBy and groupBy", `groupBy(labels, len(sortBy(labels, -#)))`, list, "more than 100000 steps"},
		{"a text that doubles", `reduce(1..60, #acc + #acc, "xxxxxxxx")`, list, "a text of 2097152 bytes is built"},
		{"a text that doubles without a loop", `let a = name; ` + doubles(40) + ` len(a40)`, list, "bytes is built"},
		{"repeat", `len(repeat(labels, 1000000))`, long, "repeat builds a text"},
		{"repeat of repeat", `len(repeat(repeat("x", 1000000), 1000000))`, long, "repeat builds a text"},
		{"replace", `len(replace(labels, "", labels))`, long, "replace builds a text"},
		{"join", `len(join(split(repeat("x", 9000), ""), labels))`, long, "join builds a text"},
		{"flatten", `len(flatten(map(labels, labels)))`, list, "more than 100000 steps"},
		{"a long list", `len(labels)`, "[" + strings.Repeat("1,", 10_000) + "1]", "labels has 10001 elements; annotators read at most 10000"},
		{"lists of lists", `len(labels)`, "[" + strings.Repeat(list+",", 2) + "1]", "labels has 10003 elements"},
		{"a list of characters", `len(uniq(split(labels, "")))`, long, "a list of 960000 elements is built"},
		{"a match on a long text", `labels matches "(a|b|c)*d"`, long, "matches is asked of a text of 960000 bytes"},
		{"no match on a long text", `not (labels matches "(a|b|c)*d")`, long, "matches is asked of a text of 960000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := shop(t, "x: '"+c.rule+"'\ngood: name")
			start := time.Now()
			tags, failed := s.Annotate(anAd(`{"labels": `+c.labels+`}`), nil)
			if failed["x"] == nil || !strings.Contains(failed["x"].Error(), c.says) || tags["good"] != "Acme Banner" {
				t.Errorf("failed %v, tags %.100v, want %s", failed, tags, c.says)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// doubles declares variables that are each twice as long as the one before.
func doubles(n int) string {
	var b strings.Builder
	b.WriteString("let a0 = a;")
	for i := range n {
		fmt.Fprintf(&b, "let a%d = a%d + a%d;", i+1, i, i)
	}
	return b.String()
}

func TestWhatIsLimitedStillWorks(t *testing.T) {
	s := shop(t, `sum: 'sum(map(labels, # * 2))'
two: 'count(labels, any(labels, # == 7))'
text: 'replace(repeat("ab", 3), "b", "-") + join(["x", "y"], "/") + join(["z"])'
most: 'clicks in 1..100000'
plus: 'clicks + 1'
match: 'name matches "(?i)^acme\\b" and not (name matches "x{3}")'
lists: 'len(concat(labels, labels)) + len(flatten([labels, labels]))'
`)
	tags, failed := s.Annotate(anAd(`{"clicks": 17, "labels": [`+strings.Repeat("7,", 99)+`7]}`), nil)
	want := map[string]any{"sum": 1400, "two": 100, "text": "a-a-a-x/yz", "most": true, "plus": 18, "match": true, "lists": 400}
	for tag, value := range want {
		if fmt.Sprint(tags[tag]) != fmt.Sprint(value) {
			t.Errorf("%s: %v (%v), want %v", tag, tags[tag], failed[tag], value)
		}
	}
}

// Nothing but the object, its parents and the tables is in reach; a pattern is
// known, and small.
func TestWhatARuleMayNotName(t *testing.T) {
	for rule, says := range map[string]string{
		`env("HOME")`:                            "there is no function",
		`os.Getenv("HOME")`:                      "no type has an attribute",
		`readFile("/etc/passwd")`:                "there is no function",
		`http()`:                                 "it must be written as http(",
		`$env["HOME"]`:                           "$env is not supported",
		`lookup("../../etc/passwd", name)`:       "with a name in quotes",
		`lookup(name, name)`:                     "with a name in quotes",
		`now()`:                                  "now() is not allowed",
		`name matches url`:                       "must be a text in quotes",
		`name matches "(((a{30}){30}){30}){30}"`: "expr",
		`name matches "(a{100}){10}b"`:           "the regular expression has 1",
		`name matches "("`:                       "missing closing )",
	} {
		_, err := tryShop("x: '"+rule+"'", tablesOfShop())
		if says == "expr" && err != nil {
			continue // too large for regexp itself
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", rule, err, says)
		}
	}
}
