package expect

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

const million = 1_000_000

// millionths reads a decimal with at most six digits after the point.
func millionths(n json.Number) *big.Int {
	whole, fraction, _ := strings.Cut(n.String(), ".")
	v, ok := new(big.Int).SetString(whole+fraction+strings.Repeat("0", max(0, 6-len(fraction))), 10)
	if !ok || len(fraction) > 6 {
		panic(fmt.Sprintf("%s is no number that the platform says", n))
	}
	return v
}

// number is a field that is one, in millionths; zero for another.
func number(field any) *big.Int {
	if n, ok := field.(json.Number); ok {
		return millionths(n)
	}
	return new(big.Int)
}

// text writes millionths as a decimal without trailing zeros.
func text(v *big.Int) string {
	s := new(big.Rat).SetFrac(v, big.NewInt(million)).FloatString(6)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// value is what a document holds of millionths: an int64, or the nearest double.
func value(v *big.Int) any {
	r := new(big.Rat).SetFrac(v, big.NewInt(million))
	if r.IsInt() && r.Num().IsInt64() {
		return r.Num().Int64()
	}
	f, _ := r.Float64()
	return f
}

func texts(metrics map[string]*big.Int) map[string]string {
	out := map[string]string{}
	for name, v := range metrics {
		out[name] = text(v)
	}
	return out
}

func numbers(metrics map[string]*big.Int) map[string]any {
	out := map[string]any{}
	for name, v := range metrics {
		if v.Sign() != 0 {
			out[name] = value(v)
		}
	}
	return out
}

// values are decoded JSON as a document holds it.
func values(fields map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range fields {
		if n, ok := v.(json.Number); ok {
			v = value(millionths(n))
		}
		out[name] = v
	}
	return out
}

// jsonb writes an object as PostgreSQL shows jsonb: shorter names first. Its
// values are JSON already.
func jsonb(fields map[string]string) string {
	names := slices.SortedFunc(maps.Keys(fields), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	members := make([]string, len(names))
	for i, name := range names {
		members[i] = quote(name) + ": " + fields[name]
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// jsonbOf is jsonb of decoded values.
func jsonbOf(fields map[string]any) string {
	out := map[string]string{}
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			out[name] = quote(v)
		case json.Number:
			out[name] = text(millionths(v))
		default:
			out[name] = fmt.Sprint(v)
		}
	}
	return jsonb(out)
}

// quote writes a JSON string that escapes no more than it must.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err.Error() // no string fails
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// row is the line of an object.
func (o *object) row(tags map[string]any) Line {
	parent := ""
	if o.parent != nil {
		parent = o.parent.typ + "/" + o.parent.key
	}
	return Line{objectKey(o.typ, o.key), objectText(parent, o.depth, o.name, jsonbOf(o.attrs), jsonbOf(tags))}
}

func objectKey(typ, key string) string { return "object " + typ + "/" + key }

func objectText(parent string, depth int, name, attrs, tags string) string {
	return fmt.Sprintf("parent=%s depth=%d name=%s attrs=%s tags=%s", parent, depth, name, attrs, tags)
}

func statKey(object, day, rule, dims string) string {
	return "stat " + object + " " + day + " " + rule + " " + dims
}

func statText(metrics, hours string) string { return metrics + " hours=" + hours }

// DocumentLine is the line of a document without its rev. Its values are maps,
// lists, texts, booleans, int64 and float64.
func DocumentLine(d map[string]any) Line {
	delete(d, "rev")
	return Line{fmt.Sprint("document ", d["_id"]), string(spell(nil, d))}
}

// spell writes a value with sorted names; a double bears a d.
func spell(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		b = append(b, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b = append(strconv.AppendQuote(b, name), ':')
			b = append(spell(b, v[name]), ' ')
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for _, e := range v {
			b = append(spell(b, e), ' ')
		}
		return append(b, ']')
	case float64:
		return append(strconv.AppendFloat(b, v, 'g', -1, 64), 'd')
	case string:
		return strconv.AppendQuote(b, v)
	}
	return fmt.Append(b, v)
}
