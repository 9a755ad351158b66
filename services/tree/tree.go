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
	Parent *Node          // nil at the top

	parentID int64
	attrs    []byte
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

// Up reads objects and all their ancestors, each once.
func Up(ctx context.Context, q Querier, ids []int64) (map[int64]*Node, error) {
	nodes := make(map[int64]*Node, len(ids))
	rows, err := q.Query(ctx, `
		WITH RECURSIVE up AS (
			SELECT id, parent_id FROM objects WHERE id = ANY($1)
			UNION
			SELECT o.id, o.parent_id FROM up JOIN objects o ON o.id = up.parent_id
		)
		SELECT o.id, o.source, o.type, o.key, o.name, coalesce(o.parent_id, 0), o.attrs FROM up JOIN objects o ON o.id = up.id`, ids)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read objects: %w", err))
	}
	var n Node
	if _, err := pgx.ForEachRow(rows, []any{&n.ID, &n.Source, &n.Type, &n.Key, &n.Name, &n.parentID, &n.attrs}, func() error {
		node := n
		if node.Attrs, err = decode(n.attrs); err != nil {
			return fmt.Errorf("attributes of object %d: %w", n.ID, err)
		}
		nodes[n.ID] = &node
		return nil
	}); err != nil {
		return nil, postgres.Classify(fmt.Errorf("read objects: %w", err))
	}
	for _, n := range nodes {
		n.Parent, n.attrs = nodes[n.parentID], nil
	}
	return nodes, nil
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

// Down returns the parent of each object that stands below ids, at any depth.
func Down(ctx context.Context, q Querier, ids []int64) (parentOf map[int64]int64, err error) {
	parentOf = map[int64]int64{}
	rows, err := q.Query(ctx, `
		WITH RECURSIVE down AS (
			SELECT id, parent_id FROM objects WHERE parent_id = ANY($1)
			UNION
			SELECT o.id, o.parent_id FROM down JOIN objects o ON o.parent_id = down.id
		)
		SELECT id, parent_id FROM down`, ids)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read descendants: %w", err))
	}
	var id, parent int64
	_, err = pgx.ForEachRow(rows, []any{&id, &parent}, func() error { parentOf[id] = parent; return nil })
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read descendants: %w", err))
	}
	return parentOf, nil
}
