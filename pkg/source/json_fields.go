package source

// element passes over a value, as valueEnd does, and reads the fields of an
// object into l, where one is given that has no arrays in its elements.
func (l *level) element(b []byte, i, depth int) (int, bool) {
	if l == nil || l.below != nil || i >= len(b) || b[i] != '{' {
		return valueEnd(b, i, depth)
	}
	l.begin()
	var f *fieldInfo
	i, more, ok := firstOf(b, i, '}', depth)
	for n := 0; ok && more; n++ {
		if f == nil {
			f, i, ok = l.fieldAt(b, i, n)
		}
		if !ok {
			break
		}
		if v, end, plain := plainNumber(b, i); plain && f.metric >= 0 {
			l.values[f.metric], i = v, end
		} else if i, ok = l.valueAt(b, i, depth+1, f); !ok {
			break
		}
		if f = l.follower(b, i, n); f != nil {
			i = skipSpace(b, i+len(f.lead))
		} else {
			i, more, ok = nextOf(b, i, '}')
		}
	}
	return i, ok
}

// follower returns the field that stands after the n-th, if it is that of the
// element before and no space is between.
func (l *level) follower(b []byte, i, n int) *fieldInfo {
	if n+1 < len(l.order) {
		if f := l.order[n+1]; len(b)-i >= len(f.lead) && string(b[i:i+len(f.lead)]) == f.lead {
			return f
		}
	}
	return nil
}

// fieldAt reads the name of the n-th field of an element, and the colon.
func (l *level) fieldAt(b []byte, i, n int) (*fieldInfo, int, bool) {
	if n < len(l.order) {
		f := l.order[n]
		if end := i + len(f.raw); end < len(b) && string(b[i:end]) == f.raw && b[end] == ':' {
			return f, skipSpace(b, end+1), true
		}
	}
	end, ok := nameEnd(b, i)
	if !ok {
		return nil, end, false
	}
	f := l.lookup(n, b[i:end])
	end, ok = afterName(b, end)
	return f, end, ok
}

// valueAt reads the value of a field.
func (l *level) valueAt(b []byte, i, depth int, f *fieldInfo) (int, bool) {
	end, ok := valueEnd(b, i, depth)
	if ok {
		l.put(f, kindOf(b[i]), b[i:end])
	}
	return end, ok
}
