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
	Source string // "" for all
	Repair bool   // mark what differs, for rollup to write
}

// Checked is what a check came to.
type Checked struct {
	Sources     []string `json:"sources"`
	Objects     int64    `json:"objects"`
	Documents   int64    `json:"documents"`   // that should be in MongoDB
	Differences int64    `json:"differences"` // those told of
	Passed      int64    `json:"marked"`      // documents that differ and are marked already
	OpenJobs    int64    `json:"open_jobs"`   // of these sources: what they change may not be in MongoDB yet
	Repairs     []Repair `json:"repairs"`
	Beyond      int64    `json:"not_repairable"` // differences that no mark cures
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

// Check compares the rows of PostgreSQL with the documents of MongoDB, and tells
// every difference that is still there on a second look.
func (c *Client) Check(ctx context.Context, what Checking, tell func(Difference)) (Checked, error) {
	start := time.Now()
	k := &check{Client: c, tell: tell, Checked: Checked{Repairs: []Repair{}}}
	err := k.run(ctx, what)
	k.Seconds = time.Since(start).Seconds()
	return k.Checked, err
}

type check struct {
	*Client
	Checked
	halves   []half // those that stats has days of
	suspects []document
	broken   []document // those that differed on the second look
	tell     func(Difference)
}

func (k *check) run(ctx context.Context, what Checking) error {
	if err := k.migrated(ctx); err != nil {
		return err
	}
	if err := mongodb.Ping(ctx, k.mongo); err != nil {
		return err
	}
	names, err := k.sourceNames(ctx, what.Source)
	if err != nil {
		return err
	}
	k.Sources = names
	if k.halves, err = k.statHalves(ctx); err != nil {
		return fmt.Errorf("half-years of stats: %w", err)
	}
	for _, name := range names {
		if err := k.fromRows(ctx, name); err != nil {
			return fmt.Errorf("check %s: %w", name, err)
		}
		if err := k.fromDocuments(ctx, name); err != nil {
			return fmt.Errorf("check the documents of %s: %w", name, err)
		}
	}
	if what.Source == "" {
		if err := k.strays(ctx); err != nil {
			return err
		}
	}
	if err := k.again(ctx); err != nil {
		return err
	}
	if k.OpenJobs, err = k.countOpen(ctx); err != nil || !what.Repair {
		return err
	}
	k.Repairs, err = k.repair(ctx, k.broken)
	return err
}

// found tells of a difference.
func (k *check) found(d Difference) {
	k.Differences++
	k.tell(d)
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

// fromRows looks at all documents that the rows of a source ask for, and at all
// that the table documents has of its objects.
func (k *check) fromRows(ctx context.Context, name string) error {
	var last int64
	for {
		objects, err := k.objectsAfter(ctx, name, last)
		if err != nil || len(objects) == 0 {
			return err
		}
		last = objects[len(objects)-1].id
		k.Objects += int64(len(objects))
		if err := k.sumHours(ctx, objects); err != nil {
			return err
		}
		docs, err := k.documentsOf(ctx, name, objects)
		if err != nil {
			return err
		}
		for chunk := range chunks(docs) {
			looked, err := k.look(ctx, name, chunk)
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
		}
	}
}

// again takes the second look, at what differed on the first.
func (k *check) again(ctx context.Context) error {
	if len(k.suspects) == 0 {
		return nil
	}
	if err := sleep(ctx, k.pause); err != nil {
		return err
	}
	slices.SortFunc(k.suspects, func(a, b document) int { return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.id, b.id)) })
	suspects := slices.Compact(k.suspects)
	for len(suspects) > 0 {
		name := suspects[0].source
		n := slices.IndexFunc(suspects, func(d document) bool { return d.source != name })
		if n < 0 {
			n = len(suspects)
		}
		for chunk := range chunks(suspects[:n]) {
			if err := k.lookAgain(ctx, name, chunk); err != nil {
				return err
			}
		}
		suspects = suspects[n:]
	}
	return nil
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
	if l.impossible && !l.held { // nothing is left of it but a row of the table documents
		k.Beyond += int64(len(l.differences))
		return
	}
	k.broken = append(k.broken, l.document)
}

// chunkWeight bounds what is held in memory at once. A document with days
// weighs as much as ten without.
const (
	chunkWeight = 1000
	halfWeight  = 10
)

// chunks cuts documents into chunks of bounded weight.
func chunks(docs []document) func(yield func([]document) bool) {
	return func(yield func([]document) bool) {
		for len(docs) > 0 {
			n, weight := 0, 0
			for n < len(docs) && weight < chunkWeight {
				weight += halfWeight
				if docs[n].half == allTime {
					weight -= halfWeight - 1
				}
				n++
			}
			if !yield(docs[:n]) {
				return
			}
			docs = docs[n:]
		}
	}
}
