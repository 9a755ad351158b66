package source

import (
	"encoding/json"
	"slices"

	"github.com/leatflow/leat/pkg/event"
)

// A node is an object as one record describes or names it, with what is known
// to be above it.
type node struct {
	objectID
	name   string
	attrs  json.RawMessage
	parent *node
	alone  bool // no rule describes its type: to be named is all that is ever said of it
	run    int  // the records in which it has the place at
	at     int
}

type objectID struct{ typ, key string }

// An ownStat is a stat with its object.
type ownStat struct {
	node *node
	stat event.Stat
}

// records are a part in the making.
type records struct {
	run     int // tells one making from the next
	objects []event.Object
	nodes   []*node // that described each object, or named it
	index   map[objectID]int
	places  []int // of another's objects, when they are taken
	stats   []event.Stat
	count   int  // described objects and stats
	size    int  // of the JSON, estimated
	mixed   bool // a parent stands after its child
}

// place returns the index of n's object. One that is new is named, with all
// that is above it.
func (r *records) place(n *node) int {
	if n.run == r.run {
		return n.at
	}
	at, known := r.index[n.objectID]
	if !known {
		at = r.name(n)
	} else if o := &r.objects[at]; !o.Described && o.Parent == 0 && n.parent != nil {
		parent := r.place(n.parent)
		r.objects[at].Parent, r.nodes[at] = parent+1, n
		r.mixed = r.mixed || parent > at
	}
	n.run, n.at = r.run, at
	return at
}

// name appends n's object.
func (r *records) name(n *node) int {
	o := event.Object{Type: n.typ, Key: n.key}
	if n.parent != nil {
		o.Parent = r.place(n.parent) + 1
	}
	if n.alone {
		o.Described, o.Name = true, n.name
		r.count++
	}
	at := len(r.objects)
	r.index[n.objectID] = at
	r.objects, r.nodes = append(r.objects, o), append(r.nodes, n)
	r.size += 40 + len(n.typ) + len(n.key) + len(o.Name)
	return at
}

// describe puts n's object among the records. Of an object described twice the
// later word stands, and it is one record.
func (r *records) describe(n *node) {
	at := r.place(n)
	if r.objects[at].Described && r.nodes[at] == n {
		return
	}
	o := event.Object{Type: n.typ, Key: n.key, Described: true, Name: n.name, Attrs: n.attrs}
	if n.parent != nil {
		parent := r.place(n.parent)
		o.Parent = parent + 1
		r.mixed = r.mixed || parent > at
	}
	if !r.objects[at].Described {
		r.count++
	}
	r.size += len(n.name) + len(n.attrs) + 20
	r.objects[at], r.nodes[at] = o, n
}

// add appends a stat.
func (r *records) add(s ownStat) {
	s.stat.Object = r.place(s.node)
	r.stats = append(r.stats, s.stat)
	r.count++
	r.size += statSize(&s.stat)
}

// news counts the records that n's description adds.
func (r *records) news(n *node) int {
	count := 0
	if n.parent != nil && n.parent.alone && !r.described(n.parent) {
		count++
	}
	if !r.described(n) {
		count++
	}
	return count
}

func (r *records) described(n *node) bool {
	if n.run == r.run {
		return r.objects[n.at].Described
	}
	at, known := r.index[n.objectID]
	return known && r.objects[at].Described
}

// take adds what another describes and names, and the first stats of it.
func (r *records) take(from *records, stats int) {
	places := slices.Grow(r.places[:0], len(from.objects))[:len(from.objects)]
	r.places = places
	for i, n := range from.nodes {
		if from.objects[i].Described {
			r.describe(n)
		}
		places[i] = r.place(n)
	}
	if r.stats == nil && stats > 0 {
		r.stats = make([]event.Stat, 0, maxRecords)
	}
	r.stats = append(r.stats, from.stats[:stats]...)
	r.count += stats
	for i := range r.stats[len(r.stats)-stats:] {
		s := &r.stats[len(r.stats)-stats+i]
		s.Object = places[s.Object]
		r.size += statSize(s)
	}
}

// holds reports whether r has room for all of another.
func (r *records) holds(other *records) bool {
	if r.size+other.size > maxBody {
		return false
	}
	count := r.count + len(other.stats)
	for i, n := range other.nodes {
		if other.objects[i].Described && !r.described(n) {
			count++
		}
	}
	return count <= maxRecords
}

// clear empties r; what it held is its taker's.
func (r *records) clear(run int) {
	clear(r.index)
	clear(r.nodes)
	*r = records{run: run, index: r.index, nodes: r.nodes[:0], places: r.places}
}

// reuse empties r and keeps its memory.
func (r *records) reuse(run int) {
	clear(r.index)
	*r = records{run: run, index: r.index, objects: r.objects[:0], nodes: r.nodes[:0], places: r.places, stats: r.stats[:0]}
}

// sorted returns the objects with parents before children, and moves the stats
// to where their objects are.
func (r *records) sorted() []event.Object {
	if !r.mixed {
		return r.objects
	}
	out := make([]event.Object, 0, len(r.objects))
	places := make([]int, len(r.objects)) // 1 + place in out
	var visit func(at int)
	visit = func(at int) {
		o := r.objects[at]
		places[at] = -1
		if o.Parent > 0 && places[o.Parent-1] == 0 {
			visit(o.Parent - 1)
		}
		if o.Parent > 0 {
			o.Parent = max(places[o.Parent-1], 0)
		}
		out = append(out, o)
		places[at] = len(out)
	}
	for at := range r.objects {
		if places[at] == 0 {
			visit(at)
		}
	}
	for i := range r.stats {
		r.stats[i].Object = places[r.stats[i].Object] - 1
	}
	return out
}

func statSize(s *event.Stat) int {
	size := 36 + len(s.Dims) + len(s.Rule) + len(s.ID)
	for i := range s.Metrics {
		size += len(s.Metrics[i].Name) + 9
	}
	return size
}
