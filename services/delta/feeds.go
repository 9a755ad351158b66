package delta

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/leatflow/leat/pkg/event"
)

// What several feeds say of one object is kept apart, as each said it last, and
// the object is made of it: field by field the first feed, in the file's order,
// that says something. So the end does not depend on the order in which they came.

// A saying is what a feed said last of an object. What is empty it did not say.
type saying struct {
	At     time.Time                  `json:"at"`
	Name   string                     `json:"name,omitempty"`
	Parent int64                      `json:"parent_id,omitempty"`
	Attrs  map[string]json.RawMessage `json:"attrs,omitempty"` // canonical
}

// A chorus is what each feed said, by its name.
type chorus map[string]saying

// saying returns what the part says of object i. A name that is no other than the
// key is none: a feed without a name says the key.
func (p *Part) saying(i int) saying {
	var parent int64
	if at := p.Objects[i].Parent; at > 0 {
		parent = p.objects[at-1].ID
	}
	return sayingOf(&p.Objects[i], parent, p.ObservedAt)
}

func sayingOf(o *event.Object, parent int64, at time.Time) saying {
	said := saying{At: at, Parent: parent, Attrs: membersOf(o.Attrs)}
	if o.Name != o.Key {
		said.Name = o.Name
	}
	return said
}

// membersOf reads a JSON object as canonical has it.
func membersOf(attrs []byte) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if len(attrs) == 0 || json.Unmarshal(canonical(attrs), &members) != nil || len(members) == 0 {
		return nil
	}
	return members
}

// same reports whether two sayings say the same, whenever that was.
func (s saying) same(other saying) bool {
	return s.Name == other.Name && s.Parent == other.Parent && maps.EqualFunc(s.Attrs, other.Attrs, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}

// later decides between two sayings of one time, the same way in any order.
func (s saying) later(other saying) bool {
	s.At, other.At = time.Time{}, time.Time{}
	a, _ := json.Marshal(s) // of names, numbers and what was read as JSON
	b, _ := json.Marshal(other)
	return bytes.Compare(a, b) > 0
}

// readChorus reads the column feeds.
func readChorus(column []byte) (c chorus, err error) {
	if column == nil {
		return nil, nil
	}
	return c, json.Unmarshal(canonical(column), &c)
}

// column is what the column feeds holds.
func (c chorus) column() (*string, error) {
	if c == nil {
		return nil, nil
	}
	b, err := json.Marshal(c)
	text := string(b)
	return &text, err
}

// merged is what an object is by all that its feeds say, in an order of feeds.
func (c chorus) merged(order []string) (name string, parent int64, attrs []byte) {
	members := map[string]json.RawMessage{}
	for _, feed := range order {
		said := c[feed]
		if name == "" {
			name = said.Name
		}
		if parent == 0 {
			parent = said.Parent
		}
		for member, value := range said.Attrs {
			if _, taken := members[member]; !taken {
				members[member] = value
			}
		}
	}
	attrs, _ = json.Marshal(members)
	return name, parent, attrs
}

// say decides about what the part in hand, which is of a feed, says of object i.
// It is counted unless it was already.
func (d *decider) say(i int, o *Object, counted bool) {
	said, last := d.now.saying(i), o.said[d.now.Feed]
	sight := d.now.seenObject(o.ID)
	same := said.same(last) && !last.At.IsZero()
	what := "objects.unchanged"
	switch at := latest(last.At, d.Newer[sight]); {
	case said.At.Before(at), said.At.Equal(at) && (same || !said.later(last)):
	case same:
		d.saw(o.ID, sight)
	default:
		what = map[bool]string{true: "objects.changed", false: "objects.new"}[o.Described]
		d.hear(o, said)
	}
	if !counted {
		d.count(what)
	}
	d.merge(o, d.now.Objects[i].Key)
}

// hear keeps what a feed says. What feeds said that the source has no more is dropped.
func (d *decider) hear(o *Object, said saying) {
	kept := chorus{}
	for feed, was := range o.said {
		if slices.Contains(d.now.feeds, feed) {
			kept[feed] = was
		}
	}
	kept[d.now.Feed] = said
	if !slices.Equal(slices.Sorted(maps.Keys(kept)), slices.Sorted(maps.Keys(o.said))) {
		d.change(o.ID).Self = true // its document names them
	}
	o.said, o.ObservedAt = kept, latest(o.ObservedAt, said.At)
	o.told, o.Described, o.touched = 0, true, true
}

// merge makes the object what its feeds say, in the order of the part's version
// of the file. Where that order was changed it is made so at the next word on it.
func (d *decider) merge(o *Object, key string) {
	name, parent, attrs := o.said.merged(d.now.feeds)
	if name == "" {
		name = key
	}
	if o.Name == name && o.ParentID == parent && sameAttrs(o.Attrs, attrs) {
		return
	}
	c := d.change(o.ID)
	c.Self = true
	if o.ParentID != parent {
		c.Moved, c.From = true, o.ParentID
	}
	o.Name, o.ParentID, o.Attrs, o.told, o.touched = name, parent, attrs, 0, true
}
