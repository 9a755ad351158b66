package annotate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/tree"
)

// An Annotation is what the annotators say of an object with certain inputs.
type Annotation struct {
	Inputs []byte // their hash; nil: no annotator is meant for the object
	Tags   []byte // canonical JSON
	Failed int    // annotators
}

// NoTags are the tags of an object that has none.
const NoTags = "{}"

// Annotate runs the annotators of the wanted versions on objects as they are
// now, but for those of which guess says what they come to with the same inputs.
// Of an object that is not there, or that no annotator is meant for, it returns
// none. An annotator that fails leaves its tag out, and is told to failed.
func Annotate(ctx context.Context, q tree.Querier, wanted map[int64]catalog.Version, guess map[int64]Annotation,
	failed func(n *tree.Node, tag string, err error)) (map[int64]Annotation, error) {
	nodes, err := tree.Up(ctx, q, slices.Collect(maps.Keys(wanted)))
	if err != nil {
		return nil, err
	}
	out := make(map[int64]Annotation, len(wanted))
	for id, version := range wanted {
		node := nodes[id]
		if node == nil || !version.Annotates(node.Type) {
			continue
		}
		object := view(node)
		inputs := version.Inputs(object)
		if g, ok := guess[id]; ok && bytes.Equal(g.Inputs, inputs) {
			out[id] = g
			continue
		}
		tags, errs := version.Annotate(object)
		for tag, err := range errs {
			failed(node, tag, err)
		}
		maps.DeleteFunc(tags, func(_ string, v any) bool { return v == nil })
		text, err := json.Marshal(tags)
		if err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("tags of %s/%s: %w", node.Type, node.Key, err))
		}
		out[id] = Annotation{inputs, text, len(errs)}
	}
	return out, nil
}

// view is an object as annotators see it.
func view(n *tree.Node) source.Object {
	o := source.Object{Type: n.Type, Key: n.Key, Name: n.Name, Attrs: n.Attrs}
	for p := n.Parent; p != nil; p = p.Parent {
		o.Parents = append(o.Parents, source.Object{Type: p.Type, Key: p.Key, Name: p.Name, Attrs: p.Attrs})
	}
	return o
}
