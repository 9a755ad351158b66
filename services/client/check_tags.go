package client

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/leatflow/leat/services/annotate"
	"github.com/leatflow/leat/services/catalog"
)

// A tagged object has other tags than its annotators give.
type tagged struct {
	object
	source    string
	version   string // hash of the source file that its tags are of
	want, has string
	stale     bool              // the object is not as it was when it was annotated
	failed    map[string]string // tags that another try may give, with the reason
}

// lookAtTags takes the first look at the tags of objects.
func (k *check) lookAtTags(ctx context.Context, name string, objects []object) error {
	differ, err := k.compareTags(ctx, name, objects)
	k.untagged = append(k.untagged, differ...)
	return err
}

// compareTags runs the annotators on objects, each under the version of the
// source file that its tags are of, and returns those with other tags. That a
// rule is newer than the tags is no difference: an object is annotated under it
// at its next change.
func (k *check) compareTags(ctx context.Context, name string, objects []object) ([]tagged, error) {
	byID, ids := idsOf(objects)
	endless, err := k.endless(ctx, k.db, ids)
	if err != nil {
		return nil, err
	}
	kept, err := annotate.Stored(ctx, k.db, ids)
	if err != nil {
		return nil, err
	}
	uses, err := k.sources.History(ctx, name)
	if err != nil {
		return nil, err
	}
	wanted := make(map[int64]catalog.Version, len(objects))
	for id, o := range byID {
		row, there := kept[id]
		v, err := k.versionOf(ctx, o, row, there, uses)
		if err != nil {
			return nil, err
		}
		if v.Source != nil && !endless[id] {
			wanted[id] = v
		}
	}
	given, err := annotate.Annotate(ctx, k.db, wanted)
	if err != nil {
		return nil, err
	}
	var differ []tagged
	for _, o := range objects {
		v, ok := wanted[o.id]
		row := kept[o.id]
		t := tagged{object: o, source: name, want: textOf(given[o.id].With(row.Tags)), has: textOf(row.Tags)}
		if row.Retry {
			t.failed = row.Failed
		}
		if ok && (t.want != t.has || row.Retry) {
			t.version, t.stale = v.Hash, !bytes.Equal(given[o.id].Inputs, kept[o.id].Inputs)
			differ = append(differ, t)
		}
	}
	return differ, nil
}

// what says what is wrong.
func (t tagged) what() string {
	if t.want != t.has {
		return "the annotators give the tags " + t.want + ", the table tags has " + t.has
	}
	var reasons []string
	for _, tag := range sortedKeys(t.failed) {
		reasons = append(reasons, "the tag "+tag+" failed: "+t.failed[tag])
	}
	return strings.Join(reasons, "; ")
}

func textOf(tags []byte) string {
	if len(tags) == 0 {
		return annotate.NoTags
	}
	return string(tags)
}

// versionOf returns the version that an object's tags are of: the one that its
// row of tags names, or the last where that is of no version. An object without
// a row should have been annotated under the version that was in force when it
// changed, or the one before, which its job may have begun with: only if both
// have rules for it can its tags be missed. Without a source there is nothing to
// compare with.
func (k *check) versionOf(ctx context.Context, o object, row annotate.Kept, there bool, uses []catalog.Use) (v catalog.Version, err error) {
	after, found := slices.BinarySearchFunc(uses, o.changedAt, func(u catalog.Use, t time.Time) int { return u.At.Compare(t) })
	if there {
		after, found = slices.BinarySearchFunc(uses, row.VersionAt, func(u catalog.Use, t time.Time) int { return u.At.Compare(t) })
		if !found {
			after = len(uses) - 1
		}
		return k.versionAt(ctx, uses, after)
	}
	if !found {
		after--
	}
	if before, err := k.versionAt(ctx, uses, max(after-1, 0)); err != nil || before.Source == nil || !before.Annotates(o.typ) {
		return catalog.Version{}, err
	}
	return k.versionAt(ctx, uses, after)
}

func (k *check) versionAt(ctx context.Context, uses []catalog.Use, i int) (catalog.Version, error) {
	if i < 0 || i >= len(uses) {
		return catalog.Version{}, nil
	}
	return k.sources.Version(ctx, uses[i].Hash)
}

// tagsAgain takes the second look, and returns what differs still. What is not
// annotated yet may be on its way while a job runs.
func (k *check) tagsAgain(ctx context.Context) (broken []tagged, err error) {
	for len(k.untagged) > 0 {
		n := leading(k.untagged, func(t tagged) string { return t.source })
		name := k.untagged[0].source
		open, err := k.countOpen(ctx, []string{name})
		if err != nil {
			return nil, err
		}
		for some := range slices.Chunk(k.untagged[:n], objectChunk) {
			objects := make([]object, len(some))
			for i, t := range some {
				objects[i] = t.object
			}
			differ, err := k.compareTags(ctx, name, objects)
			if err != nil {
				return nil, err
			}
			for _, t := range differ {
				if (t.stale || t.failed != nil) && open > 0 {
					k.Passed++
					continue
				}
				k.found(whole(name+"/"+t.prefix(), t.what()))
				broken = append(broken, t)
			}
		}
		k.untagged = k.untagged[n:]
	}
	slices.SortStableFunc(broken, func(a, b tagged) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.version, b.version))
	})
	return broken, nil
}
