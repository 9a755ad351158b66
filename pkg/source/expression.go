package source

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// The bounds of an annotator: of its text, of the nodes that it is parsed into,
// and of what expr counts as memory while it runs.
const (
	maxExpression = 4096
	maxNodes      = 1000
	memoryBudget  = 1_000_000
)

// An annotator is one compiled expression.
type annotator struct {
	tag     string
	text    string
	program *vm.Program
	reads
}

// reads is what an expression names; of each name, where it first does.
type reads struct {
	fields  map[string]file.Location // of the object itself
	parents map[string]file.Location // types given to parent()
	tables  map[string]file.Location // names given to lookup()
	asks    bool                     // it calls http()
	helpers map[string]helper        // that it calls
}

// A spot is a mistake within an expression.
type spot struct {
	at      file.Location
	message string
}

// own are the fields that every object has. An attribute of the same name is
// not visible to annotators.
var own = []string{"key", "name", "type"}

// survey collects what an expression reads, and what it must not.
type survey struct {
	reads
	source   *Source
	patterns map[string]*regexp.Regexp        // that capture() is given
	loose    map[ast.Node]*ast.IdentifierNode // names that are not called
	locals   map[string]bool                  // names that let declares
	spots    []spot
}

func (c *survey) fail(n ast.Node, format string, args ...any) {
	c.spots = append(c.spots, spot{n.Location(), fmt.Sprintf(format, args...)})
}

// Visit implements ast.Visitor; a node comes after those within it.
func (c *survey) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		c.loose[n] = n
	case *ast.VariableDeclaratorNode:
		c.locals[n.Name] = true
	case *ast.BuiltinNode:
		if n.Name == "now" {
			c.fail(n, "now() is not allowed: a tag is worked out again when the object changes, not when time passes")
		}
	case *ast.BinaryNode:
		if n.Operator == "matches" {
			if _, err := checkPattern("matches", n.Right); err != nil {
				c.fail(n, "%v", err)
			}
		}
	case *ast.CallNode:
		c.call(n)
	case *ast.MemberNode:
		c.member(n)
	}
}

// call notes what parent() and lookup() are given.
func (c *survey) call(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return // a method of a value, such as a date's Year()
	}
	delete(c.loose, n.Callee)
	switch callee.Value {
	case "parent":
		c.name(n, 1, c.parents, `parent("campaign")`)
	case "lookup":
		c.name(n, 2, c.tables, `lookup("markets", name)`)
	case "http":
		if c.asks = true; len(n.Arguments) != 1 {
			c.fail(n, `it must be written as http("https://api.example.com/?name=" + urlEscape(name))`)
		}
	case "now":
		c.fail(n, "now() takes no arguments, and is not allowed here")
	default:
		if _, is := helpers[callee.Value]; is {
			c.helper(n, callee.Value)
			return
		}
		c.fail(n, "there is no function %s", found(callee.Value))
	}
}

// name notes the first argument of a call, which must be a name in quotes.
func (c *survey) name(n *ast.CallNode, arguments int, names map[string]file.Location, example string) {
	if len(n.Arguments) == arguments {
		if s, ok := n.Arguments[0].(*ast.StringNode); ok && namePattern.MatchString(s.Value) {
			if _, seen := names[s.Value]; !seen {
				names[s.Value] = n.Arguments[0].Location()
			}
			return
		}
	}
	c.fail(n, "it must be written as %s, with a name in quotes", example)
}

// member checks a field of parent("campaign").
func (c *survey) member(n *ast.MemberNode) {
	t := c.source.byName[parentOf(n.Node)]
	field, ok := n.Property.(*ast.StringNode)
	if t == nil || !ok || slices.Contains(own, field.Value) || slices.Contains(t.Attributes, field.Value) {
		return
	}
	c.fail(n.Property, "%s has no attribute %s; %s", t.Name, found(field.Value), oneOf(field.Value, visible(t)))
}

// parentOf returns X when n is the call parent("X").
func parentOf(n ast.Node) string {
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return ""
	}
	callee, ok := call.Callee.(*ast.IdentifierNode)
	name, quoted := call.Arguments[0].(*ast.StringNode)
	if !ok || !quoted || callee.Value != "parent" {
		return ""
	}
	return name.Value
}

