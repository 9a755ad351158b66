package source

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/file"
)

// annotators are those of one type.
type annotators struct {
	list    []*annotator // by tag
	parents []string     // the ancestors that they name, sorted
	rules   [32]byte     // hash of the expressions and of the tables that they look up
	asks    bool         // one of them calls http()
}

// annotate compiles the annotators and finds out which types each applies to.
func (v *validator) annotate(read tableReader) {
	v.annotators = map[string]*annotators{}
	tables := map[string]table{}
	for _, tag := range sortedKeys(v.Tags) {
		path := join("annotate", tag)
		v.name(path, tag)
		a, spots := v.annotator(tag, tables, read)
		for _, p := range spots {
			v.failf(path, "%s: %s", p.place(v.Tags[tag]), p.message)
		}
		if len(spots) > 0 {
			continue
		}
		for _, t := range v.applies(a.reads) {
			v.attach(t, a)
		}
	}
	asks := false
	for _, of := range v.annotators {
		of.rules = v.ruleHash(of.list)
		asks = asks || of.asks
	}
	if len(v.Lookups) > 0 && !asks {
		v.failf("lookups", "has no use: no annotator asks http()")
	}
}

func (v *validator) attach(t *Type, a *annotator) {
	of := v.annotators[t.Name]
	if of == nil {
		of = &annotators{}
		v.annotators[t.Name] = of
	}
	of.list = append(of.list, a)
	of.asks = of.asks || a.asks
	of.parents = unique(slices.AppendSeq(of.parents, maps.Keys(a.parents)))
}

// annotator compiles one expression. A panic of the library is a mistake in the
// expression too: no file may end a daemon.
func (v *validator) annotator(tag string, tables map[string]table, read tableReader) (a *annotator, spots []spot) {
	defer func() {
		if r := recover(); r != nil {
			spots = []spot{{message: fmt.Sprintf("it cannot be compiled: %v", r)}}
		}
	}()
	text := v.Tags[tag]
	c, spots := v.read(text)
	if len(spots) > 0 {
		return nil, spots
	}
	if spots := append(v.missing(c.reads), v.tables(c.reads, tables, read)...); len(spots) > 0 {
		return nil, spots
	}
	program, spots := v.compile(text, c.reads, tables)
	if len(spots) > 0 {
		return nil, spots
	}
	return &annotator{tag: tag, text: text, program: program, reads: c.reads}, nil
}

// tables reads the tables that an expression looks up.
func (v *validator) tables(r reads, tables map[string]table, read tableReader) (spots []spot) {
	for _, name := range sortedKeys(r.tables) {
		if tables[name] != nil {
			continue
		}
		rows, err := v.table(name, read)
		if err != nil {
			spots = append(spots, spot{r.tables[name], err.Error()})
			continue
		}
		tables[name] = rows
	}
	return spots
}

// applies returns the types that have every attribute which is named, and every
// ancestor.
func (s *Source) applies(r reads) []*Type {
	var list []*Type
	for _, t := range s.types {
		above := s.above(t)
		has := func(field string) bool { return slices.Contains(own, field) || slices.Contains(t.Attributes, field) }
		below := func(name string) bool {
			return slices.ContainsFunc(above, func(p *Type) bool { return p.Name == name })
		}
		if every(r.fields, has) && every(r.parents, below) {
			list = append(list, t)
		}
	}
	return list
}

func every(names map[string]file.Location, ok func(string) bool) bool {
	for name := range names {
		if !ok(name) {
			return false
		}
	}
	return true
}

// missing says why no type has all that an expression names; nil when one has.
func (s *Source) missing(r reads) []spot {
	var spots []spot
	attributes := slices.Clone(own)
	for _, t := range s.types {
		attributes = append(attributes, t.Attributes...)
	}
	for _, name := range sortedKeys(r.fields) {
		if !slices.Contains(attributes, name) {
			spots = append(spots, spot{r.fields[name], fmt.Sprintf("no type has an attribute %s; %s", found(name), oneOf(name, unique(attributes)))})
		}
	}
	for _, name := range sortedKeys(r.parents) {
		if s.byName[name] == nil {
			spots = append(spots, spot{r.parents[name], fmt.Sprintf("there is no type %s; %s", found(name), oneOf(name, s.typeNames()))})
		}
	}
	if len(spots) == 0 && len(s.applies(r)) == 0 {
		spots = append(spots, spot{message: "no type has all that it names: " + strings.Join(s.needs(r), ", ")})
	}
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Compare(a.at.From, b.at.From) })
	return spots
}

// needs lists what an expression names, and which types have it.
func (s *Source) needs(r reads) []string {
	var list []string
	for _, name := range sortedKeys(r.fields) {
		if !slices.Contains(own, name) {
			list = append(list, fmt.Sprintf("%s (of %s)", name, s.typesWith(reads{fields: map[string]file.Location{name: {}}})))
		}
	}
	for _, name := range sortedKeys(r.parents) {
		list = append(list, fmt.Sprintf("parent(%q) (of %s)", name, s.typesWith(reads{parents: map[string]file.Location{name: {}}})))
	}
	return list
}

func (s *Source) typesWith(r reads) string {
	var names []string
	for _, t := range s.applies(r) {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return "no type"
	}
	return strings.Join(names, " and ")
}

// ruleHash covers the expressions of a type and the tables that they look up.
func (s *Source) ruleHash(list []*annotator) [32]byte {
	var b []byte
	for _, a := range list {
		b = appendText(b, a.tag)
		b = appendText(b, a.text)
		for _, name := range sortedKeys(a.tables) {
			b = appendText(b, name)
			b = appendText(b, string(s.Tables[name]))
		}
	}
	return sha256.Sum256(b)
}
