package metric

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"unique"
)

// Names reads many sets and keeps each name once in memory. The sets share
// memory, some hundred of them a piece. The zero Names is ready; it is for one
// goroutine.
type Names struct {
	known map[string]string
	table table
	room  []Metric // for sets to come
	next  int      // metrics to make room for next time
}

// Read returns the set that b holds as a flat JSON object of numbers.
func (n *Names) Read(b []byte) (Set, error) {
	if present, ok := n.table.read(b); ok {
		return n.table.fill(n.cut(bits.OnesCount64(present)), present), nil
	}
	set, _, err := n.scanSet(b)
	n.table.learn(set)
	return set, err
}

// cut returns room for a set.
func (n *Names) cut(size int) Set {
	if len(n.room) < size {
		n.next = min(max(2*n.next, mostNames), 32*mostNames)
		n.room = make([]Metric, n.next)
	}
	set := n.room[:size:size]
	n.room = n.room[size:]
	return set
}

func (n *Names) intern(b []byte) string {
	if s, ok := n.known[string(b)]; ok {
		return s
	}
	if n.known == nil {
		n.known = make(map[string]string)
	}
	s := unique.Make(string(b)).Value()
	n.known[s] = s
	return s
}

// mostNames is how many names a table holds: the bits of a word.
const mostNames = 64

// A table holds names in the order of jsonb's keys, which is by length first, so
// that most objects are read in one pass over it and need no sorting.
type table struct {
	names  []string
	ranks  [mostNames]uint8 // of each name in sorted
	sorted []string         // alphabetically
	values [mostNames]Value // of the set in hand, by rank
}

// read reads an object of names that are in the table and plain numbers into
// values, and returns which are present, by rank. It is not ok where the object
// is anything else.
func (t *table) read(b []byte) (present uint64, ok bool) {
	b = skip(b)
	if len(b) == 0 || b[0] != '{' {
		return 0, false
	}
	b = skip(b[1:])
	if len(b) > 0 && b[0] == '}' {
		return 0, true
	}
	at := -1
	for {
		var v Value
		if at, v, b, ok = t.readMetric(b, at+1); !ok || len(b) == 0 {
			return 0, false
		}
		rank := t.ranks[at]
		t.values[rank] = v
		present &^= 1 << rank
		if v != 0 {
			present |= 1 << rank
		}
		switch b[0] {
		case '}':
			return present, true
		case ',':
			b = skip(b[1:])
		default:
			return 0, false
		}
	}
}

// readMetric reads a name, which stands in the table at from or after it if the
// order is jsonb's, and its value.
func (t *table) readMetric(b []byte, from int) (at int, v Value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return 0, 0, nil, false
	}
	end := bytes.IndexByte(b[1:], '"')
	if end < 0 {
		return 0, 0, nil, false
	}
	if at = t.find(b[1:1+end], from); at < 0 {
		return 0, 0, nil, false
	}
	b = skip(b[end+2:])
	if len(b) == 0 || b[0] != ':' {
		return 0, 0, nil, false
	}
	b = skip(b[1:])
	v, n := scanPlain(b)
	return at, v, skip(b[n:]), n > 0
}

// find returns the place of a name, -1 if it has none.
func (t *table) find(name []byte, from int) int {
	for i := from; i < len(t.names); i++ {
		if t.names[i] == string(name) {
			return i
		}
	}
	return slices.Index(t.names[:min(from, len(t.names))], string(name))
}

// fill puts the present values into set.
func (t *table) fill(set Set, present uint64) Set {
	for i := range set {
		rank := bits.TrailingZeros64(present)
		set[i] = Metric{t.sorted[rank], t.values[rank]}
		present &= present - 1
	}
	return set
}

// learn puts the names of a set into the table while there is room.
func (t *table) learn(set Set) {
	for _, m := range set {
		if at, found := slices.BinarySearch(t.sorted, m.Name); !found && len(t.sorted) < mostNames {
			t.sorted = slices.Insert(t.sorted, at, m.Name)
		}
	}
	if len(t.names) == len(t.sorted) {
		return
	}
	t.names = slices.Clone(t.sorted)
	slices.SortFunc(t.names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	for i, name := range t.names {
		rank, _ := slices.BinarySearch(t.sorted, name)
		t.ranks[i] = uint8(rank)
	}
}
