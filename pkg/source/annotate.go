package source

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/vm"
)

// An Object is what annotators see of one object.
type Object struct {
	Type, Key string
	Name      string         // empty: the key
	Attrs     map[string]any // as JSON is decoded with UseNumber
	Parents   []Object       // the nearest first; their own Parents are not read
}

// Annotates reports whether any annotator applies to objects of a type.
func (s *Source) Annotates(typ string) bool { return s.annotators[typ] != nil }

// Asks reports whether an annotator of a type calls http().
func (s *Source) Asks(typ string) bool { return s.Annotates(typ) && s.annotators[typ].asks }

// TagsOf returns the tags that objects of a type can have, in the order of their names.
func (s *Source) TagsOf(typ string) []string {
	var tags []string
	if of := s.annotators[typ]; of != nil {
		for _, a := range of.list {
			tags = append(tags, a.tag)
		}
	}
	return tags
}

// LooksUp returns the types, in the file's order, with an annotator that reads
// the object of type typ above them: whose tags may change when it does.
func (s *Source) LooksUp(typ string) []string {
	var names []string
	for _, t := range s.types {
		if of := s.annotators[t.Name]; of != nil && slices.Contains(of.parents, typ) {
			names = append(names, t.Name)
		}
	}
	return names
}

// Annotate runs all annotators that apply to an object. A tag whose expression
// gives nil is in neither map; one whose expression fails is in failed only.
// What http() gives is known by its address: for another one the tag fails with
// *Unasked, for one with an error by that.
// Values are JSON's: nil (within lists and maps), bool, string, int, float64, []any, map[string]any.
// It may be called from several goroutines.
func (s *Source) Annotate(o Object, known map[string]Reply) (tags map[string]any, failed map[string]error) {
	tags, failed = map[string]any{}, map[string]error{}
	of := s.annotators[o.Type]
	if of == nil {
		return tags, failed
	}
	scope := s.scope(o, of.parents)
	for _, a := range of.list {
		value, err := a.run(scope, known)
		if err != nil {
			failed[a.tag] = err
		} else if value != nil {
			tags[a.tag] = value
		}
	}
	return tags, failed
}

// run evaluates one annotator.
func (a *annotator) run(scope map[string]any, known map[string]Reply) (any, error) {
	for name := range a.parents {
		if scope[parentName(name)] == nil {
			return nil, fmt.Errorf("the object has no %s above it", name)
		}
	}
	if err := a.tooLong(scope); err != nil {
		return nil, err
	}
	new(meter).in(scope)
	asking := asking{known: known}
	scope[asked] = asking.ask
	machine := vm.VM{MemoryBudget: memoryBudget}
	value, err := machine.Run(a.program, scope)
	if asking.err != nil {
		return nil, asking.err
	}
	if err != nil {
		p := spotOf(err)
		return nil, fmt.Errorf("%s: %s", p.place(a.text), p.message)
	}
	return plain(value, 0)
}

// scope is what the expressions of a type can name.
func (s *Source) scope(o Object, parents []string) map[string]any {
	scope := s.fields(o)
	for _, p := range o.Parents {
		if slices.Contains(parents, p.Type) {
			scope[parentName(p.Type)] = s.fields(p)
		}
	}
	return scope
}

func (s *Source) fields(o Object) map[string]any {
	fields := map[string]any{}
	if t := s.byName[o.Type]; t != nil {
		for _, name := range t.Attributes {
			fields[name] = fromJSON(o.Attrs[name])
		}
	}
	fields["type"], fields["key"], fields["name"] = o.Type, o.Key, o.Name
	if o.Name == "" {
		fields["name"] = o.Key
	}
	return fields
}

// fromJSON makes numbers of json.Number: an int where it is a whole number that
// fits, else a float64.
func fromJSON(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64()
		return f
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = fromJSON(v[i])
		}
		return list
	case map[string]any:
		fields := make(map[string]any, len(v))
		for name := range v {
			fields[name] = fromJSON(v[name])
		}
		return fields
	default:
		return v
	}
}

const maxTagDepth = 20 // lists and maps within one another

// plain returns a tag's value as JSON has it, or an error that says what JSON
// (or PostgreSQL's jsonb) cannot hold.
func plain(v any, depth int) (any, error) {
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		return tagText(v)
	case time.Duration, []byte:
		return nil, fmt.Errorf("gives a %T, which is no JSON value", v)
	}
	r := reflect.ValueOf(v)
	switch {
	case depth > maxTagDepth:
		return nil, fmt.Errorf("gives a value of more than %d levels", maxTagDepth)
	case r.CanInt():
		return int(r.Int()), nil
	case r.CanUint() && r.Uint() <= math.MaxInt64:
		return int(r.Uint()), nil
	case r.CanFloat():
		return tagNumber(r.Float())
	case r.Kind() == reflect.Slice || r.Kind() == reflect.Array:
		return tagList(r, depth)
	case r.Kind() == reflect.Map && r.Type().Key().Kind() == reflect.String:
		return tagMap(r, depth)
	}
	return nil, fmt.Errorf("gives a %T, which is no JSON value", v)
}

func tagText(s string) (any, error) {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return nil, fmt.Errorf("gives text that is not UTF-8, or has a NUL in it: %s", found(s))
	}
	return s, nil
}

func tagNumber(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("gives %v, which is no JSON number", f)
	}
	return f, nil
}

func tagList(r reflect.Value, depth int) (any, error) {
	out := make([]any, r.Len())
	for i := range out {
		v, err := plain(r.Index(i).Interface(), depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func tagMap(r reflect.Value, depth int) (any, error) {
	out := make(map[string]any, r.Len())
	for _, key := range r.MapKeys() {
		v, err := plain(r.MapIndex(key).Interface(), depth+1)
		if err == nil {
			_, err = tagText(key.String())
		}
		if err != nil {
			return nil, err
		}
		out[key.String()] = v
	}
	return out, nil
}

// Inputs returns a hash of 16 bytes over everything that can change what
// Annotate says of an object: the object's own fields, those of the ancestors
// that its type's annotators name, the tables they look up, and the expressions.
// It is nil when no annotator applies to the type.
func (s *Source) Inputs(o Object) []byte {
	of := s.annotators[o.Type]
	if of == nil {
		return nil
	}
	b := append([]byte("leat.inputs.v1"), of.rules[:]...)
	b = s.appendObject(b, o)
	for _, name := range of.parents {
		i := slices.IndexFunc(o.Parents, func(p Object) bool { return p.Type == name })
		if i >= 0 {
			b = s.appendObject(append(b, 1), o.Parents[i])
		} else {
			b = append(b, 0)
		}
	}
	sum := sha256.Sum256(b)
	return sum[:16]
}

// appendObject writes what annotators see of one object.
func (s *Source) appendObject(b []byte, o Object) []byte {
	fields := s.fields(o)
	for _, name := range sortedKeys(fields) {
		value, err := json.Marshal(fields[name])
		if err != nil {
			value = fmt.Append(nil, fields[name]) // not JSON's; equal values still have equal text
		}
		b = appendText(b, name)
		b = appendText(b, string(value))
	}
	return binary.BigEndian.AppendUint32(b, uint32(len(fields)))
}

// appendText writes text after its length, so that none can pass for part of another.
func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}
