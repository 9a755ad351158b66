package source

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar reads a node into one of the types that are written as one word, and
// reports whether v is of those.
func (d *decoder) scalar(n *yaml.Node, path string, v any) bool {
	switch v := v.(type) {
	case *string:
		*v = d.text(n, path, "text")
	case *bool:
		d.boolean(n, path, v)
	case *int:
		d.number(n, path, v)
	case *time.Duration:
		*v = d.duration(n, path, 0, time.Hour)
	case *Interval:
		*v = Interval(d.duration(n, path, soonest, latest))
	case *Days:
		d.days(n, path, v)
	case *Keep:
		d.keep(n, path, v)
	default:
		return false
	}
	return true
}

// text returns a scalar as it is written: `5` and `2026-01-01` are text too.
func (d *decoder) text(n *yaml.Node, path, want string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.failf(path, "%s; it must be %s", describe(n), want)
		return ""
	}
	return n.Value
}

func (d *decoder) boolean(n *yaml.Node, path string, v *bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(v) != nil {
		d.failf(path, "%s; allowed: true, false", describe(n))
	}
}

const maxNumber = 1_000_000

func (d *decoder) number(n *yaml.Node, path string, v *int) {
	count, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || count < 0 || count > maxNumber {
		d.failf(path, "%s; it must be a whole number from 0 to %d", describe(n), maxNumber)
		return
	}
	*v = count
}

func (d *decoder) duration(n *yaml.Node, path string, least, most time.Duration) time.Duration {
	t, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || t <= 0 || t < least || t > most {
		from := "above 0"
		if least > 0 {
			from = "at least " + brief(least)
		}
		d.failf(path, "%s; it must be a time such as 30s, %s and at most %s", describe(n), from, brief(most))
		return 0
	}
	return t
}

// brief writes a time without the zeros at its end.
func brief(t time.Duration) string {
	text := strings.TrimSuffix(t.String(), "0s")
	if short := strings.TrimSuffix(text, "0m"); strings.HasSuffix(short, "h") {
		return short
	}
	if text == "" || !strings.HasSuffix(text, "m") {
		return t.String()
	}
	return text
}

const maxDays = 36500 // a hundred years

func (d *decoder) days(n *yaml.Node, path string, v *Days) {
	digits, ok := strings.CutSuffix(n.Value, "d")
	count, err := strconv.Atoi(digits)
	if n.Kind != yaml.ScalarNode || !ok || err != nil || count <= 0 || count > maxDays {
		d.failf(path, "%s; it must be a number of days such as 30d, from 1d to %dd", describe(n), maxDays)
		return
	}
	*v = Days(count)
}

func (d *decoder) keep(n *yaml.Node, path string, v *Keep) {
	digits, ok := strings.CutSuffix(n.Value, "d")
	count, err := strconv.Atoi(digits)
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "forever":
		*v = Forever
	case n.Kind != yaml.ScalarNode || !ok || err != nil || count <= 0 || count > maxDays:
		d.failf(path, "%s; it must be forever, or a number of days such as 90d, from 1d to %dd", describe(n), maxDays)
	default:
		*v = Keep(count)
	}
}

// collection reads a node into one of the types that hold several values, and
// reports whether v is of those.
func (d *decoder) collection(n *yaml.Node, path string, v any) bool {
	switch v := v.(type) {
	case *[]string:
		*v = d.list(n, path)
	case *Metrics:
		d.metrics(n, path, v)
	case *Accounts:
		d.accounts(n, path, v)
	case *map[string]string:
		d.expressions(n, path, v)
	case *map[string]*Lookup:
		d.lookups(n, path, v)
	case *[]*Rule:
		d.rules(n, path, v)
	case *[]*ErrorRule:
		d.errorList(n, path, v)
	case *[]Schedule:
		d.schedules(n, path, v)
	case *Feeds:
		d.feeds(n, path, v)
	default:
		return false
	}
	return true
}

// list reads a list of texts, each of them once.
func (d *decoder) list(n *yaml.Node, path string) []string {
	if n.Kind != yaml.SequenceNode {
		d.failf(path, "%s; it must be a list such as [a, b]", describe(n))
		return nil
	}
	var list []string
	for i, item := range n.Content {
		inner := index(path, i)
		d.at[inner] = position{item.Line, item.Column}
		word := d.text(item, inner, "text")
		if word != "" && slices.Contains(list, word) {
			d.failf(inner, "%s stands twice", found(word))
		}
		list = append(list, word)
	}
	return list
}

