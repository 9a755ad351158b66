package client

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/metric"
)

// An element is an object of the answer, or a row; numbers are json.Number.
type element = map[string]any

const (
	sampleRows  = 1000     // of a table or of lines, that are looked at
	sampleBytes = 64 << 20 // of JSON
)

var word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// readSample reads the beginning of an answer, plain text of a format that its
// name ends in.
func readSample(name string) (rows []element, format string, err error) {
	file, err := os.Open(name) //nolint:gosec // the caller names it
	if err != nil {
		return nil, "", err
	}
	defer file.Close() //nolint:errcheck // it was only read
	in := bufio.NewReader(io.LimitReader(file, sampleBytes))
	switch ext := strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), "."); ext {
	case "csv":
		rows, err = readTable(in, ',')
		return rows, ext, err
	case "tsv":
		rows, err = readTable(in, '\t')
		return rows, ext, err
	case "ndjson", "jsonl":
		rows, err = readLines(in)
		return rows, "ndjson", err
	case "json":
		rows, err = readJSON(in)
		return rows, ext, err
	default:
		return nil, "", fmt.Errorf("found a name that ends in %q; .json, .ndjson, .csv and .tsv are allowed", ext)
	}
}

func readTable(in io.Reader, comma rune) (rows []element, err error) {
	r := csv.NewReader(in)
	r.Comma, r.LazyQuotes = comma, true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the header: %w", err)
	}
	for len(rows) < sampleRows {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			continue // a row that is broken is a reject
		}
		row := element{}
		for i, value := range record {
			if _, err := metric.Parse([]byte(value)); err == nil {
				row[header[i]] = json.Number(value)
			} else {
				row[header[i]] = value
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func readLines(in io.Reader) (rows []element, err error) {
	d := json.NewDecoder(in)
	d.UseNumber()
	for len(rows) < sampleRows {
		var row element
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func readJSON(in io.Reader) ([]element, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if row, ok := v.(element); ok {
		return []element{row}, nil
	}
	return elementsOf(v), nil
}

// elementsOf returns the objects of a list.
func elementsOf(v any) (rows []element) {
	list, _ := v.([]any)
	for _, e := range list {
		if row, ok := e.(element); ok {
			rows = append(rows, row)
		}
	}
	return rows
}

// A rowList is a list of objects within elements, and where it lies.
type rowList struct {
	path string
	rows []element
}

// listsOf returns the lists of objects that lie in elements, those in objects
// within them too, by their paths.
func listsOf(rows []element) (lists []rowList) {
	byPath := map[string][]element{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if row, ok := v.(element); ok {
			for name, inner := range row {
				walk(strings.TrimPrefix(path+"."+name, "."), inner)
			}
		} else if list := elementsOf(v); path != "" && len(list) > 0 {
			byPath[path] = append(byPath[path], list...)
		}
	}
	for _, row := range rows {
		walk("", row)
	}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		lists = append(lists, rowList{path, byPath[path]})
	}
	return lists
}

// fieldNames are the scalars of elements.
type fieldNames struct {
	texts, numbers []string // sorted
	day            string
	form           string // of the day; "": as usual
}

// fieldsOf sorts the fields by what their values are: one that always holds a
// number is a number, and the first that mostly holds a day or moment is the day.
func fieldsOf(rows []element) (f fieldNames) {
	values := map[string][]string{}
	number := map[string]bool{}
	for _, row := range rows {
		for name, v := range row {
			switch v := v.(type) {
			case string:
				if v == "" {
					continue
				}
				values[name], number[name] = append(values[name], v), false
			case json.Number:
				if _, known := values[name]; !known {
					number[name] = true
				}
				values[name] = append(values[name], v.String())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		form, isDay := dayForm(values[name])
		switch {
		case isDay && f.day == "":
			f.day, f.form = name, form
		case number[name]:
			f.numbers = append(f.numbers, name)
		default:
			f.texts = append(f.texts, name)
		}
	}
	return f
}

// Forms of days that are tried after the usual ones, with what package time calls them.
var dayLayouts = []struct{ form, layout string }{
	{"", time.DateOnly}, {"", time.RFC3339}, {"DD.MM.YYYY", "02.01.2006"}, {"MM/DD/YYYY", "01/02/2006"}, {"DD/MM/YYYY", "02/01/2006"},
	{"YYYY-MM-DD HH:mm:ss", time.DateTime}, {"YYYYMMDD", "20060102"},
}

// dayForm returns the form in which most of some texts are days: samples have
// mistakes.
func dayForm(texts []string) (form string, ok bool) {
	for _, l := range dayLayouts {
		days := 0
		for _, text := range texts {
			if _, err := time.Parse(l.layout, text); err == nil {
				days++
			}
		}
		if 2*days > len(texts) {
			return l.form, true
		}
	}
	return "", false
}

// key is the field that names an object: by its name, else the first text.
func (f *fieldNames) key(typ string) string {
	for _, want := range []string{"id", "key", "uuid", typ + "_id", typ + "id", typ, "code", "slug", "name", "title"} {
		for _, name := range slices.Concat(f.texts, f.numbers) {
			if strings.EqualFold(name, want) {
				return name
			}
		}
	}
	if len(f.texts) > 0 {
		return f.texts[0]
	}
	return ""
}

// name is the field that people call an object by; "" where that is the key.
func (f *fieldNames) name(key string) string {
	for _, want := range []string{"name", "title", "label"} {
		if slices.Contains(f.texts, want) && want != key {
			return want
		}
	}
	return ""
}

// namesOnly keeps the fields that dimensions and attributes may be called by.
func namesOnly(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !word.MatchString(name) })
}
