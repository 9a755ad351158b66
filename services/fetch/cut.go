package fetch

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// ahead is how many parts are cut while others are published.
const ahead = 8

// cut cuts an answer into parts and publishes them meanwhile: of each what matters.
func (s *Stage) cut(ctx context.Context, t task, a Answer, file *os.File, matters func(event.Part) event.Part) (pieces, error) {
	cut := pieces{counts: map[string]int{"answers.fetched": 1, "answers.bytes": int(a.Bytes)}}
	err := s.stream(ctx, func(ctx context.Context, publish func(pipeline.Envelope) error) error {
		return t.src.Cut(ctx, s.cuttable(t, a, file), func(p event.Part, rejects []source.Reject) error {
			if err := insertRejects(ctx, s.DB, t.Job, a.N, t.src.Name, rejects); err != nil {
				return err
			}
			cut.counts["stats.rejected"] += len(rejects)
			cut.records += len(p.Objects) + len(p.Stats) + len(rejects)
			if p = matters(p); len(p.Objects) == 0 {
				return nil
			}
			part, err := t.Emit(s.Next, a.key(t.src, p.Ordinal), p)
			if err != nil {
				return err
			}
			cut.names = append(cut.names, part.ID)
			return publish(part)
		})
	})
	cut.counts["parts.fetched"] = len(cut.names)
	return cut, err
}

// key tells apart what is cut from an answer.
func (a Answer) key(src *source.Source, ordinal int) string {
	return fmt.Sprintf("%d/%s/%s/%d", a.N, a.Hash, src.Hash, ordinal)
}

// stream publishes messages while others are made. The broker has them all when
// it returns nil.
func (s *Stage) stream(ctx context.Context, work func(ctx context.Context, publish func(pipeline.Envelope) error) error) error {
	messages := make(chan pipeline.Envelope, ahead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.publish(ctx, messages) })
	group.Go(func() error {
		defer close(messages)
		return work(ctx, func(e pipeline.Envelope) error {
			select {
			case messages <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return group.Wait()
}

// cuttable is the answer for the package source, with what a task says of it.
func (s *Stage) cuttable(t task, a Answer, file *os.File) source.Answer {
	answer := a.forCutting(file)
	answer.Account, answer.MaxSize = t.slice.Account, s.MaxSize
	return answer
}

// forCutting is the answer for the package source.
func (a Answer) forCutting(file *os.File) source.Answer {
	return source.Answer{
		File: file, Size: a.Bytes, Format: a.Format, Hash: a.Hash,
		N: a.N, ObservedAt: a.ObservedAt, Now: a.AskedAt, Temp: os.TempDir(),
	}
}

// publish publishes parts, all that are there at a time.
func (s *Stage) publish(ctx context.Context, parts <-chan pipeline.Envelope) error {
	for part := range parts {
		window := []pipeline.Envelope{part}
		for len(window) < ahead && len(parts) > 0 {
			window = append(window, <-parts)
		}
		if err := s.Sink.Publish(ctx, window); err != nil {
			return err
		}
		s.gauge.add(len(window))
		pipeline.Point("part")
	}
	return nil
}
