package delta

import (
	"bytes"

	"github.com/leatflow/leat/pkg/event"
)

// object decides about one object of the part in hand.
func (d *decider) object(i int) {
	described := &d.now.Objects[i]
	o := d.now.objects[i]
	counted := false
	if !o.reported && (o.inserted || o.toAnnounce(described.Described)) {
		o.reported = true
		c := d.change(o.ID)
		c.Self, c.New = true, o.Described
		if o.Described {
			d.count("objects.new")
			counted = true
			if d.isAsMade(i, o) {
				return
			}
		}
	}
	switch {
	case !described.Described:
		return
	case d.now.Feed != "":
		d.say(i, o, counted)
		return
	}
	var parent int64
	if described.Parent > 0 {
		parent = d.now.objects[described.Parent-1].ID
	}
	digest := d.now.tellObject(i)
	same := o.told == digest || o.Described && o.Name == described.Name && o.ParentID == parent && sameAttrs(o.Attrs, described.Attrs)
	switch at := latest(o.ObservedAt, d.Newer[d.now.seenObject(o.ID)]); {
	case d.now.ObservedAt.Before(at),
		d.now.ObservedAt.Equal(at) && (same || !later(described, o)):
		d.count("objects.unchanged")
	case same:
		d.count("objects.unchanged")
		d.saw(o.ID, d.now.seenObject(o.ID))
		o.retold = o.retold || o.told != digest
		o.told = digest
	default:
		d.describe(o, described, parent)
		o.told = digest
	}
}

// isAsMade reports whether a part says no more of an object than was known of it
// when it was made.
func (d *decider) isAsMade(i int, o *Object) bool {
	if d.now.Feed == "" {
		return o.inserted || d.now.tellObject(i) == o.told && !d.now.ObservedAt.After(o.ObservedAt)
	}
	first, ok := o.said[d.now.Feed]
	return ok && !d.now.ObservedAt.After(first.At) && d.now.saying(i).same(first)
}

// toAnnounce reports whether a part that describes an object, or names one that
// nobody has described, is to say that it is there.
func (o *Object) toAnnounce(described bool) bool {
	return !o.announced && (described || !o.Described)
}

func sameAttrs(a, b []byte) bool {
	return bytes.Equal(a, b) || bytes.Equal(canonical(a), canonical(b))
}

// later decides between two descriptions of one time, the same way in any order.
func later(a *event.Object, b *Object) bool {
	return a.Name+string(canonical(a.Attrs)) > b.Name+string(canonical(b.Attrs))
}

// describe changes an object.
func (d *decider) describe(o *Object, as *event.Object, parent int64) {
	d.count(map[bool]string{true: "objects.changed", false: "objects.new"}[o.Described])
	c := d.change(o.ID)
	c.Self = true
	if o.ParentID != parent {
		c.Moved, c.From = true, o.ParentID
	}
	o.said = nil
	o.Name, o.Attrs, o.ParentID = as.Name, objectText(as.Attrs), parent
	o.ObservedAt, o.Described, o.touched = d.now.ObservedAt, true, true
}
