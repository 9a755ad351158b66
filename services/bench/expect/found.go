package expect

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// FoundRows emits the rows that PostgreSQL holds of a source.
func FoundRows(ctx context.Context, db *pgxpool.Pool, source string, emit func(Line) error) error {
	if err := foundObjects(ctx, db, source, emit); err != nil {
		return err
	}
	rows, err := db.Query(ctx, `
		SELECT o.type || '/' || o.key, s.day::text, s.rule, s.dims, s.metrics::text, coalesce(s.hours::text, '')
		FROM stats s JOIN objects o ON o.id = s.object_id WHERE o.source = $1`, source)
	if err != nil {
		return err
	}
	var object, day, rule, dims, metrics, hours string
	_, err = pgx.ForEachRow(rows, []any{&object, &day, &rule, &dims, &metrics, &hours}, func() error {
		return emit(Line{statKey(object, day, rule, dims), statText(metrics, hours)})
	})
	return err
}

func foundObjects(ctx context.Context, db *pgxpool.Pool, source string, emit func(Line) error) error {
	rows, err := db.Query(ctx, `
		SELECT o.type, o.key, coalesce(p.type || '/' || p.key, ''), o.depth, o.name, o.attrs::text, coalesce(t.tags::text, '')
		FROM objects o LEFT JOIN objects p ON p.id = o.parent_id LEFT JOIN tags t ON t.object_id = o.id
		WHERE o.source = $1`, source)
	if err != nil {
		return err
	}
	var typ, key, parent, name, attrs, tags string
	var depth int
	_, err = pgx.ForEachRow(rows, []any{&typ, &key, &parent, &depth, &name, &attrs, &tags}, func() error {
		return emit(Line{objectKey(typ, key), objectText(parent, depth, name, attrs, tags)})
	})
	return err
}

// FoundDocuments emits the documents of a collection, but for what is marked as gone.
func FoundDocuments(ctx context.Context, c *mongo.Collection, emit func(Line) error) error {
	cursor, err := c.Find(ctx, bson.M{"gone": bson.M{"$exists": false}})
	if err != nil {
		return err
	}
	defer cursor.Close(ctx) //nolint:errcheck // it was read, or has failed already
	for cursor.Next(ctx) {
		d, err := Decode(cursor.Current)
		if err != nil {
			return err
		}
		if err := emit(DocumentLine(d)); err != nil {
			return err
		}
	}
	return cursor.Err()
}

// Decode makes of a document what DocumentLine takes.
func Decode(raw bson.Raw) (map[string]any, error) {
	elements, err := raw.Elements()
	if err != nil {
		return nil, err
	}
	d := make(map[string]any, len(elements))
	for _, e := range elements {
		if d[e.Key()], err = plain(e.Value()); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func plain(v bson.RawValue) (any, error) {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return Decode(v.Document())
	case bson.TypeArray:
		members, err := v.Array().Values()
		if err != nil {
			return nil, err
		}
		list := make([]any, len(members))
		for i, m := range members {
			if list[i], err = plain(m); err != nil {
				return nil, err
			}
		}
		return list, nil
	case bson.TypeInt64:
		return v.Int64(), nil
	case bson.TypeDouble:
		return v.Double(), nil
	case bson.TypeString:
		return v.StringValue(), nil
	case bson.TypeBoolean:
		return v.Boolean(), nil
	}
	return fmt.Sprintf("%s (%s)", v, v.Type), nil
}
