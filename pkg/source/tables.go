package source

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A table is a CSV file by its first column: the text of the second column, or
// a map of column to text where there are more than two.
type table map[string]any

// readTable reads a CSV file with a heading.
func readTable(text []byte) (table, error) {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("it is not UTF-8 text")
	}
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	heading, err := in.Read()
	switch {
	case errors.Is(err, io.EOF) || (err == nil && len(heading) < 2):
		return nil, errors.New("it needs a heading with two columns or more, the first of them the key")
	case err != nil:
		return nil, err
	case len(unique(heading)) != len(heading):
		return nil, errors.New("two columns of the heading have the same name")
	}
	return readRows(in, slices.Clone(heading))
}

func readRows(in *csv.Reader, heading []string) (table, error) {
	rows := table{}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		if _, twice := rows[row[0]]; twice {
			return nil, fmt.Errorf("line %d: key %s stands twice", line, found(row[0]))
		}
		rows[row[0]] = rowValue(heading, row)
	}
}

func rowValue(heading, row []string) any {
	if len(row) == 2 {
		return row[1]
	}
	columns := make(map[string]any, len(row)-1)
	for i, name := range heading[1:] {
		columns[name] = row[i+1]
	}
	return columns
}

// lookup returns the function that annotators call; nil is for a key that the
// table does not have.
func lookup(tables map[string]table) func(params ...any) (any, error) {
	return func(params ...any) (any, error) {
		key, err := keyText(params[1])
		if err != nil || key == nil {
			return nil, err
		}
		return tables[params[0].(string)][*key], nil
	}
}

// keyText writes a key as a CSV file has it.
func keyText(key any) (*string, error) {
	var s string
	switch key := key.(type) {
	case nil:
		return nil, nil
	case string:
		s = key
	case bool:
		s = strconv.FormatBool(key)
	case int:
		s = strconv.Itoa(key)
	case float64:
		s = strconv.FormatFloat(key, 'f', -1, 64)
	default:
		return nil, fmt.Errorf("lookup: a key must be text or a number, not %T", key)
	}
	return &s, nil
}

// table reads a table that an annotator names and keeps its text.
func (v *validator) table(name string, read tableReader) (table, error) {
	text, err := read(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s.csv beside the source file", name)
	} else if err != nil {
		return nil, fmt.Errorf("%s.csv: %w", name, err)
	}
	rows, err := readTable(text)
	if err != nil {
		return nil, fmt.Errorf("%s.csv: %w", name, err)
	}
	if v.Tables == nil {
		v.Tables = map[string][]byte{}
	}
	v.Tables[name] = text
	return rows, nil
}