// visible is what annotators see of an object of type t.
func visible(t *Type) []string { return unique(slices.Concat(own, t.Attributes)) }

// read surveys an expression.
func (s *Source) read(text string) (*survey, []spot) {
	if len(text) > maxExpression {
		return nil, []spot{{message: fmt.Sprintf("the expression has %d bytes; at most %d are allowed", len(text), maxExpression)}}
	}
	config := conf.CreateNew()
	config.MaxNodes = maxNodes
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		return nil, []spot{spotOf(err)}
	}
	c := &survey{
		reads: reads{
			fields: map[string]file.Location{}, parents: map[string]file.Location{}, tables: map[string]file.Location{}, helpers: map[string]helper{},
		},
		source: s, patterns: map[string]*regexp.Regexp{}, loose: map[ast.Node]*ast.IdentifierNode{}, locals: map[string]bool{},
	}
	ast.Walk(&tree.Node, c)
	c.settle()
	return c, c.spots
}

// settle turns the loose names into fields.
func (c *survey) settle() {
	for _, n := range c.loose {
		if n.Value == "$env" {
			c.fail(n, "$env is not supported; name the attribute itself")
		}
		at, seen := c.fields[n.Value]
		if !c.locals[n.Value] && (!seen || n.Location().From < at.From) {
			c.fields[n.Value] = n.Location()
		}
	}
}

// spotOf takes the place and the message out of expr's error.
func spotOf(err error) spot {
	if e, ok := errors.AsType[*file.Error](err); ok {
		return spot{e.Location, e.Message}
	}
	return spot{message: err.Error()}
}

// place writes where in the expression a spot is.
func (p spot) place(text string) string {
	runes := []rune(text)
	before := string(runes[:min(p.at.From, len(runes))])
	line := strings.LastIndexByte(before, '\n') + 1
	return fmt.Sprintf("at %d:%d of the expression", 1+strings.Count(before, "\n"), 1+utf8.RuneCountInString(before[line:]))
}

// compile makes a program of an expression that has been read.
func (s *Source) compile(text string, r reads, tables map[string]table) (*vm.Program, []spot) {
	scope := types.Map{}
	for field := range r.fields {
		scope[field] = types.Any
	}
	for _, field := range own {
		scope[field] = types.String
	}
	for name := range r.parents {
		fields := types.Map{}
		for _, field := range s.byName[name].Attributes {
			fields[field] = types.Any
		}
		for _, field := range own {
			fields[field] = types.String
		}
		scope[parentName(name)] = fields
	}
	scope[asked] = meterType
	options := append(helperOptions(r.helpers),
		expr.Env(scope), expr.MaxNodes(maxNodes), expr.DisableBuiltin("now"), expr.Patch(parentPatch{}), expr.Patch(askPatch{}),
		expr.Function("lookup", lookup(tables), new(func(string, any) any)),
	)
	if _, err := expr.Compile(text, options...); err != nil { // as it was written: what is counted has no type
		return nil, []spot{spotOf(err)}
	}
	scope[counted], scope[short] = meterType, meterType
	options = append(append(options, expr.MaxNodes(4*maxNodes), expr.Patch(limitPatch{})), bounded()...)
	program, err := expr.Compile(text, options...)
	if err != nil {
		return nil, []spot{spotOf(err)}
	}
	return program, nil
}

// asked is the function that answers http() during a run; no attribute can be
// called so.
const asked = "the asked"

// askPatch puts it in the place of http().
type askPatch struct{}

func (askPatch) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.CallNode); ok {
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "http" {
			ast.Patch(node, call(asked, n.Arguments[0]))
		}
	}
}

// parentName is what an ancestor is called in the scope of an expression; no
// attribute can be called so.
func parentName(typ string) string { return "parent " + typ }

// parentPatch puts the ancestor itself in the place of parent("campaign").
type parentPatch struct{}

func (parentPatch) Visit(node *ast.Node) {
	if name := parentOf(*node); name != "" {
		ast.Patch(node, &ast.IdentifierNode{Value: parentName(name)})
	}
}
