// Package catalog keeps the versions of the source files that jobs run under,
// so that every worker on every host reads a message by the very text that the
// job began with.
package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// A Catalog reads versions from PostgreSQL, each once.
type Catalog struct {
	db     *pgxpool.Pool
	mu     sync.Mutex
	byHash map[string]Version
	taken  map[string]string // the hash that Put was given last, by source
}

// A Version is a source file as it was once.
type Version struct {
	*source.Source
	FirstUsed time.Time // by a job
}

// New returns an empty catalog.
func New(db *pgxpool.Pool) *Catalog {
	return &Catalog{db: db, byHash: map[string]Version{}, taken: map[string]string{}}
}

// Put keeps a version that a job begins under. It is in the database when Put
// returns nil, as the one that was taken up last.
func (c *Catalog) Put(ctx context.Context, s *source.Source) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken[s.Name] == s.Hash {
		return nil
	}
	tables := make(map[string]string, len(s.Tables))
	for name, text := range s.Tables {
		tables[name] = string(text)
	}
	v := Version{Source: s}
	err := c.db.QueryRow(ctx, `
		INSERT INTO source_versions (hash, source, text, tables, taken_at) VALUES ($1, $2, $3, $4, clock_timestamp())
		ON CONFLICT (hash) DO UPDATE SET taken_at = excluded.taken_at
		RETURNING at`, s.Hash, s.Name, string(s.Text), tables).Scan(&v.FirstUsed)
	if err != nil {
		return postgres.Classify(fmt.Errorf("keep version %s of source %s: %w", s.Hash, s.Name, err))
	}
	c.byHash[s.Hash], c.taken[s.Name] = v, s.Hash
	return nil
}

// Get returns the source file with a hash, as Version does.
func (c *Catalog) Get(ctx context.Context, hash string) (*source.Source, error) {
	v, err := c.Version(ctx, hash)
	return v.Source, err
}

// Version returns a version by its hash. One that was never kept is a
// Permanent error; one that another version of Leat kept may have to wait for it.
func (c *Catalog) Version(ctx context.Context, hash string) (Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.byHash[hash]; v.Source != nil {
		return v, nil
	}
	var v Version
	var text string
	var raw []byte
	err := c.db.QueryRow(ctx, `SELECT text, tables, at FROM source_versions WHERE hash = $1`, hash).Scan(&text, &raw, &v.FirstUsed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Version{}, pipeline.Permanent(fmt.Errorf("version: no source file with the hash %q is known here", hash))
	case err != nil:
		return Version{}, postgres.Classify(fmt.Errorf("read source version %s: %w", hash, err))
	}
	if v.Source, err = parse(text, raw); err != nil {
		// Whoever kept it could read it: that worker is of another version of Leat, and one like it will take the message.
		return Version{}, pipeline.Later(fmt.Errorf("source version %s: %w; waiting for a worker that can read it", hash, err), time.Minute)
	}
	c.byHash[hash] = v
	return v, nil
}

// Latest returns the version of a source that was first used last.
func (c *Catalog) Latest(ctx context.Context, name string) (*source.Source, error) {
	var hash string
	err := c.db.QueryRow(ctx, `SELECT hash FROM source_versions WHERE source = $1 ORDER BY at DESC LIMIT 1`, name).Scan(&hash)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("latest version of source %s: %w", name, err))
	}
	return c.Get(ctx, hash)
}

// Taken returns the version of a source that a job last began under after
// another one, on any host; nil when there is none that this program can read.
func (c *Catalog) Taken(ctx context.Context, name string) (*source.Source, error) {
	var hash string
	err := c.db.QueryRow(ctx, `
		SELECT hash FROM source_versions WHERE source = $1
		ORDER BY coalesce(taken_at, at) DESC LIMIT 1`, name).Scan(&hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, postgres.Classify(fmt.Errorf("last version of source %s: %w", name, err))
	}
	src, err := c.Get(ctx, hash)
	if pipeline.IsPermanent(err) {
		return nil, nil
	}
	return src, err
}

// A Use is a version and when it was first used.
type Use struct {
	Hash string
	At   time.Time
}

// History returns the versions of a source in the order of their first use.
func (c *Catalog) History(ctx context.Context, name string) ([]Use, error) {
	rows, err := c.db.Query(ctx, `SELECT hash, at FROM source_versions WHERE source = $1 ORDER BY at`, name)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("versions of source %s: %w", name, err))
	}
	uses, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Use])
	return uses, postgres.Classify(err)
}

func parse(text string, raw []byte) (*source.Source, error) {
	kept := map[string]string{}
	if err := json.Unmarshal(raw, &kept); err != nil {
		return nil, err
	}
	tables := make(map[string][]byte, len(kept))
	for name, text := range kept {
		tables[name] = []byte(text)
	}
	return source.Parse([]byte(text), tables)
}
