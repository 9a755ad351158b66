package annotate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/tree"
)

// An Annotation is what the annotators say of an object with certain inputs.
type Annotation struct {
	Inputs []byte             // their hash; nil: no annotator is meant for the object
	Tags   []byte             // canonical JSON
	Failed map[string]Failure // by tag
}

// A Failure is why an annotator gave no tag.
type Failure struct {
	Reason string
	Passes bool // another try may give it

	unasked string      // the address that it needs, and that was not asked yet
	late    *notAskedOf // why it was not
}

// NoTags are the tags of an object that has none.
const NoTags = "{}"

// Annotate runs the annotators of the wanted versions on objects as they are now,
// without asking anybody: a tag that needs http() fails, and passes. Of an object
// that is not there, or that no annotator is meant for, it returns none.
func Annotate(ctx context.Context, q tree.Querier, wanted map[int64]catalog.Version) (map[int64]Annotation, error) {
	subjects, err := read(ctx, q, wanted)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]Annotation, len(subjects))
	for id, s := range subjects {
		if out[id], err = s.annotate(nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// A subject is an object with those annotators that are meant for it.
type subject struct {
	version catalog.Version
	object  source.Object
	inputs  []byte
}

// read reads objects as they are now.
func read(ctx context.Context, q tree.Querier, wanted map[int64]catalog.Version) (map[int64]subject, error) {
	nodes, err := tree.Up(ctx, q, slices.Collect(maps.Keys(wanted)))
	if err != nil {
		return nil, err
	}
	subjects := make(map[int64]subject, len(wanted))
	for id, version := range wanted {
		if node := nodes[id]; node != nil && version.Annotates(node.Type) {
			object := view(node)
			subjects[id] = subject{version, object, version.Inputs(object)}
		}
	}
	return subjects, nil
}

// view is an object as annotators see it.
func view(n *tree.Node) source.Object {
	o := source.Object{Type: n.Type, Key: n.Key, Name: n.Name, Attrs: n.Attrs}
	for p := n.Parent; p != nil; p = p.Parent {
		o.Parents = append(o.Parents, source.Object{Type: p.Type, Key: p.Key, Name: p.Name, Attrs: p.Attrs})
	}
	return o
}

// annotate runs the annotators with what is known of the addresses that they ask.
func (s subject) annotate(known map[string]source.Reply) (Annotation, error) {
	tags, errs := s.version.Annotate(s.object, known)
	a := Annotation{Inputs: s.inputs}
	for tag, err := range errs {
		if a.Failed == nil {
			a.Failed = make(map[string]Failure, len(errs))
		}
		a.Failed[tag] = failureOf(err)
	}
	maps.DeleteFunc(tags, func(_ string, v any) bool { return v == nil })
	var err error
	if a.Tags, err = json.Marshal(tags); err != nil {
		return a, pipeline.Permanent(fmt.Errorf("tags of %s/%s: %w", s.object.Type, s.object.Key, err))
	}
	return a, nil
}

// failureOf says what an annotator's error means. That of the rule itself will
// be the same as long as the object is.
func failureOf(err error) Failure {
	f := Failure{Reason: postgres.Plain(err.Error())}
	if unasked, ok := errors.AsType[*source.Unasked](err); ok {
		f.Passes, f.unasked = true, unasked.Address
	}
	if late, ok := errors.AsType[*notAskedOf](err); ok {
		f.Passes, f.late = true, late
	}
	if reply, ok := errors.AsType[*noReply](err); ok {
		f.Passes = reply.passes
	}
	return f
}

// needs are the addresses that an object's tags wait for.
func (a Annotation) needs() (addresses []string) {
	for _, f := range a.Failed {
		if f.unasked != "" {
			addresses = append(addresses, f.unasked)
		}
	}
	return addresses
}

// passing counts the tags that another try may give, and the others that failed.
func (a Annotation) passing() (passing, final int) {
	for _, f := range a.Failed {
		if f.Passes {
			passing++
		} else {
			final++
		}
	}
	return passing, final
}

// Retry reports whether another try may give a tag that failed.
func (a Annotation) Retry() bool {
	passing, _ := a.passing()
	return passing > 0
}

// With returns the tags with the last value of each that failed and that another
// try may give: until then it stands.
func (a Annotation) With(last []byte) []byte {
	if !a.Retry() || len(last) == 0 {
		return a.Tags
	}
	var now, before map[string]json.RawMessage
	if json.Unmarshal(a.Tags, &now) != nil || json.Unmarshal(last, &before) != nil {
		return a.Tags
	}
	for tag, f := range a.Failed {
		if value, there := before[tag]; there && f.Passes {
			now[tag] = value
		}
	}
	text, err := json.Marshal(now)
	if err != nil {
		return a.Tags
	}
	return text
}

// failed is the column of that name: why each tag failed; nil: none did.
func (a Annotation) failed() map[string]string {
	if len(a.Failed) == 0 {
		return nil
	}
	reasons := make(map[string]string, len(a.Failed))
	for tag, f := range a.Failed {
		reasons[tag] = f.Reason
	}
	return reasons
}

// Stale returns those of some objects whose tags are of other inputs than they
// have under a version: of other fields or rules, or of none yet.
func Stale(ctx context.Context, q tree.Querier, version catalog.Version, ids []int64) (stale []int64, err error) {
	wanted := make(map[int64]catalog.Version, len(ids))
	for _, id := range ids {
		wanted[id] = version
	}
	subjects, err := read(ctx, q, wanted)
	if err != nil {
		return nil, err
	}
	stored, err := Stored(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !bytes.Equal(subjects[id].inputs, stored[id].Inputs) {
			stale = append(stale, id)
		}
	}
	return stale, nil
}
