package fetch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// load reads the source file as it is now and keeps its version. While the file
// is broken, jobs go on under the version that was taken up last, on whichever
// host, and the note says so.
func (s *Stage) load(ctx context.Context, name string) (src *source.Source, note string, err error) {
	all, wrong := source.Load(s.Folder)
	if src := all[name]; src != nil {
		return src, "", s.Sources.Put(ctx, src)
	}
	if all != nil { // the folder was read: what is wrong with others does not concern this one
		wrong = source.Broken(wrong)[name].Err()
	}
	if wrong == nil {
		return nil, "", pipeline.Permanent(fmt.Errorf("source: found %q; there are %s", name, names(all)))
	}
	kept, err := s.Sources.Taken(ctx, name)
	switch {
	case err != nil:
		return nil, "", err
	case kept == nil:
		return nil, "", pipeline.Permanent(fmt.Errorf("source: %q cannot be used: %w", name, wrong))
	}
	return kept, postgres.Plain(fmt.Sprintf("the source file is broken, so the job runs under the version that was used last (%.8s): %v", kept.Hash, wrong)), nil
}

// files is what was last told of the source files.
type files struct {
	mu     sync.Mutex
	stamps string
	broken map[string]string // by source
	kept   time.Time         // when PostgreSQL was told
}

// lookEvery is how often the folder of source files is looked at, tellEvery how
// often PostgreSQL hears of what has not changed.
const (
	lookEvery = 5 * time.Second
	tellEvery = time.Minute
)

// Watch looks at the source files until ctx ends, so that one that breaks is
// heard of when it does, and not when a job needs it.
func (s *Stage) Watch(ctx context.Context) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		if err := s.Look(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("look at the source files", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// Look reads the source files if they have changed, and tells the log, Broken
// and PostgreSQL which are broken.
func (s *Stage) Look(ctx context.Context) error {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	if now := source.Stamps(s.Folder); s.files.broken == nil || now != s.files.stamps {
		s.files.stamps = now
		s.tell(broken(s.Folder))
	}
	if time.Since(s.files.kept) < tellEvery {
		return nil
	}
	if err := keepBroken(ctx, s.DB, s.Host, s.files.broken); err != nil {
		return err
	}
	s.files.kept = time.Now()
	return nil
}

// allFiles stands for the folder of sources among what is broken.
const allFiles = "*"

// broken says what is wrong with the files of a folder, by source.
func broken(dir string) map[string]string {
	all, err := source.Load(dir)
	texts := map[string]string{}
	if all == nil && err != nil {
		texts[allFiles] = postgres.Plain(err.Error())
	}
	for name, problems := range source.Broken(err) {
		texts[name] = postgres.Plain(problems.Error())
	}
	return texts
}

// tell says once what is new.
func (s *Stage) tell(now map[string]string) {
	before := s.files.broken
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if before[name] != now[name] {
			s.Log.Error("a source file is broken; jobs go on under the version that was used last", zap.String("source", name), zap.String("problem", now[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now[name] == "" {
			s.Log.Info("a source file is sound again", zap.String("source", name))
		}
	}
	if !maps.Equal(before, now) {
		s.files.kept = time.Time{}
	}
	s.files.broken = now
	if s.Broken != nil {
		s.Broken(maps.Clone(now))
	}
}
