// Package fetch asks the sources and cuts what they answer into parts.
//
// In: jobs, as people write them, and the slices that it cuts them into. Out:
// parts to delta, published as they are cut.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/catalog"
)

// Name is the stage's name in the ledger.
const Name = "fetch"

// Stage implements pipeline.Handler. It takes one message at a time: a batch of
// several is refused.
type Stage struct {
	DB      *pgxpool.Pool
	Sources *catalog.Catalog
	Archive Archive
	Sink    pipeline.Sink
	Folder  string                   // of the source files
	Files   []string                 // folders below which file:// addresses may lie
	Self    string                   // its own queue
	Next    string                   // the queue of delta
	Count   func(what string, n int) // told of what was committed; nil: nobody
	Log     *zap.Logger
}

// Handle does one job or slice.
func (s *Stage) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("fetch takes one message at a time, not %d", len(in)) // the worker halves it
	}
	switch in[0].Kind {
	case event.KindSlice:
		return nil, s.slice(ctx, in[0])
	default:
		return s.job(ctx, in[0])
	}
}

// job makes sure that a job has a name and a row, and cuts it into slices.
func (s *Stage) job(ctx context.Context, d pipeline.Delivery) ([]pipeline.Envelope, error) {
	if d.Kind != event.KindJob {
		_, err := pipeline.Decode[jobPayload](d.Envelope)
		return nil, err
	}
	j, err := ParseJob(d.Body)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	sender := ""
	if d.Job == "" {
		if sender = senderID(j, d.Envelope); sender == "" {
			return s.name(d, j), nil
		}
		d.Job = JobID(j.Source, sender)
	}
	if err := insertJob(ctx, s.DB, d.Job, sender, j, d.Body); err != nil {
		return nil, err
	}
	d.ID, d.Priority = d.Job, j.Priority()
	return s.plan(ctx, d, j)
}

type jobPayload struct{ Job }

func (jobPayload) Kind() string { return event.KindJob }

// senderID is the sender's own name for a job: its id, or AMQP's message_id.
func senderID(j Job, e pipeline.Envelope) string {
	if j.ID != "" {
		return j.ID
	}
	return e.ID
}

var namespace = uuid.MustParse("7a1c7f0e-6c1f-4d0b-9b63-1f4f6f6c6561")

// JobID returns the id of the job that a sender calls id.
func JobID(sourceName, id string) string {
	return uuid.NewSHA1(namespace, []byte(sourceName+"\x00"+id)).String()
}

// name gives a job without an id one, before any work: the message is put back
// with the id. It has a row only when it comes with that id, for whoever could not
// put it back names it anew: a row of the first name would never end. A crash
// before the original is acknowledged doubles the job, and the double finds
// nothing changed.
func (s *Stage) name(d pipeline.Delivery, j Job) []pipeline.Envelope {
	again := d.Envelope
	again.Job = uuid.Must(uuid.NewV7()).String()
	again.ID, again.Queue, again.Priority = again.Job, s.Self, j.Priority()
	return []pipeline.Envelope{again}
}

// plan cuts a job into slices, under the source file as it is now.
func (s *Stage) plan(ctx context.Context, d pipeline.Delivery, j Job) ([]pipeline.Envelope, error) {
	src, err := s.load(ctx, j.Source)
	if err != nil {
		return nil, err
	}
	return postgres.Once(ctx, s.DB, Name, pipeline.Batch{d}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		cursors, err := advanceCursors(ctx, tx, src)
		if err != nil {
			return nil, err
		}
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return nil, err
		}
		slices, err := Plan(j, src, cursors, now)
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		result := postgres.Result{Source: src.Name, Counts: map[string]int{"slices.planned": len(slices)}}
		for i, slice := range slices {
			out, err := d.Emit(s.Self, strconv.Itoa(i), slice)
			if err != nil {
				return nil, err
			}
			result.Outputs = append(result.Outputs, out)
		}
		return []postgres.Result{result}, startJob(ctx, tx, d.Job)
	})
}

// load reads the source file as it is now and keeps its version.
func (s *Stage) load(ctx context.Context, name string) (*source.Source, error) {
	all, err := source.Load(s.Folder)
	src := all[name]
	switch {
	case src == nil && err != nil:
		return nil, pipeline.Permanent(fmt.Errorf("source: %q cannot be used: %w", name, err))
	case src == nil:
		return nil, pipeline.Permanent(fmt.Errorf("source: found %q; there are %s", name, names(all)))
	}
	return src, s.Sources.Put(ctx, src)
}

