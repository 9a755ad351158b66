package source

// element passes over a value, as valueEnd does, and reads the fields of an
// object into l, where one is given that has no arrays in its elements.
func (l *level) element(b []byte, i, depth int) (int, bool) {
	if l == nil || l.below != nil || i >= len(b) || b[i] != '{' {
		return valueEnd(b, i, depth)
	}
	l.begin()
	i, more, ok := firstOf(b, i, '}', depth)
	for n := 0; ok && more; n++ {
		var f *fieldInfo
		if f, i, ok = l.fieldAt(b, i, n); ok {
			i, ok = afterName(b, i)
		}
		if ok {
			i, ok = l.valueAt(b, i, depth+1, f)
		}
		if ok {
			i, more, ok = nextOf(b, i, '}')
		}
	}
	return i, ok
}

// fieldAt reads the name of the n-th field of an element.
func (l *level) fieldAt(b []byte, i, n int) (*fieldInfo, int, bool) {
	if n < len(l.order) {
		f := l.order[n]
		if end := i + len(f.raw); end <= len(b) && string(b[i:end]) == f.raw {
			return f, end, true
		}
	}
	end, ok := nameEnd(b, i)
	if !ok {
		return nil, end, false
	}
	return l.lookup(n, b[i:end]), end, true
}

// valueAt reads the value of a field.
func (l *level) valueAt(b []byte, i, depth int, f *fieldInfo) (int, bool) {
	if f.slot < 0 && l.all {
		if v, end, ok := plainNumber(b, i); ok {
			l.number(f, v, nil, nil)
			return end, true
		}
	}
	end, ok := valueEnd(b, i, depth)
	if ok {
		l.put(f, kindOf(b[i]), b[i:end])
	}
	return end, ok
}
