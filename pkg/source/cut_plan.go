package source

import (
	"fmt"
	"slices"
	"strings"
)

// A level is the rules for the elements of one array, or for the rows of a flat
// answer, with the fields that they read. It holds what was read of one element.
type level struct {
	rules []*rulePlan
	below *branch // the arrays within an element; nil: none
	slots map[string]int
	names []string // of the fields, by slot
	all   bool     // a rule takes every number that no rule names
	fieldTable
	row
	nodes []*node // what the element in hand is, by rule; nil where it was refused
}

// A branch is a name on the way to an array below.
type branch struct {
	next  map[string]*branch
	level *level // nil: the array is further down
	times int    // how often the name was there within element owner
	owner int
}

// A rulePlan is a rule made ready for one level.
type rulePlan struct {
	rule   *Rule
	label  string // what a reject calls it
	outer  int    // the rule above, in the level above; -1: none, or it is in this level
	inner  int    // the rule above, in this level; -1: none
	object *objectPlan
	stat   *statPlan
}

type objectPlan struct {
	typ        string
	key        *textPlan
	name       *textPlan // nil: the key
	attributes []field   // sorted by name
	parent     *parentPlan
	last       *node // of the row before: rows of one object follow one another
	fields     glimpse
}

type parentPlan struct {
	typ       string
	key       *textPlan
	described bool // by a rule; else to be named is all that it ever is
	last      *node
}

type statPlan struct {
	rule       *StatRule
	day        field
	hour       field // slot -1: of the moment
	dimensions []field
	metrics    []field
	id         *textPlan // nil: the answer's hash and the position
	numbered   bool      // the level has several stat rules: position alone names no event
}

// A field is a field of the element, and where its value is put.
type field struct {
	name string
	slot int
}

// A textPlan is a template made ready for one level.
type textPlan struct {
	text  string // the template as written
	parts []textPart
}

type textPart struct {
	piece
	slot int
}

// slots appends the places of the fields that the text reads.
func (t *textPlan) slots(slots []int) []int {
	for _, p := range t.parts {
		if p.slot >= 0 {
			slots = append(slots, p.slot)
		}
	}
	return slots
}

// planner compiles the rules of one source.
type planner struct{ described map[string]bool }

// plan compiles the rules. The level that it returns is the answer's own: the
// elements of an array at the top, the rows, or the one object that the answer is.
func (s *Source) plan() (*level, error) {
	p := planner{described: map[string]bool{}}
	p.describe(s.Records)
	root := newLevel()
	if err := p.add(root, nil, s.Records, nil); err != nil {
		return nil, fmt.Errorf("source %s: %w", s.Name, err)
	}
	root.finish()
	return root, nil
}

func (p planner) describe(rules []*Rule) {
	for _, r := range rules {
		if r.Object != nil {
			p.described[r.Object.Type] = true
		}
		p.describe(r.Children)
	}
}

func newLevel() *level { return &level{slots: map[string]int{}} }

// above is where the rules of a level hang: a rule of the level over it, or of
// the same level.
type above struct {
	level *level
	rule  int
}

// add compiles rules that are written below a rule (nil: at the top) of level l.
func (p planner) add(l *level, over *above, rules []*Rule, path []string) error {
	for _, r := range rules {
		target := l
		if r.Each != "" {
			target = l.reach(strings.Split(r.Each, "."))
		}
		plan, err := p.rule(target, r)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(append(path, plan.label), " "), err)
		}
		switch {
		case over == nil:
		case over.level == target:
			plan.inner = over.rule
		default:
			plan.outer = over.rule
		}
		target.rules = append(target.rules, plan)
		next := &above{level: target, rule: len(target.rules) - 1}
		if err := p.add(target, next, r.Children, append(path, plan.label)); err != nil {
			return err
		}
	}
	return nil
}

// reach returns the level of an array below l's elements.
func (l *level) reach(path []string) *level {
	if l.below == nil {
		l.below = &branch{}
	}
	b := l.below
	for _, name := range path {
		if b.next == nil {
			b.next = map[string]*branch{}
		}
		if b.next[name] == nil {
			b.next[name] = &branch{}
		}
		b = b.next[name]
	}
	if b.level == nil {
		b.level = newLevel()
	}
	return b.level
}

// rule compiles one rule; the plan that comes with an error has a label only.
func (p planner) rule(l *level, r *Rule) (*rulePlan, error) {
	plan := &rulePlan{rule: r, outer: -1, inner: -1, label: "stat"}
	if r.Object != nil {
		plan.label = r.Object.Type
		object, err := p.object(l, r.Object)
		if err != nil {
			return plan, err
		}
		plan.object = object
	}
	if r.Stat == nil {
		return plan, nil
	}
	if r.Stat.Rule != "" {
		plan.label += " " + r.Stat.Rule
	}
	stat, err := p.stat(l, r.Stat)
	plan.stat = stat
	return plan, err
}

