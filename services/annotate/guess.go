package annotate

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
)

const (
	maxChain = 10               // looks at what a tag needs next: five addresses, each from the one before
	share    = 16               // objects of a message that ask; those of a larger one are shared out
	inHand   = 30 * time.Second // after which nothing more is asked for a batch
)

// A guess is what annotators say of objects as they are before the transaction.
type guess struct {
	notes    map[int64]Annotation
	known    map[string]map[string]source.Reply // by source and address
	deferred map[int64]bool                     // annotated later, in messages of their own
}

// guess annotates objects, and asks for what they need: all addresses of a batch
// at once, each once, then those that the replies lead to.
func (s *Stage) guess(ctx context.Context, changes []event.Changes, wanted map[int64]catalog.Version) (*guess, error) {
	subjects, err := read(ctx, s.DB, wanted)
	if err != nil {
		return nil, err
	}
	g := &guess{notes: make(map[int64]Annotation, len(subjects)), known: map[string]map[string]source.Reply{}, deferred: map[int64]bool{}}
	if err := g.annotate(subjects, subjects); err != nil {
		return nil, err
	}
	open, err := s.unsettled(ctx, subjects, g)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(inHand)
	missed := map[question]bool{} // the cache has no reply
	shared := false
	for range maxChain {
		needs := g.needs(open)
		if len(needs) == 0 {
			return g, nil
		}
		hits, err := s.Lookups.recall(ctx, g, needs, missed)
		if err != nil {
			return nil, err
		}
		if hits == 0 {
			if !shared {
				g.share(changes, open)
				needs, shared = g.needs(open), true
			}
			if err := s.Lookups.ask(ctx, g, needs, until); err != nil {
				return nil, err
			}
		}
		if err := g.annotate(open, subjects); err != nil {
			return nil, err
		}
	}
	g.breakChains(open)
	return g, nil
}

// annotate works out what is said of some objects.
func (g *guess) annotate(some, subjects map[int64]subject) (err error) {
	for id := range some {
		s := subjects[id]
		if g.notes[id], err = s.annotate(g.known[s.version.Name]); err != nil {
			return err
		}
	}
	return nil
}

// unsettled are the objects for which something is to be asked: whose tags are
// not of the same inputs already, or failed, and of no newer version.
func (s *Stage) unsettled(ctx context.Context, subjects map[int64]subject, g *guess) (map[int64]subject, error) {
	open := map[int64]subject{}
	for id, note := range g.notes {
		if len(note.needs()) > 0 {
			open[id] = subjects[id]
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	stored, err := Stored(ctx, s.DB, slices.Collect(maps.Keys(open)))
	if err != nil {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	maps.DeleteFunc(open, func(id int64, s subject) bool {
		old, there := stored[id]
		return there && (old.VersionAt.After(s.version.FirstUsed) || !old.Retry && bytes.Equal(old.Inputs, s.inputs))
	})
	return open, nil
}

// A question is an address that annotators of a source ask for.
type question struct {
	src     *source.Source
	address string
}

// needs are the questions of objects, each once, in an order.
func (g *guess) needs(open map[int64]subject) []question {
	var list []question
	seen := map[[2]string]bool{}
	for _, id := range slices.Sorted(maps.Keys(open)) {
		src := open[id].version.Source
		for _, address := range g.notes[id].needs() {
			if key := [2]string{src.Name, address}; !seen[key] {
				seen[key] = true
				list = append(list, question{src, address})
			}
		}
	}
	return list
}

// learn keeps the reply of an address.
func (g *guess) learn(q question, r source.Reply) {
	if g.known[q.src.Name] == nil {
		g.known[q.src.Name] = map[string]source.Reply{}
	}
	g.known[q.src.Name][q.address] = r
}

// share has the objects of messages that ask much be annotated in messages of
// their own, so that other workers take some.
func (g *guess) share(changes []event.Changes, open map[int64]subject) {
	for _, c := range changes {
		var asking []int64
		for _, o := range c.Objects {
			if _, ok := open[o.ID]; ok && (o.Self || o.Above) && len(g.notes[o.ID].needs()) > 0 {
				asking = append(asking, o.ID)
			}
		}
		if len(asking) > share {
			for _, id := range asking {
				g.deferred[id] = true
			}
		}
	}
	for id := range g.deferred {
		delete(open, id)
		delete(g.notes, id)
	}
}

// breakChains gives up tags whose addresses lead to ever more addresses.
func (g *guess) breakChains(open map[int64]subject) {
	for id := range open {
		for tag, f := range g.notes[id].Failed {
			if f.unasked != "" {
				g.notes[id].Failed[tag] = Failure{Reason: fmt.Sprintf("one address leads to another more than %d times: %s", maxChain/2, f.unasked)}
			}
		}
	}
}
