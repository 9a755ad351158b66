package source

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/leatflow/leat/pkg/redact"
)

// apply makes records of the element that was read into l, for every rule of l.
// Outer are the objects of the level above; l.nodes are the element's own.
func (c *cutter) apply(l *level, outer []*node) error {
	c.refused, c.objects, c.stats = c.refused[:0], c.objects[:0], c.stats[:0]
	var inner *node
	for i, r := range l.rules {
		l.nodes[i] = nil
		over, ok := r.over(l, outer)
		if !ok {
			continue // refused above, with everything below
		}
		n := over
		if r.object != nil {
			made, reason := c.object(l, r, over)
			if reason != "" {
				c.refused = append(c.refused, refusal{r, reason + below(l, i), true})
				continue
			}
			c.objects = append(c.objects, made)
			n, inner = made, made
		}
		l.nodes[i] = n
		if r.stat == nil || n == nil {
			continue
		}
		stat, reason := c.stat(l, r)
		if reason != "" {
			c.refused = append(c.refused, refusal{r, reason, false})
			continue
		}
		c.stats = append(c.stats, ownStat{n, stat})
		if inner == nil {
			inner = n
		}
	}
	if err := c.refuse(); err != nil || inner == nil {
		return err
	}
	return c.parts.add(c.ctx, inner, c.objects, c.stats)
}

// over returns the object that a rule's element belongs to, which may be none.
// It is not ok where that was refused.
func (r *rulePlan) over(l *level, outer []*node) (*node, bool) {
	switch {
	case r.inner >= 0:
		return l.nodes[r.inner], l.nodes[r.inner] != nil
	case r.outer >= 0:
		return outer[r.outer], outer[r.outer] != nil
	default:
		return nil, true
	}
}

// below says that a refused object takes what is below it along.
func below(l *level, rule int) string {
	found := false
	for _, r := range l.rules {
		found = found || r.inner == rule
	}
	l.below.each(func(b *level) {
		for _, r := range b.rules {
			found = found || r.outer == rule
		}
	})
	if found {
		return "; refused with everything below it"
	}
	return ""
}

// refuse makes rejects of the refusals: one for each rule, told apart by the
// rule where an element has several.
func (c *cutter) refuse() error {
	if len(c.refused) == 0 {
		return nil
	}
	raw := c.raw
	if raw == nil {
		raw = c.record()
	}
	for i, r := range c.refused {
		at := c.position()
		if len(c.refused) > 1 {
			at += " (" + r.rule.label + ")"
			if n := c.sameLabel(i); n > 0 {
				at += fmt.Sprintf(" #%d", n+1)
			}
		}
		if err := c.reject(at, r.reason, raw); err != nil {
			return err
		}
	}
	return nil
}

// sameLabel counts the refusals before the i-th that have its label.
func (c *cutter) sameLabel(i int) int {
	n := 0
	for _, r := range c.refused[:i] {
		if r.rule.label == c.refused[i].rule.label {
			n++
		}
	}
	return n
}

func (c *cutter) reject(position, reason string, record []byte) error {
	return c.parts.reject(c.ctx, Reject{Position: position, Reason: reason, Record: rawText(bytes.TrimRight(record, "\r\n"))})
}

const maxRejectText = 4 << 10

// rawText makes text that PostgreSQL can hold of the first bytes of a record,
// without the secrets that a source gave back.
func rawText(raw []byte) string {
	raw = []byte(redact.Text(string(raw[:min(len(raw), 2*maxRejectText)]))) // before it is cut: no piece is left
	if len(raw) > maxRejectText {
		raw = raw[:maxRejectText]
		for range utf8.UTFMax - 1 { // not half a character
			if r, size := utf8.DecodeLastRune(raw); r != utf8.RuneError || size != 1 {
				break
			}
			raw = raw[:len(raw)-1]
		}
	}
	const unreadable = "\uFFFD"
	text := bytes.ToValidUTF8(raw, []byte(unreadable))
	text = bytes.ReplaceAll(text, []byte{0}, []byte(unreadable))
	for len(text) > maxRejectText {
		_, size := utf8.DecodeLastRune(text)
		text = text[:len(text)-size]
	}
	return string(text)
}
