package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/fetch"
)

const longestEdit = 8 << 20 // of a body: far above any part, far below what the broker takes

// Edit replaces the body of a letter that is dead. The message that a replay
// then sends has a new id, for it is another; what its stage could not read is refused.
func (s Store) Edit(ctx context.Context, id int64, body []byte, by audit.By, why string) (Letter, error) {
	err := postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		var state, kind, message string
		var was []byte
		err := tx.QueryRow(ctx, `SELECT state, type, message_id, body FROM dead_letters WHERE id = $1 FOR UPDATE`, id).Scan(&state, &kind, &message, &was)
		switch {
		case err == pgx.ErrNoRows: //nolint:errorlint // pgx returns it as it is
			return none("no dead letter has the id %d", id)
		case err != nil:
			return fmt.Errorf("dead letter %d: %w", id, err)
		case state != Dead:
			return Asked("dead letter %d is %s: only one that is dead can be edited", id, state)
		}
		if body, err = edited(kind, body); err != nil {
			return err
		}
		if bytes.Equal(body, was) {
			return Asked("dead letter %d: the body is the same as before", id)
		}
		if _, err := tx.Exec(ctx, `UPDATE dead_letters SET edited_body = $2, edited_id = $3, edited_at = now() WHERE id = $1`,
			id, body, pipeline.Hash(message, "edited", string(body))); err != nil {
			return fmt.Errorf("edit dead letter %d: %w", id, err)
		}
		return audit.Record(ctx, tx, audit.Entry{By: by, Action: audit.Edit, Subject: subject(id), Why: why, Detail: map[string]any{"bytes": len(body)}})
	})
	if err != nil {
		return Letter{}, err
	}
	d, err := s.Show(ctx, id)
	return d.Letter, err
}

func subject(id int64) string { return fmt.Sprint("dead letter ", id) }

// edited returns the body as it is sent, if the stage that takes such a kind can read it.
func edited(kind string, body []byte) ([]byte, error) {
	if len(body) > longestEdit {
		return nil, Asked("the body has %d bytes; at most %d are allowed", len(body), longestEdit)
	}
	if bytes.Contains(body, []byte(`\u0000`)) {
		return nil, Asked("the body holds a NUL character, which no stage takes")
	}
	if kind == event.KindJob {
		if _, err := fetch.ParseJob(body); err != nil {
			return nil, Asked("%w", err)
		}
		return body, nil
	}
	var text bytes.Buffer // without the spaces of the editor: the stages read fast, and only what machines write
	if err := json.Compact(&text, body); err != nil {
		return nil, Asked("not JSON: %w", err)
	}
	e := pipeline.Envelope{Kind: kind, Body: text.Bytes()}
	var err error
	switch {
	case kind == event.KindSlice:
		_, err = pipeline.Decode[event.Slice](e)
	case (*event.Part)(nil).Reads(kind):
		_, err = pipeline.Decode[event.Part](e)
	case (*event.Changes)(nil).Reads(kind):
		_, err = pipeline.Decode[event.Changes](e)
	default:
		return nil, Asked("a message of type %q cannot be edited: no stage here takes it", kind)
	}
	if err != nil {
		return nil, Asked("%w", err)
	}
	return e.Body, nil
}
