package deadletter

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/audit"
)

// Drop marks letters as not worth a replay, and returns how many were dead. Their
// rows stay: a dropped one can still be replayed.
func (s Store) Drop(ctx context.Context, ids []int64, by audit.By, why string) (dropped int, err error) {
	if why == "" {
		return 0, Asked("why: say why they are dropped")
	}
	err = postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE dead_letters SET dropped_at = now() WHERE id = ANY($1) AND state = 'dead'`, ids)
		if err != nil {
			return fmt.Errorf("drop dead letters: %w", err)
		}
		if dropped = int(tag.RowsAffected()); dropped == 0 {
			return Asked("none of these letters is dead")
		}
		return audit.Record(ctx, tx, audit.Entry{
			By: by, Action: audit.Drop, Subject: many(ids), Why: why, Detail: map[string]any{"letters": dropped, "ids": some(ids)},
		})
	})
	return dropped, err
}

// many names letters in audit.
func many(ids []int64) string {
	if len(ids) == 1 {
		return subject(ids[0])
	}
	return fmt.Sprint(len(ids), " dead letters")
}

// some is the ids that audit keeps: which replay a letter went with is in its row.
func some(ids []int64) []int64 { return ids[:min(len(ids), 1000)] }
