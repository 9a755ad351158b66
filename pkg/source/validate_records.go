package source

import (
	"slices"
	"strings"
)

// records checks the rules and derives the types.
func (v *validator) records() {
	if len(v.Records) == 0 {
		v.failf("records", "missing; it says what the answer's records are")
		return
	}
	v.describe("records", v.Records)
	for i, rule := range v.Records {
		v.rule(index("records", i), rule, nil)
	}
}

// line is where a setting stands in the file.
func (v *validator) line(path string) int { return v.at[v.prefix+path].line }

// describe notes which rule describes each type, and refuses a second one.
func (v *validator) describe(path string, rules []*Rule) {
	for i, rule := range rules {
		at := index(path, i)
		if rule.Object != nil && rule.Object.Type != "" {
			if first, twice := v.described[rule.Object.Type]; twice {
				v.failf(at+".object.type", "type %s is described at %s (line %d) already: its fields would have two voices",
					rule.Object.Type, first, v.line(first))
			} else {
				v.described[rule.Object.Type] = at + ".object"
			}
		}
		v.describe(at+".children", rule.Children)
	}
}

// rule checks one rule and those below it. above is the type of the nearest
// object around it, nil at the top.
func (v *validator) rule(path string, r *Rule, above *Type) {
	v.each(path, r.Each)
	if r.Object != nil {
		above = v.object(path+".object", r.Object, above)
	}
	switch {
	case r.Object == nil && r.Stat == nil && len(r.Children) == 0:
		v.failf(path, "has none of object, stat and children")
	case r.Stat != nil && above == nil:
		v.failf(path+".stat", "has no object: neither this rule nor one around it has one")
	case r.Stat != nil:
		v.stat(path+".stat", r.Stat)
		v.addStat(above, r.Stat)
	}
	for i, child := range r.Children {
		v.rule(index(path+".children", i), child, above)
	}
}

// each checks where the elements are. Without it a rule takes the rows of the
// answer, or the element of the rule around it.
func (v *validator) each(path, each string) {
	format := v.Fetch.Report.Format
	switch {
	case each == "" && v.has(path+".each"):
		v.failf(path+".each", "found nothing; leave it out where no list is meant")
	case each == "":
	case format == "csv" || format == "tsv":
		v.failf(path+".each", "found %s; a row of %s holds no list", found(each), format)
	case slices.Contains(strings.Split(each, "."), ""):
		v.failf(path+".each", "found %s; it must be names with a dot between them", found(each))
	}
}

// object checks an object rule and returns its type.
func (v *validator) object(path string, o *ObjectRule, above *Type) *Type {
	v.name(path+".type", o.Type)
	v.template(path+".key", o.Key, true)
	v.template(path+".name", o.Name, false)
	v.names(path+".attributes", o.Attributes)
	if o.Parent != nil {
		above = v.parent(path+".parent", o, above)
	}
	if v.described[o.Type] != path {
		return above // described before, or without a name: told already
	}
	t := v.byName[o.Type]
	if t == nil {
		t = v.addType(o.Type, above)
	}
	v.meet(path, t, o, above)
	return t
}

// parent checks the parent that a flat row names, and returns its type.
func (v *validator) parent(path string, o *ObjectRule, above *Type) *Type {
	name := o.Parent.Type
	v.name(path+".type", name)
	v.template(path+".key", o.Parent.Key, true)
	t, known := v.byName[name]
	first, declared := v.described[name]
	switch {
	case above != nil:
		v.failf(path, "the object around it, %s, is its parent already", above.Name)
		return above
	case name == "" || known:
		return t
	case declared && name == o.Type:
		v.failf(path+".type", "found %s; an object cannot be below one of its own type", found(name))
		return nil
	case declared:
		v.failf(path+".type", "%s is described further down, at %s (line %d); a parent's type must stand above", name, first, v.line(first))
		return nil
	}
	return v.addType(name, nil)
}

// stat checks a stat rule by itself.
func (v *validator) stat(path string, r *StatRule) {
	if r.Rule != "" {
		v.name(path+".rule", r.Rule)
	}
	if r.Day == "" {
		v.failf(path+".day", "missing; it names the field that holds the day")
	}
	v.names(path+".dimensions", r.Dimensions)
	v.names(path+".metrics", r.Metrics.Names)
	if !r.Metrics.All && len(r.Metrics.Names) == 0 && !v.has(path+".metrics") {
		v.failf(path+".metrics", `missing; it must be "*" or a list of names`)
	}
	for i, m := range r.Metrics.Names {
		if slices.Contains(r.Dimensions, m) {
			v.failf(index(path+".metrics", i), "%s is a dimension already", m)
		}
	}
	slices.Sort(r.Metrics.Names)
	if r.Hour != "" && v.Stats.Kind == KindTotal {
		v.failf(path+".hour", "found %s; hours are of stats.kind hour or count, and it is total", found(r.Hour))
	}
	v.template(path+".id", r.ID, false)
	if r.ID != "" && v.Stats.Kind != KindCount {
		v.failf(path+".id", "found %s; only events have one, of stats.kind count, and it is %s", found(r.ID), v.Stats.Kind)
	}
}

// ruleNames checks that the stat rules of a type can be told apart.
func (v *validator) ruleNames() {
	v.eachStat("records", v.Records, nil, func(path string, t *Type, r *StatRule) {
		if len(t.stats) == 1 {
			return
		}
		same := 0
		for _, other := range t.stats {
			if other.Rule == r.Rule {
				same++
			}
		}
		switch {
		case r.Rule == "":
			v.failf(path+".rule", "missing; type %s has %d stat rules, so each needs a name", t.Name, len(t.stats))
		case same > 1:
			v.failf(path+".rule", "found %s, which another stat rule of type %s is called", found(r.Rule), t.Name)
		}
	})
}

// eachStat calls do for each stat rule that has an object.
func (v *validator) eachStat(path string, rules []*Rule, above *Type, do func(path string, t *Type, r *StatRule)) {
	for i, rule := range rules {
		t, at := above, index(path, i)
		if rule.Object != nil && v.byName[rule.Object.Type] != nil {
			t = v.byName[rule.Object.Type]
		}
		if rule.Stat != nil && t != nil {
			do(at+".stat", t, rule.Stat)
		}
		v.eachStat(at+".children", rule.Children, t, do)
	}
}

// template checks a field's name or template.
func (v *validator) template(path, text string, required bool) {
	if text == "" {
		if required || v.has(path) {
			v.failf(path, "missing; it must be a field's name or a template such as {a}/{b|slug}")
		}
		return
	}
	t, err := parseTemplate(text)
	switch {
	case err != nil:
		v.failf(path, "found %v", err)
	case t.usesAccount() && len(v.Accounts) == 0:
		v.failf(path, "found %s; the source has no accounts", found(text))
	}
}
