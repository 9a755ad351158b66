package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/fetch"
)

// see publishes the job of a schedule if it is due. Its row is locked meanwhile,
// and says so only when the broker has the job: whoever dies in between leaves it
// due, and the job's id tells that it is the same.
func (s *Scheduler) see(ctx context.Context, src *source.Source, schedule source.Schedule, now time.Time) error {
	return postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		p, err := past(ctx, tx, src.Name, schedule, now)
		if err != nil {
			return err
		}
		due := schedule.Last(p.Due, now, src.Location(""))
		if due.IsZero() {
			return nil
		}
		outcome, why := Decide(p, now)
		if err := s.obey(ctx, tx, outcome, p, src, schedule, due, now); err != nil {
			return err
		}
		s.Count(outcome)
		s.Log.Info("due", zap.String("source", src.Name), zap.Stringer("schedule", schedule), zap.Time("at", due), zap.String("outcome", outcome), zap.String("why", why))
		return nil
	})
}

// past locks the row of a schedule. One that is new has none: by every, it is due
// at once; by cron, when its time comes.
func past(ctx context.Context, tx pgx.Tx, name string, schedule source.Schedule, now time.Time) (p Past, err error) {
	first := time.Unix(0, 0)
	if schedule.Cron != "" {
		first = now
	}
	if _, err := tx.Exec(ctx, `INSERT INTO schedules (source, rule, due) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, name, schedule.String(), first); err != nil {
		return p, fmt.Errorf("begin schedule: %w", err)
	}
	err = tx.QueryRow(ctx, `SELECT due, job_id::text, job, published_at FROM schedules WHERE source = $1 AND rule = $2 FOR UPDATE`, name, schedule.String()).
		Scan(&p.Due, &p.Job, &p.Body, &p.PublishedAt)
	if err != nil {
		return p, fmt.Errorf("read schedule: %w", err)
	}
	err = tx.QueryRow(ctx, `SELECT (SELECT state FROM jobs WHERE id = $1)`, p.Job).Scan(&p.State)
	return p, err
}

// obey does what was decided.
func (s *Scheduler) obey(ctx context.Context, tx pgx.Tx, outcome string, p Past, src *source.Source, schedule source.Schedule, due, now time.Time) error {
	if outcome == Skipped {
		_, err := tx.Exec(ctx, `UPDATE schedules SET due = $3, skipped = skipped + 1 WHERE source = $1 AND rule = $2`, src.Name, schedule.String(), due)
		return err
	}
	j, err := jobOf(src, schedule, due)
	if outcome == Again {
		j, err = fetch.ParseJob([]byte(p.Body))
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if err := s.Sink.Publish(ctx, []pipeline.Envelope{envelope(j, string(body), s.Queue, now)}); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE schedules SET due = $3, job_id = $4, job = $5, published_at = $6, skipped = 0 WHERE source = $1 AND rule = $2`,
		src.Name, schedule.String(), due, fetch.JobID(j.Source, j.ID), string(body), now)
	return err
}
