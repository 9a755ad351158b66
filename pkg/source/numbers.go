package source

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// A numberForm reads numbers that are not written as usual.
type numberForm struct {
	decimal, group byte // 0: there is no group
	none           []string
}

// form returns nil where numbers are written as usual.
func (n *Numbers) form() *numberForm {
	if n.Decimal == "." && n.Group == "" && len(n.None) == 0 || n.Decimal == "" {
		return nil
	}
	f := &numberForm{decimal: n.Decimal[0], none: n.None}
	if n.Group != "" {
		f.group = n.Group[0]
	}
	return f
}

var errNumber = errors.New("not written as numbers says")

// plain returns a number's text as usual, and nothing for one that stands for no
// number. It is not ok where a point or group is where none may be: 1.23,5 would
// else be read as something that nobody meant.
func (f *numberForm) plain(text []byte) (_ []byte, ok bool) {
	text = bytes.TrimSpace(text)
	if slices.Contains(f.none, string(text)) {
		return nil, true
	}
	whole, fraction, broken := bytes.Cut(text, []byte{f.decimal})
	if whole, ok = f.ungroup(whole); !ok || bytes.ContainsAny(whole, ".,") || bytes.ContainsAny(fraction, ".,") {
		return text, false
	}
	if !broken {
		return whole, true
	}
	return slices.Concat(whole, []byte("."), fraction), true
}

// ungroup takes out what stands between thousands.
func (f *numberForm) ungroup(whole []byte) (_ []byte, ok bool) {
	if f.group == 0 || bytes.IndexByte(whole, f.group) < 0 {
		return whole, true
	}
	groups := bytes.Split(whole, []byte{f.group})
	for _, g := range groups[1:] {
		if len(g) != 3 {
			return whole, false
		}
	}
	return bytes.Join(groups, nil), true
}

const groups = ",.'_ "

// numbers checks how numbers are written.
func (v *validator) numbers() {
	n := v.Numbers
	v.oneOf("numbers.decimal", n.Decimal, ".", ",")
	switch {
	case n.Group == "" && !v.has("numbers.group"):
	case len(n.Group) != 1 || !strings.Contains(groups, n.Group):
		v.failf("numbers.group", "found %s; allowed: one of , . ' _ and the space", found(n.Group))
	case n.Group == n.Decimal:
		v.failf("numbers.group", "found %s, which is the decimal point already", found(n.Group))
	}
}
