package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/redact"
)

// A Problem is one thing that is wrong with a source file, and where.
type Problem struct {
	File         string // of the directory that was loaded; empty from Parse
	Line, Column int    // from 1; 0: the file as a whole
	Path         string // of the setting: records[0].object.type
	Message      string
}

// Error says it as FILE:LINE:COLUMN: PATH: MESSAGE, which editors can jump to.
func (p *Problem) Error() string {
	var parts []string
	if p.File != "" {
		parts = append(parts, p.File)
	}
	if p.Line > 0 {
		parts = append(parts, fmt.Sprintf("%d:%d", p.Line, p.Column))
	}
	where := strings.Join(parts, ":")
	if where != "" {
		where += ": "
	}
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Message
}

// Problems is all that is wrong with a source file, in the file's order.
type Problems []*Problem

// Error has a line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a Problem.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// Broken sorts what Load returned by the names of the sources whose files are
// wrong. What is not of one file is not in it.
func Broken(err error) map[string]Problems {
	broken := map[string]Problems{}
	for _, p := range flatten(err) {
		name := strings.TrimSuffix(p.File, ".yaml")
		broken[name] = append(broken[name], p)
	}
	return broken
}

// flatten returns the Problems of an error.
func flatten(err error) Problems {
	switch e := err.(type) { //nolint:errorlint // it takes apart what Load has joined
	case *Problem:
		return Problems{e}
	case interface{ Unwrap() []error }:
		var all Problems
		for _, one := range e.Unwrap() {
			all = append(all, flatten(one)...)
		}
		return all
	}
	return nil
}

// Err is nil when there is no problem, else the Problems in the order of the file.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}

// in says which file the problems are of.
func (ps Problems) in(file string) Problems {
	for _, p := range ps {
		p.File = file
	}
	return ps
}

// found quotes what a file holds, cut to a length that a message can bear.
func found(s string) string {
	s = redact.Text(s) // before it is cut, so that no piece of a secret is left
	if r := []rune(s); len(r) > 60 {
		return fmt.Sprintf("%q…", string(r[:60]))
	}
	return fmt.Sprintf("%q", s)
}

// oneOf says what is allowed, after the one that was probably meant.
func oneOf(given string, allowed []string) string {
	if len(allowed) == 0 {
		return "there is none"
	}
	list := "allowed: " + strings.Join(allowed, ", ")
	if near := nearest(given, allowed); near != "" {
		return "did you mean " + near + "? " + list
	}
	return list
}

// nearest returns the word that is one or two slips away from s, or "".
func nearest(s string, words []string) string {
	if len(s) > 63 {
		return ""
	}
	best, least := "", min(2, len(s)/2)+1
	for _, w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, change or swap with the next to
// make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
