package metric

import "fmt"

// AppendJSON writes s as a JSON object with sorted names: {"clicks":3,"spend":12.5}.
func (s Set) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, m := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, m.Name...) // a name is [A-Za-z_][A-Za-z0-9_]*: nothing to escape
		b = append(b, '"', ':')
		b = m.Value.Append(b)
	}
	return append(b, '}')
}

// MarshalJSON implements json.Marshaler.
func (s Set) MarshalJSON() ([]byte, error) { return s.AppendJSON(make([]byte, 0, 2+24*len(s))), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Set) UnmarshalJSON(b []byte) error {
	var names Names
	set, rest, err := names.scanSet(b)
	if err == nil && len(skip(rest)) > 0 {
		err = fmt.Errorf("metrics: %q after the object", rest)
	}
	*s = set
	return err
}

// scanSet reads an object of plain names and numbers, and returns what follows it.
func (n *Names) scanSet(b []byte) (Set, []byte, error) {
	rest := skip(b)
	if string(rest) == "null" {
		return nil, nil, nil
	}
	if len(rest) == 0 || rest[0] != '{' {
		return nil, b, fmt.Errorf("metrics: %.40q is not an object", b)
	}
	rest = skip(rest[1:])
	ms := make([]Metric, 0, 8)
	for len(rest) > 0 && rest[0] != '}' {
		m, after, err := n.scanMetric(rest)
		if err != nil {
			return nil, b, err
		}
		ms = append(ms, m)
		if rest = skip(after); len(rest) > 0 && rest[0] == ',' {
			rest = skip(rest[1:])
		} else if len(rest) > 0 && rest[0] != '}' {
			return nil, b, fmt.Errorf("metrics: %.40q where a comma or the end was due", rest)
		}
	}
	if len(rest) == 0 {
		return nil, b, fmt.Errorf("metrics: %.40q has no end", b)
	}
	return Make(ms), rest[1:], nil
}

func (n *Names) scanMetric(b []byte) (Metric, []byte, error) {
	end := 1
	for end < len(b) && b[end] != '"' && b[end] != '\\' {
		end++
	}
	if b[0] != '"' || end >= len(b) || b[end] == '\\' {
		return Metric{}, b, fmt.Errorf("metrics: %.40q is not a metric's name", b)
	}
	name := n.intern(b[1:end])
	rest := skip(b[end+1:])
	if len(rest) == 0 || rest[0] != ':' {
		return Metric{}, b, fmt.Errorf("metric %s: no value", name)
	}
	v, rest, err := Scan(skip(rest[1:]))
	if err != nil {
		return Metric{}, b, fmt.Errorf("metric %s: %w", name, err)
	}
	return Metric{name, v}, rest, nil
}

func skip(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}
