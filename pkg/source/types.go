package source

import (
	"slices"
	"time"
	_ "time/tzdata" // a zone must not depend on what the machine has installed
)

// compiled is what Parse derives from a file.
type compiled struct {
	types      []*Type
	byName     map[string]*Type
	zone       *time.Location
	zones      map[string]*time.Location // of the accounts
	annotators map[string]*annotators    // by type; absent: the type has none
}

// A Type is a kind of object that a source has.
type Type struct {
	Name       string
	Parent     string   // "" for a type at the top, and for one that is not described
	Depth      int      // 0 at the top
	HasStats   bool     // it has a stat rule of its own
	RollsUp    bool     // it or a type below it has a stat rule
	Attributes []string // sorted
	Described  bool     // a rule says what it is; false: others only name it as their parent

	rules []typeRule // of each feed that describes it; none unless Described
	stats []*StatRule
}

// A typeRule is what a feed says of a type.
type typeRule struct {
	feed string // "" where the source has none
	*ObjectRule
}

// SharesStats reports whether several feeds have stats of the type.
func (t *Type) SharesStats() bool {
	return slices.ContainsFunc(t.stats, func(r *StatRule) bool { return r.feed != t.stats[0].feed })
}

// Types returns the types, parents before children, in the file's order.
func (s *Source) Types() []*Type { return s.types }

// Type returns the type of a name.
func (s *Source) Type(name string) (*Type, bool) {
	t, ok := s.byName[name]
	return t, ok
}

// Location returns the zone in which an account's days begin, the source's
// where the account has none of its own or is not listed.
func (s *Source) Location(account string) *time.Location {
	if zone, ok := s.zones[account]; ok {
		return zone
	}
	return s.zone
}

// StatRule returns a type's stat rule by the rule's name, which is "" where the
// file does not name it.
func (s *Source) StatRule(typ, rule string) (*StatRule, bool) {
	t, ok := s.byName[typ]
	if !ok {
		return nil, false
	}
	i := slices.IndexFunc(t.stats, func(r *StatRule) bool { return r.Rule == rule })
	if i < 0 {
		return nil, false
	}
	return t.stats[i], true
}

// AccountNames returns the accounts in the file's order.
func (s *Source) AccountNames() []string {
	names := make([]string, len(s.Accounts))
	for i, a := range s.Accounts {
		names[i] = a.Name
	}
	return names
}

// above returns the types over t, the nearest first.
func (s *Source) above(t *Type) []*Type {
	var list []*Type
	for p := s.byName[t.Parent]; p != nil; p = s.byName[p.Parent] {
		list = append(list, p)
	}
	return list
}

func (s *Source) typeNames() []string {
	names := make([]string, len(s.types))
	for i, t := range s.types {
		names[i] = t.Name
	}
	return names
}

// addType adds a type below parent, which may be nil.
func (s *Source) addType(name string, parent *Type) *Type {
	t := &Type{Name: name}
	if parent != nil {
		t.Parent, t.Depth = parent.Name, parent.Depth+1
	}
	s.types = append(s.types, t)
	s.byName[name] = t
	return t
}

// addStat gives a type a stat rule; the types above it roll up from now on.
func (s *Source) addStat(t *Type, rule *StatRule) {
	rule.feed = s.feed
	t.stats = append(t.stats, rule)
	t.HasStats, t.RollsUp = true, true
	for _, p := range s.above(t) {
		p.RollsUp = true
	}
}
