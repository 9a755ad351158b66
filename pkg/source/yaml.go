package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const maxText = 1 << 20 // bytes of a source file

// decoder reads YAML into the structs of this package, and goes on after a
// mistake so that all of them can be told at once.
type decoder struct {
	problems Problems
	at       map[string]position // of each setting by its path
	meant    []string            // settings that a misspelt key was probably for
}

type position struct{ line, column int }

// decode reads text into s.
func (d *decoder) decode(text []byte, s *Source) {
	root, err := document(text)
	if err != nil {
		d.problems = append(d.problems, err)
		return
	}
	d.at[""] = position{root.Line, root.Column}
	d.value(root, "", reflect.ValueOf(s).Elem())
}

// document returns the one YAML document that text is.
func document(text []byte) (*yaml.Node, *Problem) {
	switch {
	case len(text) > maxText:
		return nil, &Problem{Message: fmt.Sprintf("the file has %d bytes; at most %d are allowed", len(text), maxText)}
	case !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0:
		return nil, &Problem{Message: "the file is not UTF-8 text"}
	}
	var doc, second yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	if err := in.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, &Problem{Message: "the file is empty"}
	} else if err != nil {
		return nil, syntax(err)
	}
	if err := in.Decode(&second); err == nil {
		return nil, &Problem{Line: second.Line, Column: second.Column, Message: "a second document begins here; a file describes one source"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntax(err)
	}
	if len(doc.Content) == 0 {
		return nil, &Problem{Message: "the file is empty"}
	}
	return doc.Content[0], nil
}

// syntax makes a Problem of the YAML parser's error, which has its line in the
// text only.
func syntax(err error) *Problem {
	p := &Problem{Message: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	if _, scan := fmt.Sscanf(err.Error(), "yaml: line %d:", &p.Line); scan == nil {
		p.Column = 1
		_, p.Message, _ = strings.Cut(err.Error(), fmt.Sprintf("line %d: ", p.Line))
		p.Message = "not YAML: " + p.Message
	}
	return p
}

// failf notes a problem of the setting at path; where the file does not have it,
// it is shown where the nearest setting around it stands.
func (d *decoder) failf(path, format string, args ...any) {
	at, outer := d.at[path], path
	for at.line == 0 && outer != "" {
		outer = around(outer)
		at = d.at[outer]
	}
	d.fail(at, path, fmt.Sprintf(format, args...))
}

func (d *decoder) fail(at position, path, message string) {
	d.problems = append(d.problems, &Problem{Line: at.line, Column: at.column, Path: path, Message: message})
}

// around returns the path of what a setting stands in.
func around(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// value reads one node into v.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	d.at[path] = position{n.Line, n.Column}
	if n.Kind == yaml.AliasNode {
		d.failf(path, "*%s: aliases are not supported; write it out", n.Value)
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if !d.scalar(n, path, v.Addr().Interface()) && !d.collection(n, path, v.Addr().Interface()) {
		d.structure(n, path, v)
	}
}

// structure reads a mapping into a struct by its yaml tags.
func (d *decoder) structure(n *yaml.Node, path string, v reflect.Value) {
	fields, names := map[string]int{}, []string(nil)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			fields[name], names = i, append(names, name)
		}
	}
	if n.Kind != yaml.MappingNode {
		d.failf(path, "%s; it must be settings, of these: %s", describe(n), strings.Join(names, ", "))
		return
	}
	d.pairs(n, path, func(key string, value *yaml.Node, inner string) {
		if i, ok := fields[key]; ok {
			d.value(value, inner, v.Field(i))
			return
		}
		d.unknown(path, key, names)
	})
}

// pairs calls do for each key of a mapping that is a word and was not there
// before. The path's position is the key's until do sets it.
func (d *decoder) pairs(n *yaml.Node, path string, do func(key string, value *yaml.Node, path string)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		inner := join(path, key.Value)
		switch line, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			d.fail(position{key.Line, key.Column}, path, describe(key)+"; a key must be a plain word")
		case twice:
			d.at[inner] = position{key.Line, key.Column}
			d.failf(inner, "stands twice, first in line %d", line)
		default:
			seen[key.Value] = key.Line
			d.at[inner] = position{key.Line, key.Column}
			do(key.Value, value, inner)
		}
	}
}

// unknown notes a key of parent that no setting has.
func (d *decoder) unknown(parent, key string, names []string) {
	if near := nearest(key, names); near != "" {
		d.meant = append(d.meant, join(parent, near))
	}
	d.failf(join(parent, key), "unknown key; %s", oneOf(key, names))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe says what stands at a node.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "found a map"
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		return "found an empty list"
	case n.Kind == yaml.SequenceNode:
		return "found a list"
	case n.Kind == yaml.AliasNode:
		return "found an alias"
	case n.Tag == "!!null":
		return "found nothing"
	default:
		return "found " + found(n.Value)
	}
}
