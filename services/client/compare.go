package client

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Difference is one place where the servers do not agree.
type Difference struct {
	Place    string `json:"place"`    // source/_id of the document, or what else is meant
	Field    string `json:"field"`    // days.2026-11-14.m.clicks; "" for the whole
	Rows     string `json:"rows"`     // what the rows of PostgreSQL say; "" for nothing
	Document string `json:"document"` // what the document of MongoDB says; "" for nothing
	Text     string `json:"text"`     // all of it, in words
}

// fieldDifference says that one field differs.
func fieldDifference(place, field, rows, document string) Difference {
	d := Difference{Place: place, Field: field, Rows: rows, Document: document}
	switch {
	case rows == "":
		d.Text = fmt.Sprintf("%s %s: rows have none, document says %s", place, field, document)
	case document == "":
		d.Text = fmt.Sprintf("%s %s: rows say %s, document has none", place, field, rows)
	default:
		d.Text = fmt.Sprintf("%s %s: rows say %s, document says %s", place, field, rows, document)
	}
	return d
}

// whole says something of a whole document, or of rows.
func whole(place, text string) Difference {
	return Difference{Place: place, Text: place + ": " + text}
}

// compared are the fields of a document that come from rows.
var compared = []string{"source", "type", "key", "name", "half", "path", "attrs", "tags", "days"}

// compareDocuments returns what differs between what a document should hold and
// what it holds, in the order of the fields.
func compareDocuments(place string, want, have bson.M) ([]Difference, error) {
	want, err := asStored(want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	var all []Difference
	for _, name := range compared {
		if reflect.DeepEqual(want[name], have[name]) { // most are equal, and this is the fast way to see it
			continue
		}
		rows, document := map[string]string{}, map[string]string{}
		if v, ok := want[name]; ok {
			flatten(name, v, rows)
		}
		if v, ok := have[name]; ok {
			flatten(name, v, document)
		}
		if name == "days" { // no days and none at all are the same
			delete(rows, name)
			delete(document, name)
		}
		fields := maps.Clone(rows)
		maps.Copy(fields, document)
		for _, field := range sortedKeys(fields) {
			if rows[field] != document[field] {
				all = append(all, fieldDifference(place, field, rows[field], document[field]))
			}
		}
	}
	return all, nil
}

// asStored returns m as it is read back from the server.
func asStored(m bson.M) (bson.M, error) {
	raw, err := bson.Marshal(m)
	if err != nil {
		return nil, err
	}
	return decode(raw)
}

// decode reads a document with maps all through.
func decode(raw bson.Raw) (bson.M, error) {
	d := bson.NewDecoder(bson.NewDocumentReader(bytes.NewReader(raw)))
	d.DefaultDocumentM()
	m := bson.M{}
	err := d.Decode(&m)
	return m, err
}

// flatten writes the leaves of a value by their paths, each in words that tell
// apart what BSON tells apart. What is empty is a leaf too.
func flatten(path string, v any, into map[string]string) {
	switch v := v.(type) {
	case bson.M:
		for k, e := range v {
			flatten(path+"."+k, e, into)
		}
		if len(v) == 0 {
			into[path] = "{}"
		}
	case bson.A:
		for i, e := range v {
			flatten(path+entry(i, v, e), e, into)
		}
		if len(v) == 0 {
			into[path] = "[]"
		}
	default:
		into[path] = leaf(v)
	}
}

// entry names an element of a list: one of a breakdown by its dimensions, so
// that one too many does not shift all that follow.
func entry(i int, list bson.A, e any) string {
	dims, ok := dimensionsOf(e)
	if !ok || slices.ContainsFunc(list[:i], func(other any) bool { d, _ := dimensionsOf(other); return d == dims }) {
		return "[" + strconv.Itoa(i) + "]"
	}
	return "[" + dims + "]"
}

func dimensionsOf(e any) (string, bool) {
	m, _ := e.(bson.M)
	d, ok := m["d"].(bson.M)
	if !ok {
		return "", false
	}
	pairs := make([]string, 0, len(d))
	for _, name := range slices.Sorted(maps.Keys(d)) {
		pairs = append(pairs, fmt.Sprintf("%s=%v", name, d[name]))
	}
	return strings.Join(pairs, ","), true
}

func leaf(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if v == math.Trunc(v) {
			return strconv.FormatFloat(v, 'g', -1, 64) + " (a double)"
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case nil:
		return "null"
	}
	return fmt.Sprintf("%v (%T)", v, v)
}
