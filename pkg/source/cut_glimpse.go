package source

import "bytes"

// A glimpse is what the fields were of which the last object of a rule was made.
type glimpse struct {
	slots []int
	cells []cell
	text  []byte // of the cells
}

func glimpseOf(o *objectPlan) glimpse {
	g := glimpse{slots: o.key.slots(nil)}
	if o.name != nil {
		g.slots = o.name.slots(g.slots)
	}
	for _, f := range o.attributes {
		g.slots = append(g.slots, f.slot)
	}
	g.cells = make([]cell, len(g.slots))
	return g
}

// same reports whether the fields of the row in hand are those kept.
func (g *glimpse) same(l *level) bool {
	for i, slot := range g.slots {
		if v := &l.cells[slot]; v.kind != g.cells[i].kind || !bytes.Equal(v.b, g.cells[i].b) {
			return false
		}
	}
	return true
}

// keep keeps the fields of the row in hand.
func (g *glimpse) keep(l *level) {
	g.text = g.text[:0]
	for i, slot := range g.slots {
		from, v := len(g.text), &l.cells[slot]
		g.text = append(g.text, v.b...)
		g.cells[i] = cell{v.kind, g.text[from:]}
	}
}
