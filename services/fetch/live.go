package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// What is read as it happens goes on for ever, and a job does not: what a job
// knows of its messages grows with it, and is forgotten 30 days after its end. So
// a job has the stream for one lease, and the last that it does is the job that
// has the next one. That job takes the source file as it is then. Within a lease
// the slice may go through waiting queues and workers as it has to: it goes on
// after the last stretch that is committed.

// errLeaseOver says that a slice has read enough.
var errLeaseOver = errors.New("the lease is over")

const pollLease = time.Hour // a poll is in nobody's hands between two requests

// live reads a stream or polls, and puts the slice back until its lease is over.
func (s *Stage) live(ctx context.Context, t task) ([]pipeline.Envelope, error) {
	if t.slice.Live == event.LiveStream {
		defer s.listening.Add(-1)
		if s.listening.Add(1) > max(1, int32(s.Slots/2)) {
			s.crowded.Store(true)
			return s.park(ctx, t, parked{wait: time.Second})
		}
	}
	h, err := s.hold(ctx, t)
	if errors.Is(err, errHeld) {
		if err := s.recut(ctx, t, nil); err != nil {
			return nil, err
		}
		return s.finish(ctx, t, Answer{Unchanged: true}, pieces{counts: map[string]int{"streams.held": 1}})
	}
	if err == nil {
		defer s.letGo(ctx, h)
		err = s.goOn(ctx, t, h)
	}
	if p, ok := errors.AsType[parked](err); ok {
		return s.park(ctx, t, p)
	}
	_, expired := errors.AsType[expiredError](err)
	switch {
	case expired, errors.Is(err, errLeaseOver):
		return s.handOver(ctx, t, h, expired)
	case errors.Is(err, errCancelled):
		return s.cancel(ctx, t)
	}
	return nil, err
}

// goOn reads until something is in the way: a parked error says when to go on.
func (s *Stage) goOn(ctx context.Context, t task, h *hold) error {
	if err := s.recut(ctx, t, h); err != nil {
		return err
	}
	if err := t.halted(h.halt); err != nil {
		return err
	}
	switch {
	case h.left <= 0:
		return errLeaseOver
	case t.slice.Live == event.LivePoll:
		return s.poll(ctx, t, h)
	}
	return s.listen(ctx, t, h)
}

// lease is how long a job has what it reads.
func (t task) lease() time.Duration {
	if t.slice.Live == event.LivePoll {
		return pollLease
	}
	return t.src.Fetch.Stream.Lease
}

// handOver ends the slice, and gives what it reads to the next job. A cursor that
// the source does not know any more is forgotten: the next job begins anew.
func (s *Stage) handOver(ctx context.Context, t task, h *hold, expired bool) ([]pipeline.Envelope, error) {
	next, err := successor(t, s.Self)
	if err != nil {
		return nil, err
	}
	if s.crowded.Swap(false) {
		next.Wait = time.Second // who was turned away is there first
	}
	result := postgres.Result{Source: t.src.Name, Outputs: []pipeline.Envelope{next}, Counts: map[string]int{}}
	if expired {
		result.Counts["cursors.expired"] = 1
	}
	return postgres.Once(ctx, s.DB, Name, pipeline.Batch{t.Delivery}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		if err := keepPosition(ctx, tx, t, expired); err != nil {
			return nil, err
		}
		return []postgres.Result{result}, h.giveTo(ctx, tx, next)
	})
}

// successor is the job that goes on where a slice ends. To make it again makes the same.
func successor(t task, queue string) (pipeline.Envelope, error) {
	j := Job{Source: t.src.Name, Account: t.slice.Account, Feed: t.slice.Feed}
	body, err := json.Marshal(j)
	id := uuid.NewSHA1(namespace, []byte("after "+t.ID)).String()
	return pipeline.Envelope{
		ID: id, Job: id, Kind: event.KindJob, Queue: queue, Cause: t.ID, At: time.Now().UTC(), Priority: j.Priority(), Body: body,
	}, err
}

// recut brings the stretches to their end that were kept and not published whole.
func (s *Stage) recut(ctx context.Context, t task, h *hold) error {
	left, err := unfinished(ctx, s.DB, t)
	for _, a := range left {
		if err == nil {
			err = s.stretch(ctx, t, h, a)
		}
	}
	return err
}

// stretch cuts what came in a stretch, publishes it, and commits that it is done.
// Of a poll it leaves out what was seen. Without a hold it says nothing of what
// comes after.
func (s *Stage) stretch(ctx context.Context, t task, h *hold, a Answer) error {
	if a.file == nil {
		file, err := s.Archive.Get(ctx, a.Hash)
		if err != nil {
			return s.gone(ctx, t, a, err)
		}
		a.file = file
		defer a.close()
	}
	var err error
	var fresh *news
	if h != nil && t.slice.Live == event.LivePoll {
		fresh, err = s.news(ctx, t, a)
	}
	cut := pieces{}
	if err == nil {
		cut, err = s.cut(ctx, t, a, a.file, fresh.of)
	}
	if _, malformed := errors.AsType[*source.FormError](err); malformed {
		return s.refuse(ctx, t.Delivery, a, err)
	}
	if err != nil {
		return err
	}
	pipeline.Point("cut")
	return s.finishStretch(ctx, t, h, a, fresh, cut)
}

// finishStretch commits that a stretch is done, under a name of its own: the slice
// goes on.
func (s *Stage) finishStretch(ctx context.Context, t task, h *hold, a Answer, fresh *news, cut pieces) error {
	done := t.Delivery
	done.ID = stretchID(t.ID, a.N)
	result := postgres.Result{Source: t.src.Name, Names: cut.names, Counts: cut.counts}
	ran := false
	_, err := postgres.Once(ctx, s.DB, Name, pipeline.Batch{done}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		ran = true
		if h == nil {
			return []postgres.Result{result}, nil
		}
		if _, err := h.renew(ctx, tx); err != nil {
			return nil, err
		}
		if fresh != nil {
			if err := errors.Join(fresh.keep(ctx, tx, t), h.keepPoll(ctx, tx, t, a)); err != nil {
				return nil, err
			}
		}
		return []postgres.Result{result}, setPosition(ctx, tx, t, a.Position)
	})
	if err == nil && ran {
		postgres.Report(s.Count, []postgres.Result{result})
	}
	return err
}