func (d *decoder) metrics(n *yaml.Node, path string, v *Metrics) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "*":
		v.All = true
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		v.Names = d.list(n, path)
	default:
		d.failf(path, `%s; it must be "*" or a list of names`, describe(n))
	}
}

// accounts reads [acme, globex] or {acme: {timezone: America/New_York}}.
func (d *decoder) accounts(n *yaml.Node, path string, v *Accounts) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, name := range d.list(n, path) {
			*v = append(*v, Account{Name: name})
		}
	case yaml.MappingNode:
		d.pairs(n, path, func(name string, value *yaml.Node, path string) {
			*v = append(*v, Account{Name: name, Timezone: d.account(value, path)})
		})
	default:
		d.failf(path, "%s; it must be a list such as [acme, globex], or a map such as {acme: {timezone: America/New_York}}", describe(n))
	}
}

// account reads an account's settings and returns its time zone.
func (d *decoder) account(n *yaml.Node, path string) (zone string) {
	if n.Tag == "!!null" {
		return ""
	}
	if n.Kind != yaml.MappingNode {
		d.failf(path, "%s; it must be settings, of these: timezone", describe(n))
		return ""
	}
	d.pairs(n, path, func(key string, value *yaml.Node, inner string) {
		if key != "timezone" {
			d.unknown(path, key, []string{"timezone"})
			return
		}
		d.at[inner] = position{value.Line, value.Column}
		zone = d.text(value, inner, "a time zone such as Europe/Berlin")
	})
	return zone
}

func (d *decoder) expressions(n *yaml.Node, path string, v *map[string]string) {
	if n.Kind != yaml.MappingNode {
		d.failf(path, "%s; it must be a map of tags to expressions", describe(n))
		return
	}
	*v = map[string]string{}
	d.pairs(n, path, func(tag string, value *yaml.Node, path string) {
		(*v)[tag] = d.text(value, path, "an expression")
		if value.Kind == yaml.ScalarNode {
			d.at[path] = position{value.Line, value.Column}
		}
	})
}

func (d *decoder) lookups(n *yaml.Node, path string, v *map[string]*Lookup) {
	if n.Kind != yaml.MappingNode {
		d.failf(path, "%s; it must be a map of hosts to settings", describe(n))
		return
	}
	*v = map[string]*Lookup{}
	d.pairs(n, path, func(host string, value *yaml.Node, path string) {
		l := new(Lookup)
		d.value(value, path, reflect.ValueOf(l).Elem())
		(*v)[host] = l
	})
}

func (d *decoder) feeds(n *yaml.Node, path string, v *Feeds) {
	if n.Kind != yaml.MappingNode {
		d.failf(path, "%s; it must be a map of names to feeds, such as {tickets: {fetch: …, records: …}}", describe(n))
		return
	}
	d.pairs(n, path, func(name string, value *yaml.Node, path string) {
		f := &Feed{name: name}
		d.value(value, path, reflect.ValueOf(f).Elem())
		*v = append(*v, f)
	})
}

const maxNesting = 30 // rules within one another

func (d *decoder) rules(n *yaml.Node, path string, v *[]*Rule) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		d.failf(path, "%s; it must be a list of rules, each with object, stat or both", describe(n))
		return
	}
	if strings.Count(path, ".children") > maxNesting {
		d.failf(path, "rules stand within more than %d others", maxNesting)
		return
	}
	for i, item := range n.Content {
		rule := new(Rule)
		d.value(item, index(path, i), reflect.ValueOf(rule).Elem())
		*v = append(*v, rule)
	}
}

func (d *decoder) errorList(n *yaml.Node, path string, v *[]*ErrorRule) {
	if n.Kind != yaml.SequenceNode {
		d.failf(path, "%s; it must be a list of rules such as {path: error.code, equals: [17], then: wait}", describe(n))
		return
	}
	for i, item := range n.Content {
		rule := new(ErrorRule)
		d.value(item, index(path, i), reflect.ValueOf(rule).Elem())
		*v = append(*v, rule)
	}
}

func (d *decoder) schedules(n *yaml.Node, path string, v *[]Schedule) {
	if n.Kind != yaml.SequenceNode {
		d.failf(path, "%s; it must be a list such as [{every: 1h, mode: refresh}]", describe(n))
		return
	}
	*v = make([]Schedule, len(n.Content))
	for i, item := range n.Content {
		d.value(item, index(path, i), reflect.ValueOf(&(*v)[i]).Elem())
	}
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
