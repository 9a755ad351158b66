package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/leatflow/leat/pkg/mongodb"
)

// A Shown is an object with its documents.
type Shown struct {
	Source    string            `json:"source"`
	Type      string            `json:"type"`
	Key       string            `json:"key"`
	Stats     int64             `json:"stats"`     // rows of its own
	Feeds     json.RawMessage   `json:"feeds"`     // what each feed said last; null where the source has none
	Documents []json.RawMessage `json:"documents"` // by half-year, as MongoDB's relaxed JSON
}

// Show returns the object that is called TYPE/KEY, with its documents. Without
// a source it is looked for in all of them.
func (c *Client) Show(ctx context.Context, name, source string) (s Shown, err error) {
	if err := c.migrated(ctx); err != nil {
		return s, err
	}
	if s, err = c.findObject(ctx, name, source); err != nil {
		return s, err
	}
	// An _id is type/key/half, and a key may have parts: the range finds, the key decides.
	id := s.Type + "/" + s.Key
	found, err := c.mongo.Collection(s.Source).Find(ctx,
		bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: id + "/"}, {Key: "$lt", Value: id + "0"}}}, {Key: "key", Value: s.Key}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return s, mongodb.Classify(err)
	}
	var documents []bson.D
	if err := found.All(ctx, &documents); err != nil {
		return s, mongodb.Classify(err)
	}
	s.Documents = []json.RawMessage{}
	for _, d := range documents {
		text, err := bson.MarshalExtJSON(d, false, false)
		if err != nil {
			return s, fmt.Errorf("document of %s: %w", name, err)
		}
		s.Documents = append(s.Documents, text)
	}
	return s, nil
}

// manySources is how many are named when an object is in several.
const manySources = 10

func (c *Client) findObject(ctx context.Context, name, source string) (s Shown, err error) {
	typ, key, _ := strings.Cut(name, "/")
	// The list of sources lets the index on source, type and key be used.
	rows, err := c.db.Query(ctx, `
		SELECT o.source, o.type, o.key, (SELECT count(*) FROM stats WHERE object_id = o.id), coalesce(o.feeds::text, 'null')
		FROM objects o
		WHERE o.source IN (SELECT DISTINCT source FROM source_versions) AND ($3 = '' OR o.source = $3) AND o.type = $1 AND o.key = $2
		ORDER BY o.source
		LIMIT $4`, typ, key, source, manySources)
	if err != nil {
		return s, fmt.Errorf("find object: %w", err)
	}
	var sources []string
	var feeds string
	_, err = pgx.ForEachRow(rows, []any{&s.Source, &s.Type, &s.Key, &s.Stats, &feeds}, func() error {
		s.Feeds = json.RawMessage(feeds)
		sources = append(sources, s.Source)
		return nil
	})
	switch {
	case err != nil:
		return s, fmt.Errorf("find object: %w", err)
	case len(sources) == 0 && source != "":
		return s, fmt.Errorf("source %s has no object %q: it is TYPE/KEY, with the key as the table objects has it", source, name)
	case len(sources) == 0:
		return s, fmt.Errorf("there is no object %q: it is TYPE/KEY, with the key as the table objects has it", name)
	case len(sources) > 1:
		return s, fmt.Errorf("%q is in several sources: choose with --source: %s", name, strings.Join(sources, ", "))
	}
	return s, nil
}
