package source

import (
	"fmt"
	"reflect"
	regex "regexp/syntax"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/types"
)

// What one run of an expression may do. The limits count work and not time, so
// that the same object has the same tags on every machine, however busy.
const (
	maxSteps    = 100_000 // iterations of all loops, and hundreds of bytes or elements of what is built
	maxElements = 10_000  // of a list that is read or built
	maxBuilt    = 1 << 20 // bytes of a text that is built
	maxMatched  = 1 << 16 // bytes of a text that matches is asked of
	maxPattern  = 1000    // instructions of a regular expression: a step of one looks at all of them
)

// The functions that limitPatch puts around parts of an expression. No attribute
// can be called so.
const (
	counted = "the counted"
	short   = "the short"
)

// A meter counts the steps of one run.
type meter struct{ steps int }

// in puts the functions of limitPatch into a scope.
func (m *meter) in(scope map[string]any) {
	scope[counted] = m.counted
	scope[short] = shortText
}

var meterType = types.TypeOf(func(...any) any { return nil })

// counted returns what a part of an expression gives, and panics, which expr
// makes an error, when it is too much.
func (m *meter) counted(args ...any) any {
	value := args[0]
	m.steps++
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.String:
		if v.Len() > maxBuilt {
			panic(fmt.Errorf("a text of %d bytes is built; at most %d are allowed", v.Len(), maxBuilt))
		}
		m.steps += v.Len() / 100
	case reflect.Slice, reflect.Array, reflect.Map:
		if v.Len() > maxElements {
			panic(fmt.Errorf("a list of %d elements is built; at most %d are allowed", v.Len(), maxElements))
		}
		m.steps += v.Len() / 100
	}
	if m.steps > maxSteps {
		panic(fmt.Errorf("it takes more than %d steps: a loop within a loop, over long lists?", maxSteps))
	}
	return value
}

func shortText(args ...any) any {
	if text, ok := args[0].(string); ok && len(text) > maxMatched {
		panic(fmt.Errorf("matches is asked of a text of %d bytes; at most %d are allowed", len(text), maxMatched))
	}
	return args[0]
}

// limitPatch has every iteration, and all that is built, counted.
type limitPatch struct{}

func (limitPatch) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		n.Node = call(counted, n.Node)
	case *ast.BuiltinNode:
		ast.Patch(node, call(counted, n))
	case *ast.BinaryNode:
		limitBinary(node, n)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && helpers[callee.Value].signature != nil {
			ast.Patch(node, call(counted, n))
		}
	}
}

func limitBinary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "+", "..":
		ast.Patch(node, call(counted, n))
	case "matches":
		n.Left = call(short, n.Left)
	case "in": // of a range that is only compared with nothing is built
		if around, ok := n.Right.(*ast.CallNode); ok {
			if within, ok := around.Arguments[0].(*ast.BinaryNode); ok && within.Operator == ".." {
				n.Right = within
			}
		}
	}
}

func call(name string, n ast.Node) ast.Node {
	c := &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: []ast.Node{n}}
	c.SetLocation(n.Location())
	return c
}

// bounded are expr's functions that make much of little, with a look at how much
// before they do.
func bounded() []expr.Option {
	var options []expr.Option
	for name, size := range map[string]func(args []any) (int, bool){
		"repeat": func(args []any) (int, bool) {
			text, isText := args[0].(string)
			n, isNumber := args[1].(int)
			return saturated(len(text), n), isText && isNumber
		},
		"replace": func(args []any) (int, bool) {
			text, isText := args[0].(string)
			old, isOld := args[1].(string)
			with, isWith := args[2].(string)
			return len(text) + saturated(strings.Count(text, old), len(with)), isText && isOld && isWith
		},
		"join": func(args []any) (int, bool) {
			list := reflect.ValueOf(args[0])
			glue := ""
			if len(args) == 2 {
				glue, _ = args[1].(string)
			}
			return saturated(list.Len(), len(glue)), list.Kind() == reflect.Slice
		},
	} {
		of := builtin.Builtins[builtin.Index[name]]
		do := func(args ...any) (any, error) {
			n, known := size(args)
			if known && n > maxBuilt {
				return nil, fmt.Errorf("%s builds a text of %d bytes; at most %d are allowed", name, n, maxBuilt)
			}
			if of.Safe != nil {
				value, _, err := of.Safe(args...)
				return value, err
			}
			return of.Func(args...)
		}
		signatures := make([]any, len(of.Types))
		for i, t := range of.Types {
			signatures[i] = reflect.New(t).Interface()
		}
		options = append(options, expr.Function(name, do, signatures...))
	}
	return options
}

// saturated is a times b, or more than is ever allowed.
func saturated(a, b int) int {
	if a > 0 && b > maxBuilt/a {
		return maxBuilt + 1
	}
	return a * b
}

// checkPattern returns a regular expression, or what is wrong with it: it must be known
// when the file is read, and small, since what a match costs is its size times
// the text's.
func checkPattern(function string, n ast.Node) (string, error) {
	pattern, ok := n.(*ast.StringNode)
	if !ok {
		return "", fmt.Errorf("the regular expression of %s must be a text in quotes", function)
	}
	parsed, err := regex.Parse(pattern.Value, regex.Perl)
	if err != nil {
		return "", err
	}
	program, err := regex.Compile(parsed.Simplify())
	if err == nil && len(program.Inst) > maxPattern {
		return "", fmt.Errorf("the regular expression has %d instructions; at most %d are allowed: are there large numbers in braces?", len(program.Inst), maxPattern)
	}
	return pattern.Value, err
}

// tooLong says which attribute that an expression reads has too many elements for it.
func (a *annotator) tooLong(scope map[string]any) error {
	for name := range a.fields {
		if n := elementsOf(scope[name]); n > maxElements {
			return fmt.Errorf("%s has %d elements; annotators read at most %d", name, n, maxElements)
		}
	}
	for name := range a.parents {
		if n := elementsOf(scope[parentName(name)]); n > maxElements {
			return fmt.Errorf("%s has %d elements; annotators read at most %d", name, n, maxElements)
		}
	}
	return nil
}

// elementsOf counts those of lists and maps, however deep.
func elementsOf(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		n = len(v)
		for _, e := range v {
			n += elementsOf(e)
		}
	case map[string]any:
		n = len(v)
		for _, e := range v {
			n += elementsOf(e)
		}
	}
	return n
}
