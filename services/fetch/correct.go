package fetch

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

// JobOf returns the id of the job that a message belongs to; empty if it has none
// yet, or says none that can be read.
func JobOf(e pipeline.Envelope) string {
	if e.Job != "" || e.Kind != event.KindJob {
		return e.Job
	}
	j, err := ParseJob(e.Body)
	if err != nil || senderID(j, e) == "" {
		return ""
	}
	return JobID(j.Source, senderID(j, e))
}

// Correct makes the row of a job say what its message, which a person corrected,
// says from now on, and returns the job's id. To do it twice changes nothing. It
// returns none where the message has no row of its own: then it is a new job.
func Correct(ctx context.Context, db *pgxpool.Pool, was pipeline.Envelope, corrected []byte) (job string, err error) {
	j, err := ParseJob(corrected)
	id := JobOf(was)
	if err != nil || id == "" {
		return "", nil //nolint:nilerr // what cannot be read is the stage's to refuse
	}
	tag, err := db.Exec(ctx, `
		UPDATE jobs SET source = $2, mode = $3, params = $4, sender_id = CASE WHEN source = $2 THEN sender_id END
		WHERE id = $1 AND params IN ($4, $5)`, id, j.Source, j.mode(), string(corrected), string(was.Body))
	if err != nil {
		return "", postgres.Classify(fmt.Errorf("correct job %s: %w", id, err))
	}
	if tag.RowsAffected() == 0 {
		return "", nil
	}
	return id, nil
}
