// Package fetch asks the sources and cuts what they answer into parts.
//
// In: jobs, as people write them, and the slices that it cuts them into. Out:
// parts to delta, published as they are cut.
package fetch

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/access"
	"github.com/leatflow/leat/services/archive"
	"github.com/leatflow/leat/services/catalog"
)

// Name is the stage's name in the ledger.
const Name = "fetch"

// Stage implements pipeline.Handler. It takes one message at a time: a batch of
// several is refused.
type Stage struct {
	DB      *pgxpool.Pool
	Sources *catalog.Catalog
	Archive *archive.Archive
	Sink    pipeline.Sink
	Folder  string                   // of the source files
	Files   []string                 // folders below which file:// addresses may lie
	Guard   *outbound.Guard          // of http:// and https:// addresses
	MaxSize int64                    // bytes of an answer when decompressed; 0: any
	Slots   int                      // slices done side by side; half of them may wait a moment for their budget
	Self    string                   // its own queue
	Next    string                   // the queue of delta
	Count   func(what string, n int) // told of what was committed; nil: nobody
	Log     *zap.Logger

	Host   string                  // whose folder it is, where there are several
	Broken func(map[string]string) // told what is wrong with source files, by source; nil: nobody

	YieldAbove int                                                               // messages in one queue, above which no slice of a backfill begins
	Longest    func(ctx context.Context) (queue string, messages int, err error) // of the queues after its own; nil: backfills do not yield

	gauge  gauge
	tokens access.Tokens
	files  files
	pacing atomic.Int32 // slices that may be waiting for their budget
	pruned atomic.Int64 // when the archive was, in Unix seconds

	listening atomic.Int32 // slices that read a stream: half of the slots may
	crowded   atomic.Bool  // a stream was turned away since the last lease ended
}

// Handle does one job or slice.
func (s *Stage) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("fetch takes one message at a time, not %d", len(in)) // the worker halves it
	}
	switch in[0].Kind {
	case event.KindSlice:
		return s.slice(ctx, in[0])
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
	src, note, err := s.load(ctx, j.Source)
	if err == nil {
		j, err = s.withPast(ctx, j)
	}
	if err != nil {
		return nil, err
	}
	return postgres.Once(ctx, s.DB, Name, pipeline.Batch{d}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		cursors, err := advanceCursors(ctx, tx, src)
		if err != nil {
			return nil, err
		}
		var now time.Time
		var halt string
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp(), coalesce(halt, '') FROM jobs WHERE id = $1`, d.Job).Scan(&now, &halt); err != nil {
			return nil, err
		}
		slices, err := Plan(j, src, cursors, now)
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		if halt == Cancelled {
			slices = nil
		}
		result := postgres.Result{Source: src.Name, Counts: map[string]int{"slices.planned": len(slices)}}
		for i, slice := range slices {
			out, err := d.Emit(s.Self, strconv.Itoa(i), slice)
			if err != nil {
				return nil, err
			}
			result.Outputs = append(result.Outputs, out)
		}
		return []postgres.Result{result}, startJob(ctx, tx, d.Job, note)
	})
}
