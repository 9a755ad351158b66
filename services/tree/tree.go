// Package tree reads objects with what stands above and below them.
package tree

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/postgres"
)

// A Querier is a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// A Node is an object.
type Node struct {
	ID     int64
	Source string
	Type   string
	Key    string
	Name   string
	Attrs  map[string]any // numbers are json.Number
	Feeds  []string       // that have described it, of a source with several; sorted
	Parent *Node          // nil at the top

	parentID int64
}

// Path names the ancestors, topmost first: campaign/c1, adgroup/g1.
func (n *Node) Path() []string {
	if n.Parent == nil {
		return []string{}
	}
	return append(n.Parent.Path(), n.Parent.Type+"/"+n.Parent.Key)
}

// Root is the topmost ancestor, or the object itself.
func (n *Node) Root() *Node {
	if n.Parent == nil {
		return n
	}
	return n.Parent.Root()
}

// Up reads objects and all their ancestors, each once: a statement for each
// level, since a recursive one is planned as a scan of all objects. Whoever
// needs them as of one moment calls it in a transaction that has a snapshot.
func Up(ctx context.Context, q Querier, ids []int64) (map[int64]*Node, error) {
	nodes := make(map[int64]*Node, len(ids))
	for level := ids; len(level) > 0; {
		read, err := selectNodes(ctx, q, level, nodes)
		if err != nil {
			return nil, postgres.Classify(fmt.Errorf("read objects: %w", err))
		}
		level = above(read, nodes)
	}
	for _, n := range nodes {
		n.Parent = nodes[n.parentID]
	}
	return nodes, nil
}

// selectNodes reads objects into nodes and returns those that it read.
func selectNodes(ctx context.Context, q Querier, ids []int64, nodes map[int64]*Node) ([]*Node, error) {
	rows, err := q.Query(ctx, `
		SELECT id, source, type, key, name, coalesce(parent_id, 0), attrs,
			CASE WHEN feeds IS NOT NULL THEN ARRAY(SELECT f COLLATE "C" FROM jsonb_object_keys(feeds) AS f ORDER BY 1) END
		FROM objects WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, err
	}
	read := make([]*Node, 0, len(ids))
	var n Node
	var attrs []byte
	_, err = pgx.ForEachRow(rows, []any{&n.ID, &n.Source, &n.Type, &n.Key, &n.Name, &n.parentID, &attrs, &n.Feeds}, func() error {
		node := n
		var err error
		if node.Attrs, err = decode(attrs); err != nil {
			return fmt.Errorf("attributes of object %d: %w", n.ID, err)
		}
		nodes[n.ID] = &node
		read = append(read, &node)
		return nil
	})
	return read, err
}

// above returns the parents that are not among the nodes yet, each once.
func above(read []*Node, nodes map[int64]*Node) []int64 {
	var ids []int64
	missing := map[int64]bool{0: true} // no object has the id 0
	for _, n := range read {
		if !missing[n.parentID] && nodes[n.parentID] == nil {
			missing[n.parentID] = true
			ids = append(ids, n.parentID)
		}
	}
	return ids
}

func decode(attrs []byte) (map[string]any, error) {
	if string(attrs) == "{}" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(attrs))
	d.UseNumber()
	var m map[string]any
	err := d.Decode(&m)
	return m, err
}

// Down returns the parent of each object that stands below ids, at any depth: a
// statement for each level, as Up.
func Down(ctx context.Context, q Querier, ids []int64) (parentOf map[int64]int64, err error) {
	parentOf = map[int64]int64{}
	for level := ids; len(level) > 0; {
		if level, err = selectChildren(ctx, q, level, parentOf); err != nil {
			return nil, postgres.Classify(fmt.Errorf("read descendants: %w", err))
		}
	}
	return parentOf, nil
}

// selectChildren puts the children of objects into parentOf and returns those
// that were not there.
func selectChildren(ctx context.Context, q Querier, ids []int64, parentOf map[int64]int64) (found []int64, err error) {
	rows, err := q.Query(ctx, `SELECT id, parent_id FROM objects WHERE parent_id = ANY($1)`, ids)
	if err != nil {
		return nil, err
	}
	var id, parent int64
	_, err = pgx.ForEachRow(rows, []any{&id, &parent}, func() error {
		if _, known := parentOf[id]; !known {
			found = append(found, id)
		}
		parentOf[id] = parent
		return nil
	})
	return found, err
}
