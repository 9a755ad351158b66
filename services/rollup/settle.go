package rollup

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/postgres"
)

// settling remembers when to look for settled jobs again: looking costs time in
// proportion to the messages of the jobs that run.
type settling struct {
	mu     sync.Mutex
	next   time.Time
	marked bool // since the last look: a job may have nothing left upstream now
}

// mark notes that there are new marks.
func (s *settling) mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked = true
}

// idlePause is how long a worker that marked nothing waits before it looks again:
// others may have.
const idlePause = 100 * time.Millisecond

// pause is how long to wait before the next look.
func (s *settling) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.marked {
		return idlePause
	}
	return max(time.Until(s.next), time.Millisecond)
}

// settled returns the running jobs with nothing left upstream: their own message
// and every one that their ledger rows name is done or dead. The ids are
// compared, not counted: fetch's parts are done before the slice that names
// them. Each look is a statement of its own, for two inputs that finish together
// would each miss the other inside their transactions.
func (s *Stage) settled(ctx context.Context) ([]string, error) {
	s.settling.mu.Lock()
	defer s.settling.mu.Unlock()
	start := time.Now()
	if start.Before(s.settling.next) {
		return nil, nil
	}
	s.settling.marked = false
	rows, err := s.DB.Query(ctx, `
		SELECT j.id::text FROM jobs j
		WHERE j.state = 'running' AND NOT EXISTS (
			(SELECT j.id::text UNION ALL SELECT unnest(names) FROM ledger WHERE job_id = j.id)
			EXCEPT
			SELECT message_id FROM ledger WHERE job_id = j.id AND state IN ('done', 'dead'))`)
	if err != nil {
		return nil, postgres.Classify(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	s.settling.next = time.Now().Add(10 * time.Since(start))
	if len(ids) > 0 {
		s.settling.next = time.Time{}
	}
	return ids, postgres.Classify(err)
}

// firstStage is the one whose rows alone bring nothing in.
const firstStage = "fetch"

// finish ends the settled jobs that have no mark left either, with their counts.
// A job that made others ends with the last of them.
func (s *Stage) finish(ctx context.Context, settled []string) error {
	if len(settled) == 0 {
		return nil
	}
	_, err := s.DB.Exec(ctx, `
		WITH ended AS (
			UPDATE jobs j SET
				state = CASE
					WHEN j.halt = 'cancelled' THEN 'cancelled'
					WHEN NOT EXISTS (SELECT 1 FROM ledger l WHERE l.job_id = j.id AND l.state = 'dead')
						AND NOT EXISTS (SELECT 1 FROM jobs c WHERE c.parent_id = j.id AND c.state <> 'done') THEN 'done'
					WHEN EXISTS (SELECT 1 FROM ledger l WHERE l.job_id = j.id AND l.state = 'done' AND l.stage <> $2) THEN 'incomplete'
					ELSE 'failed' END,
				error = (SELECT l.error FROM ledger l WHERE l.job_id = j.id AND l.state = 'dead' ORDER BY l.done_at LIMIT 1),
				counts = job_counts(j.id),
				finished_at = now()
			WHERE j.id = ANY($1::uuid[]) AND j.state = 'running'
			AND NOT EXISTS (SELECT 1 FROM dirty d WHERE d.job_id = j.id)
			AND NOT EXISTS (SELECT 1 FROM jobs c WHERE c.parent_id = j.id AND c.state IN ('queued', 'running'))
			RETURNING j.id
		)
		DELETE FROM written w USING ended WHERE w.job_id = ended.id`, settled, firstStage)
	return postgres.Classify(err)
}