func (p planner) object(l *level, r *ObjectRule) (o *objectPlan, err error) {
	o = &objectPlan{typ: r.Type}
	if o.key, err = l.textPlan("key", r.Key); err != nil {
		return nil, err
	}
	if r.Name != "" {
		if o.name, err = l.textPlan("name", r.Name); err != nil {
			return nil, err
		}
	}
	o.attributes = l.fields(slices.Compact(slices.Sorted(slices.Values(r.Attributes))))
	o.fields = glimpseOf(o)
	if r.Parent == nil {
		return o, nil
	}
	o.parent = &parentPlan{typ: r.Parent.Type, described: p.described[r.Parent.Type]}
	o.parent.key, err = l.textPlan("parent.key", r.Parent.Key)
	return o, err
}

func (p planner) stat(l *level, r *StatRule) (s *statPlan, err error) {
	s = &statPlan{rule: r, day: l.field(r.Day), hour: field{slot: -1}}
	if r.Hour != "" {
		s.hour = l.field(r.Hour)
	}
	s.dimensions = l.fields(slices.Sorted(slices.Values(r.Dimensions)))
	s.metrics = l.fields(slices.Compact(slices.Sorted(slices.Values(r.Metrics.Names))))
	l.all = l.all || r.Metrics.All
	if r.ID != "" {
		s.id, err = l.textPlan("id", r.ID)
	}
	return s, err
}

// field gives the field of a name its place in the level's row.
func (l *level) field(name string) field {
	slot, ok := l.slots[name]
	if !ok {
		slot = len(l.names)
		l.slots[name] = slot
		l.names = append(l.names, name)
	}
	return field{name, slot}
}

func (l *level) fields(names []string) []field {
	list := make([]field, len(names))
	for i, name := range names {
		list[i] = l.field(name)
	}
	return list
}

func (l *level) textPlan(what, text string) (*textPlan, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	plan := &textPlan{text: text}
	for _, p := range t.parts {
		part := textPart{piece: p, slot: -1}
		if p.field != "" {
			part.slot = l.field(p.field).slot
		}
		plan.parts = append(plan.parts, part)
	}
	return plan, nil
}

// finish makes the rows of l and of the levels below.
func (l *level) finish() {
	l.cells = make([]cell, len(l.names))
	l.nodes = make([]*node, len(l.rules))
	stats := 0
	for _, r := range l.rules {
		if r.stat != nil {
			stats++
		}
	}
	for _, r := range l.rules {
		if r.stat != nil {
			r.stat.numbered = stats > 1
		}
	}
	l.below.each(func(b *level) { b.finish() })
}

// each calls do for every level that hangs on b and what is below b in the
// same element.
func (b *branch) each(do func(*level)) {
	if b == nil {
		return
	}
	if b.level != nil {
		do(b.level)
	}
	for _, next := range b.next {
		next.each(do)
	}
}

// paths returns where the arrays below l lie.
func (l *level) paths() []string {
	var paths []string
	var walk func(b *branch, path string)
	walk = func(b *branch, path string) {
		if b.level != nil {
			paths = append(paths, path)
		}
		for name, next := range b.next {
			walk(next, strings.TrimPrefix(path+"."+name, "."))
		}
	}
	walk(l.below, "")
	slices.Sort(paths)
	return paths
}

// seeks reports whether JSON must be read out of its order where the fields of
// an element follow the arrays in it.
func (l *level) seeks() bool {
	found := l.below != nil && (len(l.names) > 0 || l.all)
	l.below.each(func(b *level) { found = found || b.seeks() })
	return found
}

// columns returns the fields without which no row gives a record: those of keys
// and ids, days and hours.
func (l *level) columns() []string {
	var slots []int
	text := func(t *textPlan) { slots = t.slots(slots) }
	for _, r := range l.rules {
		if r.object != nil {
			text(r.object.key)
			if r.object.parent != nil {
				text(r.object.parent.key)
			}
		}
		if r.stat != nil {
			slots = append(slots, r.stat.day.slot, r.stat.hour.slot)
			if r.stat.id != nil {
				text(r.stat.id)
			}
		}
	}
	slices.Sort(slots)
	var names []string
	for _, slot := range slices.Compact(slots) {
		if slot >= 0 {
			names = append(names, l.names[slot])
		}
	}
	return names
}
