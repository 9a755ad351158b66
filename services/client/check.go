package client

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/mongodb"
)

// Checking says what to check.
type Checking struct {
	Source string    // "" for all
	Since  time.Time // only objects that changed since, and what stands above them; zero: all
	Sample Sample    // only some of the objects
	Repair bool      // through the pipeline: marks for rollup, messages for the stages
	Why    string    // it is repaired, for audit; empty: what was found says enough
}

// because is why something is repaired: the operator's reason, and what was found.
func (w Checking) because(found string) string {
	if w.Why == "" {
		return found
	}
	return w.Why + " (" + found + ")"
}

// all reports whether every object is looked at.
func (w Checking) all() bool { return w.Since.IsZero() && w.Sample == Sample{} }

// Checked is what a check came to.
type Checked struct {
	Sources     []string `json:"sources"`
	Objects     int64    `json:"objects"`
	Documents   int64    `json:"documents"`   // that should be in MongoDB
	Differences int64    `json:"differences"` // those told of
	Passed      int64    `json:"marked"`      // what differs and is on its way: documents that are marked, tags that are to be annotated
	OpenJobs    int64    `json:"open_jobs"`   // of these sources: what they change may not be in MongoDB yet
	Repairs     []Repair `json:"repairs"`
	Beyond      int64    `json:"not_repairable"` // differences that no repair cures
	Unchecked   []string `json:"unchecked"`      // what could not be looked at, and why
	Seconds     float64  `json:"seconds"`
}

// A document is named by its source and _id, and the object and the half that
// these mean: 0 where there is no such object.
type document struct {
	source, id string
	object     int64
	half       string
	impossible bool // no mark of the object and the half takes it out
}

func (d document) place() string { return d.source + "/" + d.id }

// Check goes through the books: the rows of PostgreSQL by themselves, the tags
// against the annotators, the documents of MongoDB against the rows, the ledger
// against the queues. What differs and may be on its way is looked at twice;
// what differs still is told. Its memory does not grow with the tables: it does
// with the tree below a hundred documents.
func (c *Client) Check(ctx context.Context, what Checking, tell func(Difference)) (Checked, error) {
	start := time.Now()
	k := &check{Client: c, what: what, tell: tell, day: start.Unix() / (24 * 60 * 60), Checked: Checked{Repairs: []Repair{}, Unchecked: []string{}}}
	err := k.run(ctx)
	k.Seconds = time.Since(start).Seconds()
	return k.Checked, err
}

type check struct {
	*Client
	Checked
	what     Checking
	day      int64  // which sample is taken
	halves   []half // those that stats has days of
	circular bool   // some objects may stand above themselves
	suspects []document
	untagged []tagged   // objects whose tags differed on the first look
	broken   []document // those that differed on the second look
	top      newest
	tell     func(Difference)
}

// suspectsAtOnce is how many suspects are kept before the second look at them.
const suspectsAtOnce = 10_000

func (k *check) run(ctx context.Context) error {
	if err := k.prepare(ctx); err != nil {
		return err
	}
	for _, name := range k.Sources {
		if err := k.ofSource(ctx, name); err != nil {
			return err
		}
	}
	if k.what.Source == "" && k.what.all() {
		if err := k.strays(ctx); err != nil {
			return err
		}
	}
	for _, look := range []func(context.Context) error{k.again, k.sequences, k.overdue, k.messages} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	var err error
	k.OpenJobs, err = k.countOpen(ctx, k.Sources)
	return err
}

// prepare looks whether there is anything to compare, and what.
func (k *check) prepare(ctx context.Context) (err error) {
	if err := k.migrated(ctx); err != nil {
		return err
	}
	if err := mongodb.Ping(ctx, k.mongo); err != nil {
		return err
	}
	if k.Sources, err = k.sourceNames(ctx, k.what.Source); err != nil {
		return err
	}
	if k.halves, err = k.statHalves(ctx); err != nil {
		return fmt.Errorf("half-years of stats: %w", err)
	}
	if k.circular, err = k.anyBelowItself(ctx); err != nil {
		return fmt.Errorf("parents of objects: %w", err)
	}
	return nil
}

func (k *check) ofSource(ctx context.Context, name string) error {
	k.top = newest{}
	if err := k.fromRows(ctx, name); err != nil {
		return fmt.Errorf("check %s: %w", name, err)
	}
	if k.what.all() {
		if err := k.fromDocuments(ctx, name); err != nil {
			return fmt.Errorf("check the documents of %s: %w", name, err)
		}
	}
	return k.revOf(ctx, name)
}

// found tells of a difference.
func (k *check) found(d Difference) {
	k.Differences++
	k.tell(d)
}

