package source

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Parse reads a source file and the tables that its annotators look up, by
// their names without .csv; it keeps those that are used. It touches nothing
// else, so that a worker can rebuild a source from what PostgreSQL keeps of it.
//
// The error is Problems: everything that is wrong with the file, with its place.
// Of a broken file there is no Source.
func Parse(text []byte, tables map[string][]byte) (*Source, error) {
	return parse(text, func(name string) ([]byte, error) {
		table, ok := tables[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		return table, nil
	})
}

// A tableReader returns the CSV of a table's name, os.ErrNotExist when there is none.
type tableReader func(name string) ([]byte, error)

func parse(text []byte, tables tableReader) (*Source, error) {
	s := &Source{Text: text, compiled: &compiled{byName: map[string]*Type{}}}
	d := &decoder{at: map[string]position{}}
	d.decode(text, s)
	if _, read := d.at[""]; read {
		v := newValidator(d, s)
		v.defaults()
		v.validate()
		v.annotate(tables)
	}
	if err := d.problems.Err(); err != nil {
		return nil, err
	}
	s.Hash = version(s)
	s.seal()
	return s, nil
}

// version is the hash of the text and of the tables, each preceded by its
// length so that none can pass for part of another.
func version(s *Source) string {
	h := sha256.New()
	put := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	put(s.Text)
	for _, name := range sortedKeys(s.Tables) {
		put([]byte(name))
		put(s.Tables[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// defaults sets what the file does not say.
func (v *validator) defaults() {
	setDefault(&v.Timezone, "UTC")
	setDefault(&v.HTTP.Timeout, usualTimeout)
	setDefault(&v.Numbers.Decimal, ".")
	v.askedDefaults()
	setDefault(&v.Stats.Kind, KindTotal)
	setDefault(&v.Stats.Absent, AbsentKeep)
	for i := range v.Accounts {
		setDefault(&v.Accounts[i].Timezone, v.Timezone)
	}
}

// askedDefaults sets what the file does not say of what is asked.
func (v *validator) askedDefaults() {
	setDefault(&v.Fetch.Report.Format, "json")
	setDefault(&v.Fetch.Report.Lookback, 30)
	setDefault(&v.Fetch.Report.Encoding, encodingUTF8)
	setDefault(&v.Fetch.Keep, 30)
	for _, r := range v.Fetch.Errors {
		setDefault(&r.Then, ThenRetry)
	}
	if c := v.Fetch.Changes; c != nil {
		setDefault(&c.Batch, 50)
		if !v.has("fetch.changes.expired") {
			c.Expired = []string{"410"}
		}
	}
	v.streamDefaults()
	v.asyncDefaults()
}

func setDefault[T comparable](setting *T, value T) {
	var zero T
	if *setting == zero {
		*setting = value
	}
}

// Load reads all sources of a directory: each NAME.yaml, and beside them
// NAME.csv for each table that an annotator looks up. The error holds the
// Problems of the files that are wrong; the sources of the others are returned.
func Load(dir string) (map[string]*Source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	sources := map[string]*Source{}
	var errs []error
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		switch filepath.Ext(e.Name()) {
		case ".yaml":
			s, err := loadFile(dir, e.Name())
			if err != nil {
				errs = append(errs, err)
				continue
			}
			sources[s.Name] = s
		case ".yml":
			errs = append(errs, &Problem{File: e.Name(), Message: "the name of a source file ends in .yaml"})
		}
	}
	return sources, errors.Join(errs...)
}

// Stamps is another text when a file of a directory was written since; it reads
// none of them.
func Stamps(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			fmt.Fprintln(&all, e.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return all.String()
}

func loadFile(dir, file string) (*Source, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, &Problem{File: file, Message: err.Error()}
	}
	s, err := parse(text, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, name+".csv"))
	})
	if problems, ok := errors.AsType[Problems](err); ok {
		return nil, problems.in(file)
	} else if err != nil {
		return nil, err
	}
	if want := strings.TrimSuffix(file, ".yaml"); s.Name != want {
		return nil, &Problem{File: file, Path: "source", Message: fmt.Sprintf("found %s; a source is named as its file: %s", found(s.Name), want)}
	}
	return s, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
