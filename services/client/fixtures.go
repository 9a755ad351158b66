package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// A FixtureResult says whether an answer became what it must.
type FixtureResult struct {
	Source string `json:"source"`
	Answer string `json:"answer"` // the file
	Diff   string `json:"diff"`   // from what must be to what came; "" where they are the same
	Wrote  string `json:"wrote"`  // the file that was written; "" without update
}

const (
	fixtureFolder = ".test"      // after the source's name, beside its file
	wantEnding    = ".want.yaml" // after the answer's name
)

// TestSources cuts the answers that lie beside source files, in NAME.test, and
// compares what comes of each with the file ANSWER.want.yaml. With update it
// writes those files. No name means all sources; one without answers is not
// among the results.
func TestSources(ctx context.Context, folder string, names []string, update bool) (results []FixtureResult, err error) {
	if len(names) == 0 {
		all, err := source.Load(folder)
		if err != nil {
			return nil, err
		}
		names = sortedKeys(all)
	}
	for _, name := range names {
		src, err := FindSource(folder, name)
		if err != nil {
			return nil, err
		}
		answers, err := answersOf(filepath.Join(folder, name+fixtureFolder))
		if err != nil {
			return nil, err
		}
		for _, answer := range answers {
			feed, err := feedOf(src, answer)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", answer, err)
			}
			r, err := testAnswer(ctx, feed, answer, update)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", answer, err)
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// feedOf returns the source as the feed of an answer has it: tickets.json and
// tickets-2.json are of tickets. Without feeds a file may have any name.
func feedOf(src *source.Source, answer string) (*source.Source, error) {
	if len(src.FeedNames()) == 0 {
		return src, nil
	}
	name := filepath.Base(answer)
	if end := strings.IndexAny(name, ".-"); end >= 0 {
		name = name[:end]
	}
	feed, err := src.Feed(name)
	if err != nil {
		return nil, fmt.Errorf("%w; an answer's file begins with its feed: FEED.json, FEED-2.json", err)
	}
	return feed, nil
}

// answersOf returns the answers in a folder, which need not be there.
func answersOf(folder string) (files []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() && e.Name() != lookupsFile && !strings.HasSuffix(e.Name(), wantEnding) && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	return files, nil
}

func testAnswer(ctx context.Context, src *source.Source, answer string, update bool) (FixtureResult, error) {
	r := FixtureResult{Source: src.Name, Answer: answer}
	file := answer + wantEnding
	want, err := readFixture(file)
	if err != nil && (!update || !errors.Is(err, os.ErrNotExist)) {
		return r, err
	}
	replies, err := repliesOf(filepath.Dir(answer))
	if err != nil {
		return r, err
	}
	got, err := want.cut(ctx, src, replies, answer)
	if err != nil {
		return r, err
	}
	before, err := want.text()
	if err != nil {
		return r, err
	}
	after, err := got.text()
	if err != nil {
		return r, err
	}
	if update {
		r.Wrote = file
		return r, os.WriteFile(file, []byte(after), 0o644) //nolint:gosec // it lies beside the source file, for all to read
	}
	r.Diff = udiff.Unified("want", "got", before, after)
	return r, nil
}

// cut makes what comes of an answer under the fixture's circumstances.
func (f fixture) cut(ctx context.Context, src *source.Source, replies map[string]source.Reply, answer string) (got fixture, err error) {
	got.Account, got.ObservedAt = f.Account, f.ObservedAt
	file, err := os.Open(answer) //nolint:gosec // an answer that the caller names
	if err != nil {
		return got, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return got, err
	}
	a := source.Answer{
		File: file, Size: info.Size(), Format: src.FormatOf(answer), Hash: "answer",
		Account: f.Account, ObservedAt: f.ObservedAt,
	}
	seen := map[string]int{} // place in got.Objects
	err = src.Cut(ctx, a, func(p event.Part, rejects []source.Reject) error {
		got.add(src, replies, p, rejects, seen)
		return nil
	})
	if broken, ok := errors.AsType[*source.FormError](err); ok {
		got.Broken, err = broken.Error(), nil
	}
	return got, err
}

// add adds what was cut of an answer.
func (f *fixture) add(src *source.Source, replies map[string]source.Reply, p event.Part, rejects []source.Reject, seen map[string]int) {
	for i := range p.Objects {
		f.addObject(src, replies, p.Objects, i, seen)
	}
	for _, s := range p.Stats {
		f.Stats = append(f.Stats, fixtureStat{
			Object: nameOf(p.Objects[s.Object]), Day: s.Day.String(), Hour: s.Hour, Rule: s.Rule, Dims: s.Dims, ID: s.ID, Metrics: decimals(s.Metrics),
		})
	}
	for _, r := range rejects {
		f.Rejects = append(f.Rejects, fixtureReject{r.Position, r.Reason})
	}
}

// addObject adds an object of a part, or describes one that was only named.
func (f *fixture) addObject(src *source.Source, replies map[string]source.Reply, objects []event.Object, i int, seen map[string]int) {
	o := objects[i]
	name := nameOf(o)
	at, known := seen[name]
	if !known {
		at = len(f.Objects)
		seen[name] = at
		f.Objects = append(f.Objects, fixtureObject{Object: name})
	}
	if known && !o.Described {
		return
	}
	made := fixtureObject{Object: name, Name: o.Name, Attributes: numbered(o.Attrs)}
	documented(made.Attributes)
	if o.Parent > 0 {
		made.Parent = nameOf(objects[o.Parent-1])
	}
	tags, failed := src.Annotate(viewOf(objects, i), replies)
	made.Tags = tags
	for tag, err := range failed {
		made.Failed = append(made.Failed, tag+": "+err.Error())
	}
	slices.Sort(made.Failed)
	f.Objects[at] = made
}

func nameOf(o event.Object) string { return o.Type + "/" + o.Key }

// viewOf is an object of a part as annotators see it.
func viewOf(objects []event.Object, i int) source.Object {
	view := func(o event.Object) source.Object {
		return source.Object{Type: o.Type, Key: o.Key, Name: o.Name, Attrs: numbered(o.Attrs)}
	}
	v := view(objects[i])
	for p := objects[i].Parent; p > 0; p = objects[p-1].Parent {
		v.Parents = append(v.Parents, view(objects[p-1]))
	}
	return v
}

func decimals(set metric.Set) map[string]decimal {
	m := make(map[string]decimal, len(set))
	for _, e := range set {
		m[e.Name] = decimal(e.Value.Append(nil))
	}
	return m
}