// beyond tells of a difference that no repair cures.
func (k *check) beyond(d Difference) {
	k.found(d)
	k.Beyond++
}

// sourceNames returns the sources that have objects or documents, or only the one asked for.
func (k *check) sourceNames(ctx context.Context, only string) ([]string, error) {
	known := map[string]bool{}
	stored, err := k.storedSources(ctx)
	if err != nil {
		return nil, err
	}
	collections, err := k.mongo.ListCollectionNames(ctx, bson.M{})
	if err != nil {
		return nil, mongodb.Classify(fmt.Errorf("list collections: %w", err))
	}
	for _, name := range append(stored, collections...) {
		known[name] = !strings.HasPrefix(name, "system.") // those are the server's own
	}
	maps.DeleteFunc(known, func(_ string, ours bool) bool { return !ours })
	switch {
	case only == "":
		return slices.Sorted(maps.Keys(known)), nil
	case !known[only]:
		return nil, fmt.Errorf("source %q has neither objects nor documents; there are %s", only, orNone(slices.Sorted(maps.Keys(known))))
	}
	return []string{only}, nil
}

// fromRows looks at the objects of a source, at their stats and tags, at all
// documents that their rows ask for, and at all that the table documents has of them.
func (k *check) fromRows(ctx context.Context, name string) error {
	return k.pages(ctx, name, func(objects []object) error {
		k.Objects += int64(len(objects))
		for _, look := range []func(context.Context, string, []object) error{k.parents, k.figures, k.sumHours, k.lookAtTags} {
			if err := look(ctx, name, objects); err != nil {
				return err
			}
		}
		docs, err := k.documentsOf(ctx, name, objects)
		if err != nil {
			return err
		}
		for chunk := range chunks(docs) {
			if err := k.lookAt(ctx, name, chunk); err != nil {
				return err
			}
		}
		return k.atTimes(ctx)
	})
}

// lookAt takes the first look at documents.
func (k *check) lookAt(ctx context.Context, name string, docs []document) error {
	looked, err := k.look(ctx, name, docs)
	if err != nil {
		return err
	}
	for _, l := range looked {
		if l.wanted {
			k.Documents++
		}
		if len(l.differences) > 0 {
			k.suspects = append(k.suspects, l.document)
		}
	}
	return nil
}

// atTimes takes the second look when there is enough to look at.
func (k *check) atTimes(ctx context.Context) error {
	if len(k.suspects)+len(k.untagged) < suspectsAtOnce {
		return nil
	}
	return k.again(ctx)
}

// again takes the second look, at what differed on the first, and repairs what
// differs still.
func (k *check) again(ctx context.Context) error {
	if len(k.suspects)+len(k.untagged) == 0 {
		return nil
	}
	if err := sleep(ctx, k.pause); err != nil {
		return err
	}
	slices.SortFunc(k.suspects, func(a, b document) int { return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.id, b.id)) })
	suspects := slices.Compact(k.suspects)
	for len(suspects) > 0 {
		n := leading(suspects, func(d document) string { return d.source })
		for chunk := range chunks(suspects[:n]) {
			if err := k.lookAgain(ctx, chunk[0].source, chunk); err != nil {
				return err
			}
		}
		suspects = suspects[n:]
	}
	broken, err := k.tagsAgain(ctx)
	if err != nil {
		return err
	}
	if k.what.Repair {
		if err := k.repair(ctx, k.broken, broken); err != nil {
			return err
		}
	}
	k.suspects, k.untagged, k.broken = nil, nil, nil
	return nil
}

// leading returns how many elements at the beginning of a list have the same key.
func leading[T any](list []T, key func(T) string) int {
	n := slices.IndexFunc(list, func(e T) bool { return key(e) != key(list[0]) })
	if n < 0 {
		return len(list)
	}
	return n
}

func (k *check) lookAgain(ctx context.Context, name string, docs []document) error {
	looked, err := k.look(ctx, name, docs)
	if err != nil {
		return err
	}
	for _, l := range looked {
		switch {
		case len(l.differences) == 0:
		case l.marked:
			k.Passed++
		default:
			k.differs(l)
		}
	}
	return nil
}

// differs tells of a document that differs on the second look, and keeps it for
// the repair.
func (k *check) differs(l look) {
	for _, d := range l.differences {
		k.found(d)
	}
	l.impossible = !l.wanted && !isHalf(l.half)
	if l.unreadable || l.impossible && !l.held { // nothing is left of it but a row of the table documents
		k.Beyond += int64(len(l.differences))
		return
	}
	k.broken = append(k.broken, l.document)
}
