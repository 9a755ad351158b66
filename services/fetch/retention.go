package fetch

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

const (
	pruneEvery  = 10 * time.Minute // by each worker
	pruneAtOnce = 20               // answers: who keeps one of them meanwhile waits
	pruneLimit  = time.Minute      // for these
)

// Idle implements pipeline.Idler: it removes answers that nobody needs any more.
func (s *Stage) Idle(ctx context.Context) (pause time.Duration, err error) {
	last, now := s.pruned.Load(), time.Now().Unix()
	if time.Duration(now-last)*time.Second < pruneEvery || !s.pruned.CompareAndSwap(last, now) {
		return pruneEvery, nil
	}
	more, err := s.prune(ctx)
	if err != nil {
		return pruneEvery, fmt.Errorf("prune the archive: %w", err)
	}
	if more {
		s.pruned.Store(last)
		return 0, nil
	}
	return pruneEvery, s.Archive.Sweep()
}

// prune removes some answers that are past their retention, and reports whether
// there may be more. A job that is not done may cut its answers again. Whoever
// keeps an answer meanwhile holds its row first, and so waits until it is gone, and
// puts it there again. Of a crash the row stays, and the answer is removed the next time.
func (s *Stage) prune(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pruneLimit)
	defer cancel()
	if err := s.Archive.Ready(ctx); err != nil {
		return false, err
	}
	err = postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT hash FROM archive x
			WHERE until < clock_timestamp() AND NOT EXISTS (
				SELECT 1 FROM answers a JOIN jobs j ON j.id = a.job_id WHERE a.hash = x.hash AND j.state <> 'done')
			ORDER BY until LIMIT $1
			FOR UPDATE SKIP LOCKED`, pruneAtOnce)
		if err != nil {
			return err
		}
		hashes, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, hash := range hashes {
			if err := s.Archive.Remove(ctx, hash); err != nil {
				return err
			}
		}
		more = len(hashes) == pruneAtOnce
		_, err = tx.Exec(ctx, `DELETE FROM archive WHERE hash = ANY($1)`, hashes)
		return err
	})
	return more, err
}

// put puts an answer into the archive. Its row there comes first: from then on
// nobody removes it, before its row in answers is there and while its source wants it.
func (s *Stage) put(ctx context.Context, src *source.Source, a *Answer) error {
	var days *int
	if keep := int(src.Fetch.Keep); src.Fetch.Keep != source.Forever {
		days = &keep
	}
	_, err := s.DB.Exec(ctx, `
		INSERT INTO archive AS x (hash, bytes, until)
		VALUES ($1, $2, coalesce(clock_timestamp() + $3 * interval '1 day', 'infinity'))
		ON CONFLICT (hash) DO UPDATE SET until = greatest(x.until, excluded.until)`, a.Hash, a.Bytes, days)
	if err != nil {
		return postgres.Classify(err)
	}
	return s.Archive.Put(ctx, a.incoming())
}

// indexAnswer notes what an answer that holds records answers. A replay is what it was.
func indexAnswer(ctx context.Context, tx pgx.Tx, t task, a *Answer) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO archive_index AS i (hash, source, account, feed, url, format, observed_at) VALUES ($1, $2, $3, $8, $4, $5, $6)
		ON CONFLICT (hash, source, account, feed) DO UPDATE SET
			url = CASE WHEN starts_with(excluded.url, $7) THEN i.url ELSE excluded.url END, format = excluded.format, observed_at = excluded.observed_at
		WHERE i.observed_at < excluded.observed_at`, a.Hash, t.src.Name, t.slice.Account, a.URL, a.Format, a.ObservedAt, archived, t.slice.Feed)
	return err
}
