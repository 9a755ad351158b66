package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/annotate"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/catalog"
)

// A Reannotation says which objects are annotated again, under the source file as
// it is now: those that it says something else of, but for Failed and All.
type Reannotation struct {
	Source string
	Type   string // "": all
	Tag    string // only types that can have it, and with Failed only where it failed; "": any
	Failed bool   // those with tags that failed
	All    bool   // whether anything differs or not
	Why    string
}

// A Reannotated is what came of it.
type Reannotated struct {
	Source  string   `json:"source"`
	Version string   `json:"version"`
	Looked  int      `json:"looked"`  // objects that were looked at
	Objects int      `json:"objects"` // of these sent to annotate
	Jobs    []Repair `json:"jobs"`
}

const (
	reannotatePage = 1000    // objects looked at by one statement
	reannotateJob  = 100_000 // objects of a job
)

// Reannotate sends objects to annotate, in jobs that end as others do.
func (c *Client) Reannotate(ctx context.Context, what Reannotation) (Reannotated, error) {
	out := Reannotated{Source: what.Source, Jobs: []Repair{}}
	if err := c.migrated(ctx); err != nil {
		return out, err
	}
	version, err := c.takeUp(ctx, what.Source)
	if err != nil {
		return out, err
	}
	out.Version = version.Hash
	types, err := what.types(version.Source)
	if err != nil {
		return out, err
	}
	var ids []int64
	for last := int64(0); ; {
		page, err := c.reannotatePage(ctx, what, types, last)
		if err != nil {
			return out, err
		}
		if len(page) > 0 {
			last = page[len(page)-1]
		}
		some := page
		if !what.All && !what.Failed {
			if some, err = annotate.Stale(ctx, c.db, version, page); err != nil {
				return out, err
			}
		}
		out.Looked, ids = out.Looked+len(page), append(ids, some...)
		if end := len(page) < reannotatePage; len(ids) > 0 && (end || len(ids) >= reannotateJob) {
			r := Repair{Job: uuid.Must(uuid.NewV7()).String(), Source: what.Source, Objects: len(ids), mode: modeReannotate, why: what.Why}
			if err := c.annotateAgain(ctx, r, version.Hash, ids, what.All || what.Failed); err != nil {
				return out, fmt.Errorf("send objects of %s to annotate: %w", what.Source, err)
			}
			out.Objects, out.Jobs, ids = out.Objects+len(ids), append(out.Jobs, r), nil
		}
		if len(page) < reannotatePage {
			return out, nil
		}
	}
}

// takeUp returns the version of the source file as it is now. Tags of a later one
// are not overwritten by it.
func (c *Client) takeUp(ctx context.Context, name string) (v catalog.Version, err error) {
	src, err := FindSource(c.cfg.Sources, name)
	if err != nil {
		return v, err
	}
	if err := c.sources.Put(ctx, src); err != nil {
		return v, err
	}
	if v, err = c.sources.Version(ctx, src.Hash); err != nil {
		return v, err
	}
	uses, err := c.sources.History(ctx, name)
	if err != nil {
		return v, err
	}
	if last := uses[len(uses)-1]; last.At.After(v.FirstUsed) {
		return v, fmt.Errorf("source %s: the file is as it was on %s, and another version was in use since (%s), whose tags it does not overwrite: add a comment, which makes it a new one",
			name, v.FirstUsed.UTC().Format("2006-01-02 15:04"), last.At.UTC().Format("2006-01-02 15:04"))
	}
	return v, nil
}

// types are those of which objects are looked at.
func (what Reannotation) types(src *source.Source) (types []string, err error) {
	var names, tags []string
	for _, t := range src.Types() {
		names, tags = append(names, t.Name), append(tags, src.TagsOf(t.Name)...)
		if (what.Type == "" || what.Type == t.Name) && (what.Tag == "" || slices.Contains(src.TagsOf(t.Name), what.Tag)) {
			types = append(types, t.Name)
		}
	}
	slices.Sort(tags)
	switch tags = slices.Compact(tags); {
	case what.Type != "" && !slices.Contains(names, what.Type):
		return nil, fmt.Errorf("type: found %q; %s has %s", what.Type, src.Name, strings.Join(names, ", "))
	case what.Tag != "" && !slices.Contains(tags, what.Tag):
		return nil, fmt.Errorf("tag: found %q; %s has %s", what.Tag, src.Name, orNone(tags))
	case len(types) == 0:
		return nil, fmt.Errorf("tag: no %s can have the tag %s", what.Type, what.Tag)
	}
	return types, nil
}

// reannotatePage returns the next objects that may be meant, in the order of their ids.
func (c *Client) reannotatePage(ctx context.Context, what Reannotation, types []string, after int64) ([]int64, error) {
	rows, err := c.db.Query(ctx, `
		SELECT o.id FROM objects o LEFT JOIN tags t ON t.object_id = o.id
		WHERE o.source = $1 AND o.type = ANY($2) AND o.id > $3 AND (NOT $4 OR t.failed IS NOT NULL AND ($5 = '' OR t.failed ? $5))
		ORDER BY o.id LIMIT $6`, what.Source, types, after, what.Failed, what.Tag, reannotatePage)
	if err != nil {
		return nil, fmt.Errorf("objects of %s: %w", what.Source, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

const (
	modeRepair     = "repair"
	modeReannotate = "reannotate"
)

// action is what audit calls a job of this mode.
func (r Repair) action() string {
	if r.mode == modeReannotate {
		return audit.Reannotate
	}
	return audit.Repair
}
