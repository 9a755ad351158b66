package annotate

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/services/catalog"
)

// A Forecast is what changes would come to.
type Forecast struct {
	Tags    []TagForecast
	Waiting int // objects of which a tag needs http(), which nobody asked
}

// A TagForecast is an object whose tags would differ.
type TagForecast struct {
	ID     int64
	Before []byte // canonical JSON; nil: there are none
	After  []byte
	Failed map[string]string // why, by tag
}

// Foresee says whose tags would differ after changes that a transaction has made:
// those of the objects that differ, and of those below whose rules look up to them.
// Nobody is asked for http(): what waits for that keeps the tag that it has.
func Foresee(ctx context.Context, tx pgx.Tx, version catalog.Version, changes []event.Change) (f Forecast, err error) {
	wanted, err := concerned(ctx, tx, version, changes)
	if err != nil {
		return f, err
	}
	ids := slices.Sorted(maps.Keys(wanted))
	notes, err := Annotate(ctx, tx, wanted)
	if err != nil {
		return f, err
	}
	stored, err := Stored(ctx, tx, ids)
	if err != nil {
		return f, err
	}
	for _, id := range ids {
		a, there := notes[id]
		old, was := stored[id]
		if len(a.needs()) > 0 {
			f.Waiting++
		}
		switch {
		case there && !old.stands(a, version.FirstUsed):
			if row := newRow(id, a, old, was, version.FirstUsed); row.changed {
				f.Tags = append(f.Tags, TagForecast{id, old.Tags, row.Tags, row.Failed})
			}
		case !there && old.Inputs != nil: // they are cleared
			f.Tags = append(f.Tags, TagForecast{ID: id, Before: old.Tags, After: []byte(NoTags)})
		}
	}
	return f, nil
}

// concerned are the objects that changes have annotated again.
func concerned(ctx context.Context, tx pgx.Tx, version catalog.Version, changes []event.Change) (map[int64]catalog.Version, error) {
	wanted := map[int64]catalog.Version{}
	want(wanted, event.Changes{Objects: changes}, version)
	var differ []event.Change
	for _, c := range changes {
		if c.Self && !c.New {
			differ = append(differ, c)
		}
	}
	if len(differ) == 0 || !looksUp(version.Source) {
		return wanted, nil
	}
	ids, err := below(ctx, tx, version.Source, differ)
	for _, id := range ids {
		wanted[id] = version
	}
	return wanted, err
}
