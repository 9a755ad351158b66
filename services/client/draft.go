package client

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/source"
)

// A Draft is a first source file, made of an answer.
type Draft struct {
	Text    string `json:"text"`
	Objects int    `json:"objects"` // that the file makes of the answer, and so on
	Stats   int    `json:"stats"`
	Rejects int    `json:"rejects"`
	First   string `json:"first_reject"` // "" where there is none
}

// DraftSource reads a sample of what a source answers, guesses what its fields
// mean by their names and values, and tries the file on the sample. It is for a
// person to read and to mend.
func DraftSource(ctx context.Context, name, sample string) (d Draft, err error) {
	rows, format, err := readSample(sample)
	if err != nil {
		return d, fmt.Errorf("%s: %w", sample, err)
	}
	g := guesser{file: draftFile{Source: name, Timezone: "UTC"}}
	g.file.HTTP.BaseURL = "https://api.example.com"
	g.file.Fetch.Report = draftReport{Path: "/report?from={from}&to={to}", Format: format}
	g.top(singular(name), rows)
	if len(g.file.Records) == 0 {
		return d, fmt.Errorf("%s: it has no list of objects from which a rule could be guessed", sample)
	}
	var b bytes.Buffer
	b.WriteString("# yaml-language-server: $schema=schema.json\n# Guessed from " + filepath.Base(sample) + ": read it, and mend what is wrong.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(g.file); err != nil {
		return d, err
	}
	d.Text = b.String()
	return d, d.try(ctx, sample)
}

// try cuts the sample under the draft.
func (d *Draft) try(ctx context.Context, sample string) error {
	src, err := source.Parse([]byte(d.Text), nil)
	if err != nil {
		return fmt.Errorf("the draft is no good source file; write it by hand, from this:\n%s%w", d.Text, err)
	}
	file, err := os.Open(sample) //nolint:gosec // the caller names it
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	a := source.Answer{File: file, Size: info.Size(), Format: src.FormatOf(sample), Hash: "answer", ObservedAt: time.Now()}
	return src.Cut(ctx, a, func(p event.Part, rejects []source.Reject) error {
		for _, o := range p.Objects {
			if o.Described {
				d.Objects++
			}
		}
		d.Stats += len(p.Stats)
		if d.Rejects == 0 && len(rejects) > 0 {
			d.First = rejects[0].Position + ": " + rejects[0].Reason
		}
		d.Rejects += len(rejects)
		return nil
	})
}

// The file, as far as it is guessed.
type draftFile struct {
	Source   string      `yaml:"source"`
	Timezone string      `yaml:"timezone"`
	HTTP     draftHTTP   `yaml:"http"`
	Fetch    draftFetch  `yaml:"fetch"`
	Dates    []string    `yaml:"dates,flow,omitempty"`
	Records  []draftRule `yaml:"records"`
	Rollup   draftRollup `yaml:"rollup,omitempty"`
}

type draftHTTP struct {
	BaseURL string `yaml:"base_url"`
}

type draftFetch struct {
	Report draftReport `yaml:"report"`
}

type draftReport struct {
	Path   string `yaml:"path"`
	Format string `yaml:"format"`
}

type draftRule struct {
	Each     string       `yaml:"each,omitempty"`
	Object   *draftObject `yaml:"object,omitempty"`
	Stat     *draftStat   `yaml:"stat,omitempty"`
	Children []draftRule  `yaml:"children,omitempty"`
}

type draftObject struct {
	Type       string   `yaml:"type"`
	Key        string   `yaml:"key"`
	Name       string   `yaml:"name,omitempty"`
	Attributes []string `yaml:"attributes,flow,omitempty"`
}

type draftStat struct {
	Day        string   `yaml:"day"`
	Dimensions []string `yaml:"dimensions,flow,omitempty"`
	Metrics    string   `yaml:"metrics"`
}

type draftRollup struct {
	Dimensions []string `yaml:"dimensions,flow,omitempty"`
}

// A guesser makes rules of elements.
type guesser struct{ file draftFile }

// top takes the answer: a list of rows, or one object, which is what lists come
// in.
func (g *guesser) top(typ string, rows []element) {
	lists := listsOf(rows)
	if wrapped := len(rows) == 1 && len(lists) > 0; !wrapped {
		if rule, ok := g.rule(typ, rows, false); ok {
			g.file.Records = append(g.file.Records, rule)
		}
		return
	}
	for _, list := range lists {
		if rule, ok := g.rule(singular(list.path), list.rows, false); ok {
			rule.Each = list.path
			g.file.Records = append(g.file.Records, rule)
		}
	}
}

// rule guesses what the elements of a list are: objects, stats of the object
// around them, or both.
func (g *guesser) rule(typ string, rows []element, within bool) (r draftRule, ok bool) {
	f := fieldsOf(rows)
	key := f.key(typ)
	if f.day != "" && len(f.numbers) > 0 {
		r.Stat = &draftStat{Day: f.day, Metrics: "*"}
		if f.form != "" && !slices.Contains(g.file.Dates, f.form) {
			g.file.Dates = append(g.file.Dates, f.form)
		}
	}
	if r.Stat == nil || !within {
		if key == "" {
			return r, false
		}
		r.Object = &draftObject{Type: typ, Key: key, Name: f.name(key)}
	}
	rest := slices.DeleteFunc(slices.Clone(f.texts), func(name string) bool {
		return name == f.day || r.Object != nil && (name == r.Object.Key || name == r.Object.Name)
	})
	switch {
	case r.Stat != nil:
		r.Stat.Dimensions = namesOnly(rest)
		g.file.Rollup.Dimensions = addAll(g.file.Rollup.Dimensions, r.Stat.Dimensions)
	default:
		r.Object.Attributes = namesOnly(append(rest, slices.DeleteFunc(f.numbers, func(n string) bool { return n == key })...))
		slices.Sort(r.Object.Attributes)
	}
	for _, list := range listsOf(rows) {
		if child, ok := g.rule(singular(list.path), list.rows, r.Object != nil); ok {
			child.Each = list.path
			r.Children = append(r.Children, child)
		}
	}
	return r, true
}

// addAll adds the words that are not there yet.
func addAll(to, words []string) []string {
	for _, w := range words {
		if !slices.Contains(to, w) {
			to = append(to, w)
		}
	}
	return to
}

// singular is what one of them is called.
func singular(path string) string {
	name := path[strings.LastIndex(path, ".")+1:]
	switch {
	case strings.HasSuffix(name, "ies"):
		name = strings.TrimSuffix(name, "ies") + "y"
	case strings.HasSuffix(name, "s") && !strings.HasSuffix(name, "ss"):
		name = strings.TrimSuffix(name, "s")
	}
	if !word.MatchString(name) {
		return "item"
	}
	return strings.ToLower(name)
}
