// Package console files dead letters, sends back those that are replayed, and
// serves both to operators over HTTP.
//
// In: the queue of dead letters, requests. Out: rows of dead_letters, messages
// back to the stages that they died in.
package console

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/services/deadletter"
)

// Name is what the console calls itself where stages say their names.
const Name = "console"

// Stage implements pipeline.Handler and pipeline.Idler. Its worker has no queue
// of dead letters: a letter that cannot be filed waits and comes again.
type Stage struct {
	DB    *pgxpool.Pool
	Sink  pipeline.Sink
	Count func(what string, n int) // told of what was committed
}

// Handle files dead letters.
func (s *Stage) Handle(ctx context.Context, in pipeline.Batch) ([]pipeline.Envelope, error) {
	letters := make([]pipeline.Envelope, len(in))
	for i, d := range in {
		letters[i] = d.Envelope
	}
	filed, err := deadletter.File(ctx, s.DB, letters)
	if err != nil {
		return nil, err
	}
	s.Count("letters.filed", filed)
	return nil, nil
}

// Idle sends the next letters of a replay.
func (s *Stage) Idle(ctx context.Context) (pause time.Duration, err error) {
	sender := deadletter.Sender{DB: s.DB, Sink: s.Sink}
	sent, pause, err := sender.Step(ctx)
	s.Count("letters.replayed", sent)
	return pause, err
}
