package rollup

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/postgres"
)

// What is kept, and for how long.
const (
	keepJobs       = 30               // days after its end, with its ledger, answers and rejects
	keepEvents     = 14               // days after the event's own; fetch refuses those older than 7
	keepTombstones = 24 * time.Hour   // longer than the slowest worker sleeps
	pruneEvery     = 10 * time.Minute // by each worker
	pruneAtOnce    = 100              // jobs
)

// prune forgets what nothing can ask for any more. Ledger rows go with their
// job, never by their own age; how far back the rest reaches is kept, so that
// delta refuses what it can no longer put in order.
func (s *Stage) prune(ctx context.Context) error {
	last, now := s.pruned.Load(), time.Now().Unix()
	if time.Duration(now-last)*time.Second < pruneEvery || !s.pruned.CompareAndSwap(last, now) {
		return nil
	}
	if err := postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error { return pruneRows(ctx, tx) }); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	return s.pruneTombstones(ctx)
}

func pruneRows(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `
		WITH ended AS (
			SELECT id FROM jobs WHERE finished_at < now() - $1 * interval '1 day' AND state NOT IN ('queued', 'running')
			AND NOT EXISTS (SELECT 1 FROM dirty d WHERE d.job_id = jobs.id)
			ORDER BY finished_at LIMIT $2
			FOR UPDATE SKIP LOCKED
		), gone AS (
			DELETE FROM jobs j USING ended WHERE j.id = ended.id
		), rows AS (
			DELETE FROM ledger l USING ended WHERE l.job_id = ended.id
			RETURNING l.source, l.observed_at, l.seen
		)
		INSERT INTO horizons AS h (source, observed_at)
		SELECT source, max(observed_at) FROM rows WHERE seen IS NOT NULL GROUP BY source
		ON CONFLICT (source) DO UPDATE SET observed_at = greatest(h.observed_at, excluded.observed_at)`, keepJobs, pruneAtOnce); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		DELETE FROM written w USING jobs j WHERE j.id = w.job_id AND j.state NOT IN ('queued', 'running')`); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM lookups WHERE until < now()`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM events WHERE day < current_date - $1::int`, keepEvents)
	return err
}

func (s *Stage) pruneTombstones(ctx context.Context) error {
	names, err := s.Mongo.ListCollectionNames(ctx, bson.M{})
	if err != nil {
		return mongodb.Classify(fmt.Errorf("prune: %w", err))
	}
	for _, name := range names { // a collection for each source
		if _, err := s.Mongo.Collection(name).DeleteMany(ctx, bson.M{"gone": bson.M{"$lt": time.Now().Add(-keepTombstones)}}); err != nil {
			return mongodb.Classify(fmt.Errorf("prune %s: %w", name, err))
		}
	}
	return nil
}
