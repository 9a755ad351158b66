package source

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
)

const maxBounds = 100 // of buckets

type helper = func(args ...any) (any, error)

// helpers are the functions that annotators have besides expr's own. What they
// are given must be of the right kind; nil gives nil.
var helpers = map[string]struct {
	do        helper // nil: it depends on the expression
	signature any
	example   string
	arguments int
}{
	"capture":   {nil, new(func(any, string, int) any), `capture(name, "(\\d+)", 1)`, 3},
	"bucket":    {bucket, new(func(any, []any) any), `bucket(budget, [10, 100])`, 2},
	"urlParts":  {urlParts, new(func(any) any), `urlParts(url)`, 1},
	"urlEscape": {urlEscape, new(func(any) any), `urlEscape(name)`, 1},
}

// helper notes that an expression calls one of them.
func (c *survey) helper(n *ast.CallNode, name string) {
	h := helpers[name]
	if len(n.Arguments) != h.arguments {
		c.fail(n, "it must be written as %s", h.example)
		return
	}
	c.helpers[name] = h.do
	if name == "capture" {
		pattern, err := checkPattern(name, n.Arguments[1])
		if err != nil {
			c.fail(n, "%v", err)
			return
		}
		c.patterns[pattern] = regexp.MustCompile(pattern)
		c.helpers[name] = c.capture
	}
}

// helperOptions are those that an expression calls. An attribute may be called as
// one that it does not.
func helperOptions(called map[string]helper) (options []expr.Option) {
	for name, do := range called {
		options = append(options, expr.Function(name, do, helpers[name].signature))
	}
	return options
}

// capture gives what a group of a regular expression found; 0 is all of it.
func (c *survey) capture(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("capture is given a %T; it must be a text", args[0])
	}
	if len(text) > maxMatched {
		return nil, fmt.Errorf("capture is given a text of %d bytes; at most %d are allowed", len(text), maxMatched)
	}
	pattern, group := c.patterns[args[1].(string)], args[2].(int)
	if group < 0 || group > pattern.NumSubexp() {
		return nil, fmt.Errorf("capture asks for group %d; the pattern has %d", group, pattern.NumSubexp())
	}
	found := pattern.FindStringSubmatchIndex(text)
	if found == nil || found[2*group] < 0 {
		return nil, nil
	}
	return text[found[2*group]:found[2*group+1]], nil
}

// bucket names the range that a number lies in: <10, 10-100, 100+. A bound is of
// the range that it begins.
func bucket(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	n, ok := numberOf(args[0])
	if !ok {
		return nil, fmt.Errorf("bucket is given a %T; it must be a number", args[0])
	}
	bounds, ok := boundsOf(args[1].([]any))
	if !ok {
		return nil, fmt.Errorf("bucket is given %v as bounds; they must be 1 to %d numbers, each larger than the one before", args[1], maxBounds)
	}
	label := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	if n < bounds[0] {
		return "<" + label(bounds[0]), nil
	}
	for i := 1; i < len(bounds); i++ {
		if n < bounds[i] {
			return label(bounds[i-1]) + "-" + label(bounds[i]), nil
		}
	}
	return label(bounds[len(bounds)-1]) + "+", nil
}

func numberOf(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func boundsOf(list []any) (bounds []float64, ok bool) {
	for i, v := range list {
		bound, is := numberOf(v)
		if !is || i > 0 && bound <= bounds[i-1] {
			return nil, false
		}
		bounds = append(bounds, bound)
	}
	return bounds, len(bounds) > 0 && len(bounds) <= maxBounds
}

// urlParts takes an address apart; what is none gives nil. Of a parameter that
// stands several times the first is in query.
func urlParts(args ...any) (any, error) {
	text, err := textOrNil("urlParts", args[0])
	if text == nil || err != nil {
		return nil, err
	}
	u, err := url.Parse(*text)
	if err != nil {
		return nil, nil //nolint:nilerr // sources hold addresses that are none
	}
	query := map[string]any{}
	for name, values := range u.Query() {
		query[name] = values[0]
	}
	return map[string]any{
		"scheme": u.Scheme, "host": u.Hostname(), "port": u.Port(), "path": u.Path, "query": query, "fragment": u.Fragment,
	}, nil
}

// urlEscape writes a text or number as a parameter of an address holds it.
func urlEscape(args ...any) (any, error) {
	if n, ok := numberOf(args[0]); ok {
		return strconv.FormatFloat(n, 'f', -1, 64), nil
	}
	text, err := textOrNil("urlEscape", args[0])
	if text == nil || err != nil {
		return nil, err
	}
	return url.QueryEscape(*text), nil
}

func textOrNil(function string, v any) (*string, error) {
	if v == nil {
		return nil, nil
	}
	text, ok := v.(string)
	if !ok || len(text) > maxMatched {
		return nil, fmt.Errorf("%s is given %.50q; it must be a text of at most %d bytes", function, fmt.Sprint(v), maxMatched)
	}
	return &text, nil
}
