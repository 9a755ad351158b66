package source

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode"
)

const maxKey = 512

// object makes the object of a rule, or says why it is refused. One that is the
// same as that of the row before is the same node.
func (c *cutter) object(l *level, r *rulePlan, over *node) (*node, string) {
	o, parent := r.object, over
	var reason string
	if o.parent != nil {
		if parent, reason = c.parent(l, o.parent); reason != "" {
			return nil, reason
		}
	}
	if o.last != nil && o.last.parent == parent && o.fields.same(l) {
		return o.last, ""
	}
	if c.key, reason = c.keyText(c.key[:0], l, o.key); reason != "" {
		return nil, o.typ + ": " + reason
	}
	if reason = c.describe(l, o); reason != "" {
		return nil, o.typ + ": " + reason
	}
	o.fields.keep(l)
	if last := o.last; last != nil && last.parent == parent && last.key == string(c.key) && last.name == string(c.name) && bytes.Equal(last.attrs, c.attrs) {
		return last, ""
	}
	n := &node{objectID: objectID{o.typ, string(c.key)}, name: string(c.name), parent: parent}
	if len(c.attrs) > 0 {
		n.attrs = bytes.Clone(c.attrs)
	}
	o.last = n
	return n, ""
}

// describe reads the name and the attributes of the object whose key was read.
func (c *cutter) describe(l *level, o *objectPlan) (reason string) {
	c.name = c.name[:0]
	if o.name != nil {
		if c.name, reason = c.render(c.name, l, o.name, false); reason != "" {
			return reason
		}
	}
	if len(c.name) == 0 {
		c.name = append(c.name, c.key...)
	}
	c.attrs, reason = attributes(c.attrs[:0], l, o.attributes)
	return reason
}

// parent names the parent that a flat row names.
func (c *cutter) parent(l *level, p *parentPlan) (*node, string) {
	for _, r := range c.refused {
		if r.object && r.rule.object.typ == p.typ && r.rule.object.key.text == p.key.text {
			return nil, fmt.Sprintf("its parent, the %s of the same row, is refused", p.typ)
		}
	}
	key, reason := c.keyText(c.key[:0], l, p.key)
	c.key = key
	if reason != "" {
		return nil, fmt.Sprintf("parent %s: %s", p.typ, reason)
	}
	if p.last == nil || p.last.key != string(key) {
		p.last = &node{objectID: objectID{p.typ, string(key)}, alone: !p.described}
		if p.last.alone {
			p.last.name = p.last.key
		}
	}
	return p.last, ""
}

// keyText appends the text of a key and checks it.
func (c *cutter) keyText(dst []byte, l *level, t *textPlan) ([]byte, string) {
	dst, reason := c.render(dst, l, t, len(t.parts) > 1)
	switch {
	case reason != "":
	case len(dst) == 0:
		reason = fmt.Sprintf("%s is empty; a key of 1 to %d bytes is allowed", t.text, maxKey)
	case len(dst) > maxKey:
		reason = fmt.Sprintf("%s has %d bytes, %s; a key of 1 to %d bytes is allowed", t.text, len(dst), found(string(dst)), maxKey)
	case hasControl(dst):
		reason = fmt.Sprintf("%s is %s; a key without control characters is allowed", t.text, found(string(dst)))
	}
	return dst, reason
}

func hasControl(text []byte) bool {
	for _, b := range text {
		if b < ' ' || b >= 0x7f {
			return bytes.ContainsFunc(text, unicode.IsControl)
		}
	}
	return false
}

// render appends the text of a template. The values within are percent-encoded
// where escape is set.
func (c *cutter) render(dst []byte, l *level, t *textPlan, escape bool) ([]byte, string) {
	for i := range t.parts {
		p := &t.parts[i]
		if p.slot < 0 && !p.account {
			dst = append(dst, p.text...)
			continue
		}
		start := len(dst)
		if p.account {
			dst = append(dst, c.answer.Account...)
		} else {
			var reason string
			if dst, reason = l.cells[p.slot].appendText(dst); reason != "" {
				return dst, p.field + " " + reason
			}
		}
		if p.filter == "" && !(escape && bytes.ContainsAny(dst[start:], "%/")) {
			continue
		}
		text, reason := c.filter(string(dst[start:]), p)
		if reason != "" {
			return dst, reason
		}
		if escape {
			text = escapeKey(text)
		}
		dst = append(dst[:start], text...)
	}
	return dst, ""
}

// filter puts a value through the filter of its place. An empty one stays empty.
func (c *cutter) filter(text string, p *textPart) (string, string) {
	switch {
	case text == "" || p.filter == "":
		return text, ""
	case p.filter == filterSlug:
		return slug(text), ""
	default:
		day, _, ok := c.dayOf([]byte(text))
		if !ok {
			return "", fmt.Sprintf("%s is %s; %s is allowed", p.field, found(text), c.dayForms())
		}
		return day.String(), ""
	}
}

// attributes appends the attributes of an element as one JSON object, or
// nothing when it has none of them.
func attributes(dst []byte, l *level, fields []field) ([]byte, string) {
	for _, f := range fields {
		v := &l.cells[f.slot]
		if v.kind == cellAbsent || v.kind == cellNull {
			continue
		}
		if len(dst) == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendQuote(dst, f.name), ':')
		var reason string
		if dst, reason = v.appendJSON(dst); reason != "" {
			return dst, f.name + " " + reason
		}
	}
	if len(dst) > 0 {
		dst = append(dst, '}')
	}
	return dst, ""
}
