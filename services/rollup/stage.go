// Package rollup keeps one ready-to-read document per object and half-year.
//
// In: changes. It marks what they concern, and between messages it writes what
// is marked: one update operation per document, in bulk. Out: what was written,
// to the stream leat.feed. It also ends the jobs.
package rollup

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/catalog"
)

// Name is the stage's name in the ledger.
const Name = "rollup"

// Config is what an operator can set of the stage, and why they might.
type Config struct {
	Within    time.Duration `mapstructure:"within"`    // shorter: documents of long jobs are fresher; longer: each is written once
	Documents int           `mapstructure:"documents"` // objects written at once: more is faster, and takes more memory
}

// DefaultConfig writes each document once, but for jobs longer than 10 seconds.
func DefaultConfig() Config { return Config{Within: 10 * time.Second, Documents: 250} }

// Stage implements pipeline.Handler and pipeline.Idler.
type Stage struct {
	Config
	DB      *pgxpool.Pool
	Mongo   *mongo.Database
	Sources *catalog.Catalog
	Sink    pipeline.Sink
	Feed    string                   // the stream of updates
	Dead    string                   // the queue of dead letters
	Count   func(what string, n int) // told of what was committed; nil: nobody
	Log     *zap.Logger

	settling settling
	pruned   atomic.Int64 // when, in Unix seconds
}

// Handle marks what the changes concern, in the transaction of the ledger.
// Nothing follows from it: the marks are the work that is left.
func (s *Stage) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	changes, err := pipeline.DecodeAll[event.Changes](in)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]input, len(in))
	for i, c := range changes {
		src, err := s.Sources.Get(ctx, c.Version)
		if err != nil {
			return nil, err
		}
		byID[in[i].ID] = input{c, src, in[i].Job}
	}
	defer s.settling.mark()
	return postgres.Once(ctx, s.DB, Name, in, func(tx pgx.Tx, fresh pipeline.Batch) ([]postgres.Result, error) {
		inputs := make([]input, len(fresh))
		for i, d := range fresh {
			inputs[i] = byID[d.ID]
		}
		marks, err := s.marks(ctx, tx, inputs)
		if err != nil {
			return nil, err
		}
		results := make([]postgres.Result, len(fresh))
		for i := range fresh {
			results[i] = postgres.Result{Source: inputs[i].Source, Counts: map[string]int{"objects.marked": len(inputs[i].Objects)}}
		}
		return results, insertMarks(ctx, tx, marks, s.Within)
	})
}
