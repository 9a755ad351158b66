package fetch

import (
	"context"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

// poll asks for the report when it is due, and keeps an answer that is not the
// last one again as a stretch.
func (s *Stage) poll(ctx context.Context, t task, h *hold) error {
	if h.due > 0 {
		return parked{wait: pipeline.WaitWithin(h.due)}
	}
	u, err := address(t.slice, t.src)
	if err != nil {
		return err
	}
	if err := s.Archive.Ready(ctx); err != nil {
		return err
	}
	a := Answer{URL: shown(u, t.src), Format: t.src.FormatOf(u.Path), First: t.ID}
	if err := s.await(ctx, t, u); err != nil {
		return err
	}
	defer s.release(ctx, t, u)
	if a.AskedAt, err = h.renew(ctx, s.DB); err != nil {
		return err
	}
	a.ObservedAt = a.AskedAt
	answer, err := s.open(ctx, t, u, h.known, &a)
	if err != nil {
		return err
	}
	defer answer.Close() //nolint:errcheck // what was read is all that counts
	if !a.Unchanged {
		if err := take(s.Archive, answer, &a); err != nil {
			return err
		}
		defer a.close()
	}
	if a.Unchanged || a.Hash == h.known.Hash {
		if a.file != nil {
			_ = os.Remove(a.file.Name()) // the archive has it; it may have no name any more
		}
		if err := h.keepDue(ctx, s.DB, t, a.AskedAt); err != nil {
			return err
		}
	} else if err := s.keepPoll(ctx, t, h, a); err != nil {
		return err
	}
	return parked{wait: pipeline.WaitWithin(t.src.Fetch.Poll.Every)}
}

func (s *Stage) keepPoll(ctx context.Context, t task, h *hold, a Answer) error {
	if err := s.keepStretch(ctx, t, h, &a); err != nil {
		return err
	}
	pipeline.Point("answered")
	return s.stretch(ctx, t, h, a)
}

// keepDue notes when the next poll is, since this one brought nothing.
func (h *hold) keepDue(ctx context.Context, db querier, t task, asked time.Time) error {
	_, err := db.Exec(ctx, `UPDATE streams SET due = $4 WHERE source = $1 AND account = $2 AND holder = $3`,
		h.source, h.account, h.token, asked.Add(t.src.Fetch.Poll.Every))
	return postgres.Classify(err)
}

// keepPoll notes also what the answer is called, since PostgreSQL will hold it.
func (h *hold) keepPoll(ctx context.Context, tx pgx.Tx, t task, a Answer) error {
	if err := h.keepDue(ctx, tx, t, a.AskedAt); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		UPDATE streams SET version = $4, etag = $5, modified = $6, hash = $7 WHERE source = $1 AND account = $2 AND holder = $3`,
		h.source, h.account, h.token, t.src.Hash, a.ETag, a.Modified, a.Hash)
	return err
}
