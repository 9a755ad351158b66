package source

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Feed is one of several outside feeds of the same objects: a ticket shop and
// a venue's own list of one concert.
type Feed struct {
	HTTP    *HTTP    `yaml:"http"` // in place of the source's, all of it: no credential goes to another feed's host; absent: reached as the source is
	Fetch   Fetch    `yaml:"fetch"`
	Records []*Rule  `yaml:"records"`
	Numbers *Numbers `yaml:"numbers"` // in place of the source's
	Dates   []string `yaml:"dates"`   // in place of the source's

	name string
	view *Source
}

// Feeds are in the file's order: where they differ about an object, the first
// that says something wins.
type Feeds []*Feed

// FeedNames returns the feeds in the file's order, none where the source has none.
func (s *Source) FeedNames() []string {
	names := make([]string, len(s.Feeds))
	for i, f := range s.Feeds {
		names[i] = f.name
	}
	return names
}

// FeedName is the feed that this is a view of, "" for none.
func (s *Source) FeedName() string { return s.feed }

// OwnHTTP reports whether this is a view of a feed that is reached in a way of its own.
func (s *Source) OwnHTTP() bool { return s.ownHTTP }

// Feed returns the source as one of its feeds has it: with that feed's HTTP,
// Fetch, Records, Numbers and Dates. A source without feeds is its own, of no name.
func (s *Source) Feed(name string) (*Source, error) {
	names := s.FeedNames()
	switch i := slices.Index(names, name); {
	case i >= 0:
		return s.Feeds[i].view, nil
	case len(names) == 0 && name == "":
		return s, nil
	case len(names) == 0:
		return nil, fmt.Errorf("feed: found %q, but source %s has no feeds", name, s.Name)
	case name == "":
		return nil, fmt.Errorf("feed: missing; source %s has %s", s.Name, strings.Join(names, ", "))
	default:
		return nil, fmt.Errorf("feed: found %q; source %s has %s", name, s.Name, strings.Join(names, ", "))
	}
}

// EachFeed returns the source as each of its feeds has it; itself where it has none.
func (s *Source) EachFeed() []*Source {
	if len(s.Feeds) == 0 {
		return []*Source{s}
	}
	views := make([]*Source, len(s.Feeds))
	for i, f := range s.Feeds {
		views[i] = f.view
	}
	return views
}

// newView makes the source as a feed has it, but for its version.
func (s *Source) newView(f *Feed) *Source {
	view := *s
	view.Feeds, view.feed, view.Fetch, view.Records = nil, f.name, f.Fetch, f.Records
	if f.HTTP != nil {
		view.HTTP, view.ownHTTP = *f.HTTP, true
	}
	if f.Numbers != nil {
		view.Numbers = *f.Numbers
	}
	if f.Dates != nil {
		view.Dates, view.forms = f.Dates, nil
	}
	return &view
}

// seal gives the views what is known when all of the file was read.
func (s *Source) seal() {
	for _, f := range s.Feeds {
		f.view.Hash, f.view.Tables = s.Hash, s.Tables
	}
}

// feeds checks the feeds, each as a source of its own but for what they share:
// its types.
func (v *validator) feeds() (all []*validator) {
	for _, path := range []string{"fetch", "records"} {
		if v.has(path) {
			v.failf(path, "has no use beside feeds: each feed has its own")
		}
	}
	if len(v.Feeds) == 0 {
		v.failf("feeds", "found none; it must be a map of names to feeds, such as {tickets: {fetch: …, records: …}}")
	}
	for _, f := range v.Feeds {
		path := join("feeds", f.name)
		v.name(path, f.name)
		f.view = v.newView(f)
		of := &validator{decoder: v.decoder, Source: f.view, prefix: path + ".", unread: v.unread, described: map[string]string{}}
		of.checkFeed(f)
		all = append(all, of)
	}
	return all
}

// checkFeed checks one feed.
func (v *validator) checkFeed(f *Feed) {
	if f.HTTP != nil {
		setDefault(&v.HTTP.Timeout, usualTimeout)
		v.reached()
	}
	if f.Numbers != nil {
		setDefault(&v.Numbers.Decimal, ".")
		v.numbers()
	}
	if f.Dates != nil {
		v.dates()
	}
	v.askedDefaults()
	v.asked()
}

const usualTimeout = 30 * time.Second

// meet describes a type that another feed has described or named: it has the
// attributes of both, and one kind of parent.
func (v *validator) meet(path string, t *Type, o *ObjectRule, above *Type) {
	t.Described, t.Attributes = true, unique(append(t.Attributes, o.Attributes...))
	t.rules = append(t.rules, typeRule{v.feed, o})
	switch {
	case above == nil || t.Parent == above.Name:
	case t.Parent != "":
		v.failf(path, "type %s is below %s here, and below %s in a feed above; its objects have parents of one type", t.Name, above.Name, t.Parent)
	case above == t || slices.Contains(v.above(above), t):
		v.failf(path, "type %s is below %s here, which is below it in a feed above", t.Name, above.Name)
	default:
		t.Parent = above.Name
	}
}

// rank puts the types of several feeds in an order in which parents stand before
// their children, and passes on what their rules say.
func (s *Source) rank() {
	for _, t := range s.types {
		over := s.above(t)
		t.Depth = len(over)
		for _, p := range over {
			p.RollsUp = p.RollsUp || t.HasStats
		}
	}
	slices.SortStableFunc(s.types, func(a, b *Type) int { return a.Depth - b.Depth })
}
