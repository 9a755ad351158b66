package client

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/source"
)

// A SourceRow describes a source file in a line.
type SourceRow struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Kind     string   `json:"kind"` // of its stats
	Types    []string `json:"types"`
	Accounts []string `json:"accounts"`
	Feeds    []string `json:"feeds"`
	Asks     string   `json:"asks"`              // "" where a job names the url
	Problem  string   `json:"problem,omitempty"` // why the file cannot be used
}

// Sources lists the source files. The error says what is wrong with them.
func Sources(folder string) ([]SourceRow, error) {
	all, err := source.Load(folder)
	rows := []SourceRow{}
	for _, name := range sortedKeys(all) {
		s := all[name]
		row := SourceRow{Name: name, Version: s.Hash, Kind: s.Stats.Kind, Types: []string{}, Accounts: s.AccountNames(), Feeds: s.FeedNames()}
		for _, t := range s.Types() {
			row.Types = append(row.Types, t.Name)
		}
		row.Asks = asks(s)
		rows = append(rows, row)
	}
	for name, problems := range source.Broken(err) {
		rows = append(rows, SourceRow{Name: name, Types: []string{}, Accounts: []string{}, Problem: problems.Error()})
	}
	slices.SortFunc(rows, func(a, b SourceRow) int { return strings.Compare(a.Name, b.Name) })
	return rows, err
}

// asks is where a source is asked, each of its feeds.
func asks(s *source.Source) string {
	var all []string
	for _, feed := range s.EachFeed() {
		if feed.Fetch.Report.Path != "" {
			all = append(all, strings.TrimSuffix(feed.HTTP.BaseURL, "/")+feed.Fetch.Report.Path)
		}
	}
	return strings.Join(all, ", ")
}

// FindSource returns a source by its name.
func FindSource(folder, name string) (*source.Source, error) {
	all, err := source.Load(folder)
	switch s := all[name]; {
	case s != nil:
		return s, nil
	case err != nil && all == nil:
		return nil, err
	case source.Broken(err)[name] != nil:
		return nil, fmt.Errorf("%w of %q is wrong (`leat source lint`)", errBroken, name)
	}
	return nil, fmt.Errorf("source: found %q; in %s there are %s", name, folder, orNone(sortedKeys(all)))
}

var errBroken = errors.New("source: the file")

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// A Problem is one thing that is wrong with a source file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: the file as a whole
	Column  int    `json:"column"`
	Path    string `json:"path"` // of the setting: records[0].object.type
	Message string `json:"message"`
}

// String writes the problem so that editors can jump to it.
func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	if p.Path != "" {
		where += ": " + p.Path
	}
	return where + ": " + p.Message
}

// Lint returns how many source files it read and what is wrong with them: the
// given files, else all of the folder. A file that cannot be read is an error.
func Lint(folder string, files []string) (checked int, found []Problem, err error) {
	wanted := map[string]map[string]bool{} // by folder; nil: all of it
	if len(files) == 0 {
		wanted[folder] = nil
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return 0, nil, err
		}
		dir, base := filepath.Split(file)
		dir = filepath.Clean(dir)
		if wanted[dir] == nil {
			wanted[dir] = map[string]bool{}
		}
		wanted[dir][base] = true
	}
	for _, dir := range sortedKeys(wanted) {
		n, these, err := lintFolder(dir, wanted[dir])
		if err != nil {
			return 0, nil, err
		}
		checked, found = checked+n, append(found, these...)
	}
	return checked, found, nil
}

func lintFolder(dir string, only map[string]bool) (checked int, found []Problem, err error) {
	all, err := source.Load(dir)
	if all == nil && err != nil {
		return 0, nil, err
	}
	for name := range all {
		if only == nil || only[name+".yaml"] {
			checked++
		}
	}
	broken := map[string]bool{}
	for _, p := range problems(err) {
		if only != nil && !only[p.File] {
			continue
		}
		broken[p.File] = true
		p.File = filepath.Join(dir, p.File)
		found = append(found, p)
	}
	for name := range only {
		if !broken[name] && all[strings.TrimSuffix(name, ".yaml")] == nil {
			return 0, nil, fmt.Errorf("%s is no source file: its name would end in .yaml", filepath.Join(dir, name))
		}
	}
	return checked + len(broken), found, nil
}

// problems are the single problems of what source.Load returned.
func problems(err error) []Problem {
	var p *source.Problem
	switch many, ok := err.(interface{ Unwrap() []error }); {
	case err == nil:
		return nil
	case ok:
		var all []Problem
		for _, e := range many.Unwrap() {
			all = append(all, problems(e)...)
		}
		return all
	case errors.As(err, &p):
		return []Problem{{p.File, p.Line, p.Column, p.Path, p.Message}}
	}
	return []Problem{{Message: err.Error()}}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
