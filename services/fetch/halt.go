package fetch

import (
	"context"
	"errors"

	"github.com/leatflow/leat/pkg/pipeline"
)

// What a person may have said of a job, in the column halt of its row.
const (
	Paused    = "paused"    // its slices wait
	Cancelled = "cancelled" // its slices end without being asked for
)

var errCancelled = errors.New("the job was cancelled")

// halted returns why nothing more is to be asked for, if a person has said so.
func (t task) halted(halt string) error {
	switch halt {
	case Paused:
		return t.held(Paused, "the job is paused; `leat resume "+t.Job+"` has it go on")
	case Cancelled:
		return errCancelled
	}
	return nil
}

// mayBegin returns why a slice is not to be asked for now. One whose answer was
// kept already has begun, and is brought to its end.
func (s *Stage) mayBegin(ctx context.Context, t task) error {
	if err := t.halted(t.halt); err != nil {
		return err
	}
	return s.yield(ctx, t)
}

// cancel ends a slice that was never asked for. No cursor moves, and nothing is
// known of its address; a report that was created for it is deleted.
func (s *Stage) cancel(ctx context.Context, t task) ([]pipeline.Envelope, error) {
	cut := pieces{counts: map[string]int{"slices.cancelled": 1}}
	cut.leave(t)
	return s.finish(ctx, t, Answer{Unchanged: true}, cut)
}
