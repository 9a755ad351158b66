package daemon

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkGroup compares one group of the file with the keys that it may have, and
// returns all that is wrong with it.
func checkGroup(file, path string, keys []key, node *yaml.Node) []error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Tag == "!!null" {
		return nil // every key of it is commented out
	}
	where := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", file, n.Line) }
	if node.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("%s: %s must be a group of keys: %s", where(node), orTop(path), names(keys))}
	}
	var problems []error
	for i := 0; i < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if name.Tag == "!!merge" {
			problems = append(problems, checkGroup(file, path, keys, value)...)
			continue
		}
		k, ok := find(keys, name.Value)
		switch {
		case !ok:
			problems = append(problems, fmt.Errorf("%s: unknown key %s%s; %s may have: %s",
				where(name), join(path, name.Value), didYouMean(keys, name.Value), orTop(path), names(keys)))
		case k.group != nil:
			problems = append(problems, checkGroup(file, k.path, k.group, value)...)
		case !fits(k.value.Type(), value):
			problems = append(problems, fmt.Errorf("%s: %s must be %s", where(value), k.path, kindOf(k.value.Type())))
		}
	}
	return problems
}

// fits says whether the value is written as the type wants it. YAML's decoder
// would cut 2.5 to 2, and take 20 for 20 nanoseconds.
func fits(t reflect.Type, value *yaml.Node) bool {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	switch {
	case value.Tag == "!!null":
		return true // the default stays
	case t == durationType && value.Tag != "!!str":
		return value.Value == "0"
	case value.Tag == "!!float" && t.Kind() != reflect.Float64 && t.Kind() != reflect.Float32:
		return t.Kind() == reflect.String
	}
	return value.Decode(reflect.New(t).Interface()) == nil
}

func find(keys []key, name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

// didYouMean names the key that is nearest to the name, if one is near.
func didYouMean(keys []key, name string) string {
	best, nearest := "", min(len(name), 1+max(2, len(name)/3))
	for _, k := range keys {
		if d := distance(strings.ToLower(name), k.name); d < nearest {
			best, nearest = k.name, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance is how many letters must be added, taken away or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func names(keys []key) string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return strings.Join(all, ", ")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orTop(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