// slice asks for a slice, or takes the answer that an earlier try had, cuts it
// and publishes its parts.
func (s *Stage) slice(ctx context.Context, d pipeline.Delivery) error {
	slice, err := pipeline.Decode[event.Slice](d.Envelope)
	if err != nil {
		return err
	}
	src, err := s.Sources.Get(ctx, slice.Version)
	if err != nil {
		return err
	}
	if done, err := isDone(ctx, s.DB, d.ID); done || err != nil {
		return err // its parts were confirmed before its row was committed
	}
	a, file, err := s.answer(ctx, d, slice, src)
	if err != nil {
		return err
	}
	pipeline.Point("answered")
	defer file.Close() //nolint:errcheck // it is only read
	parts, counts, err := s.cut(ctx, d, slice, src, a, file)
	if _, malformed := errors.AsType[*source.FormError](err); malformed {
		return s.refuse(ctx, d, a, err)
	}
	if err != nil {
		return err
	}
	pipeline.Point("cut")
	var results []postgres.Result
	_, err = postgres.Once(ctx, s.DB, Name, pipeline.Batch{d}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		if slice.Refresh {
			if err := setNextCursor(ctx, tx, slice, d.Job, a.ObservedAt); err != nil {
				return nil, err
			}
		}
		results = []postgres.Result{{Source: src.Name, Names: parts, Counts: counts}}
		return results, nil
	})
	if err == nil {
		postgres.Report(s.Count, results)
	}
	return err
}

// answer returns the slice's answer and the file that holds it. What an earlier
// try was told is used again, whatever the source says by now; an answer whose
// bytes are gone, or could not be read to the end, is asked for again.
func (s *Stage) answer(ctx context.Context, d pipeline.Delivery, slice event.Slice, src *source.Source) (Answer, *os.File, error) {
	a, err := lastAnswer(ctx, s.DB, d.Job, d.ID)
	if err != nil {
		return a, nil, err
	}
	if a.Hash != "" {
		file, err := s.Archive.Open(a.Hash)
		if !errors.Is(err, fs.ErrNotExist) {
			return a, file, err
		}
	}
	if a, err = s.ask(ctx, d, slice, src); err != nil {
		return a, nil, err
	}
	file, err := s.Archive.Open(a.Hash)
	return a, file, err
}

// ask asks the source, keeps what it says in the archive, and commits that it did.
func (s *Stage) ask(ctx context.Context, d pipeline.Delivery, slice event.Slice, src *source.Source) (Answer, error) {
	a := Answer{URL: address(slice, src)}
	a.Format = formatOf(a.URL, src)
	if err := s.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&a.AskedAt); err != nil {
		return a, postgres.Classify(err)
	}
	a.ObservedAt = a.AskedAt
	if slice.AsOf != nil {
		a.ObservedAt = *slice.AsOf
	}
	answer, err := s.open(ctx, a.URL, src)
	if err != nil {
		return a, err
	}
	defer answer.Close() //nolint:errcheck // what was read is all that counts
	if a.Hash, a.Bytes, err = s.Archive.Keep(answer); err != nil {
		return a, pipeline.Paced(fmt.Errorf("answer of %s: cut off after %d bytes: %w", a.URL, a.Bytes, err))
	}
	return a, insertAnswer(ctx, s.DB, d, &a)
}

// refuse marks an answer that is not what its format promises: the next try asks
// again. A file will not say anything else.
func (s *Stage) refuse(ctx context.Context, d pipeline.Delivery, a Answer, reason error) error {
	if err := markBroken(ctx, s.DB, d.Job, a.N, reason.Error()); err != nil {
		return err
	}
	err := fmt.Errorf("answer of %s: %w", a.URL, reason)
	if strings.HasPrefix(a.URL, "file:") {
		return pipeline.Permanent(err)
	}
	return pipeline.Paced(err)
}

// ahead is how many parts are cut while others are published.
const ahead = 8

// cut cuts an answer into parts and publishes them meanwhile. It returns the
// parts' ids when the broker has them all.
func (s *Stage) cut(ctx context.Context, d pipeline.Delivery, slice event.Slice, src *source.Source, a Answer, file *os.File) ([]string, map[string]int, error) {
	counts := map[string]int{"answers.fetched": 1, "answers.bytes": int(a.Bytes)}
	var ids []string
	parts := make(chan pipeline.Envelope, ahead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.publish(ctx, parts) })
	group.Go(func() error {
		defer close(parts)
		answer := source.Answer{
			File: file, Size: a.Bytes, Format: a.Format, Hash: a.Hash, Account: slice.Account,
			N: a.N, ObservedAt: a.ObservedAt, Now: a.AskedAt, Temp: os.TempDir(),
		}
		return src.Cut(ctx, answer, func(p event.Part, rejects []source.Reject) error {
			if err := insertRejects(ctx, s.DB, d.Job, a.N, src.Name, rejects); err != nil {
				return err
			}
			counts["stats.rejected"] += len(rejects)
			if len(p.Objects) == 0 {
				return nil
			}
			key := fmt.Sprintf("%d/%s/%s/%d", a.N, a.Hash, src.Hash, p.Ordinal)
			part, err := d.Emit(s.Next, key, p)
			if err != nil {
				return err
			}
			ids = append(ids, part.ID)
			select {
			case parts <- part:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	counts["parts.fetched"] = len(ids)
	return ids, counts, nil
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
		pipeline.Point("part")
	}
	return nil
}

// refreshFrom is the day that a cursor stands for: everything of it may have changed.
func refreshFrom(value string, src *source.Source, account string) (metric.Day, bool) {
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return 0, false
	}
	return metric.DayOf(at.In(src.Location(account))), true
}
