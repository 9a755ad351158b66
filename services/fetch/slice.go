package fetch

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// slice asks for a slice, or takes the answer that an earlier try had, cuts it
// and publishes its parts. What follows are slices: the next page, or all of the
// source where its cursor was too old.
func (s *Stage) slice(ctx context.Context, d pipeline.Delivery) ([]pipeline.Envelope, error) {
	slice, err := pipeline.Decode[event.Slice](d.Envelope)
	if err != nil {
		return nil, err
	}
	src, err := s.Sources.Get(ctx, slice.Version)
	if err != nil {
		return nil, err
	}
	if src, err = src.Feed(slice.Feed); err != nil {
		return nil, pipeline.Permanent(err)
	}
	out, done, halt, err := recall(ctx, s.DB, d.Envelope)
	if done || err != nil {
		return s.untaken(ctx, slice, out, err) // its parts were confirmed before its row was committed
	}
	t := task{d, slice, src, halt}
	if slice.Live != "" {
		return s.live(ctx, t)
	}
	if err := s.checkPage(ctx, t); err != nil {
		return nil, err
	}
	a, cut, err := s.work(ctx, t)
	if p, ok := errors.AsType[parked](err); ok {
		return s.park(ctx, t, p)
	}
	if errors.Is(err, errCancelled) {
		return s.cancel(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	pipeline.Point("cut")
	return s.finish(ctx, t, a, cut)
}

// work does what a slice asks for, and returns what it came to.
func (s *Stage) work(ctx context.Context, t task) (Answer, pieces, error) {
	if step := t.step(); step != "" && step != event.ReportDownload {
		cut, err := s.about(ctx, t)
		return Answer{Unchanged: true}, cut, err
	}
	a, k, err := s.answer(ctx, t)
	defer a.close()
	pipeline.Point("answered")
	if _, expired := errors.AsType[expiredError](err); expired {
		cut, err := t.anew(err)
		return a, cut, err
	}
	if err != nil {
		return a, pieces{}, err
	}
	cut, err := s.judged(ctx, t, a, k)
	if _, malformed := errors.AsType[*source.FormError](err); malformed {
		return a, cut, s.refuse(ctx, t.Delivery, a, err)
	}
	if err == nil {
		err = s.checkRepeated(ctx, t, a, cut.records)
	}
	cut.leave(t)
	return a, cut, err
}

// A task is a slice in hand, with the source file that it runs under.
type task struct {
	pipeline.Delivery
	slice event.Slice
	src   *source.Source
	halt  string // what a person has said of the job
}

// conditional reports whether an answer that is the last one again says nothing
// new. What was true at another time always may.
func (t task) conditional() bool {
	return (t.slice.Refresh || t.slice.URL != "") && t.slice.AsOf == nil
}

// read takes out of an answer what it holds.
func (s *Stage) read(ctx context.Context, t task, a Answer, k known) (cut pieces, err error) {
	cut = pieces{counts: map[string]int{"answers.unchanged": 1}}
	if t.slice.Refresh {
		cut.cursor = observed(a.ObservedAt)
	}
	if a.Unchanged {
		return cut, nil
	}
	file := a.file
	switch cursor := cut.cursor; {
	case t.slice.Since != nil:
		return s.changes(ctx, t, a, file)
	case t.conditional() && a.Hash == k.Hash: // PostgreSQL holds it already
		cut.counts["answers.fetched"], cut.counts["answers.bytes"], cut.records = 1, int(a.Bytes), k.Records
	default:
		cut, err = s.cut(ctx, t, a, file, (*news)(nil).of)
		cut.cursor = cursor
	}
	if err == nil {
		err = cut.addPage(ctx, t, a, file)
	}
	return cut, err
}

// Pieces are what an answer was cut into.
type pieces struct {
	names   []string // of the messages that the broker has
	counts  map[string]int
	records int
	follow  []follower
	cursor  *move // nil: stays
}

// A follower is a slice that follows from one, under a key of its own.
type follower struct {
	key   string
	slice event.Slice
}

// finish commits that a slice is done, with what followed from it.
func (s *Stage) finish(ctx context.Context, t task, a Answer, cut pieces) ([]pipeline.Envelope, error) {
	result := postgres.Result{Source: t.src.Name, Names: cut.names, Counts: cut.counts}
	for _, f := range cut.follow {
		e, err := t.Emit(s.Self, f.key, f.slice)
		if err != nil {
			return nil, err
		}
		result.Outputs = append(result.Outputs, e)
	}
	ran := false
	out, err := postgres.Once(ctx, s.DB, Name, pipeline.Batch{t.Delivery}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		if cut.cursor != nil {
			if err := setNextCursor(ctx, tx, t.src.Name, t.slice.Account, t.Job, cut.cursor.of(t.slice.Feed)); err != nil {
				return nil, err
			}
		}
		if t.slice.Since == nil && !a.Unchanged {
			if err := keepRequest(ctx, tx, t, a, cut.records); err != nil {
				return nil, err
			}
		}
		ran = true
		return []postgres.Result{result}, nil
	})
	if err == nil && ran {
		postgres.Report(s.Count, []postgres.Result{result})
	}
	return out, err
}
