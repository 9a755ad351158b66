package deadletter

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/leatflow/leat/pkg/postgres"
)

// A Shown is all about a letter.
type Shown struct {
	Letter
	Origin  string          `json:"origin_queue"`
	Headers json.RawMessage `json:"headers"`
	Body    any             `json:"body"`     // JSON, else text, else bytes in base64; the edited one, if it was edited
	Before  any             `json:"original"` // what it was before it was edited
	Deaths  []Letter        `json:"deaths"`   // of this message, the first first
	Now     string          `json:"now"`      // what the ledger says of the message: done, dead, started, or nothing
	Replay  *Replay         `json:"replay_of"`

	raw []byte
}

// Raw is the body as it is, or as it was edited.
func (s Shown) Raw() []byte { return s.raw }

// Show returns a letter with its body, and the other deaths of its message.
func (s Store) Show(ctx context.Context, id int64) (d Shown, err error) {
	found, err := s.letters(ctx, `SELECT `+columns+` FROM dead_letters WHERE id = $1`, id)
	if err != nil {
		return d, err
	}
	if len(found) == 0 {
		return d, none("no dead letter has the id %d: `leat dead list --state all` lists them", id)
	}
	d.Letter = found[0]
	var body, edited []byte
	if err := s.DB.QueryRow(ctx, `
		SELECT d.origin_queue, d.headers, d.body, d.edited_body, coalesce(l.state, '') FROM dead_letters d
		LEFT JOIN ledger l ON l.stage = d.stage AND l.message_id = CASE WHEN d.stage = 'fetch' AND d.type LIKE 'leat.job.%'
			THEN d.job_id::text ELSE coalesce(d.edited_id, d.message_id) END
		WHERE d.id = $1`, id).Scan(&d.Origin, &d.Headers, &body, &edited, &d.Now); err != nil {
		return d, fmt.Errorf("dead letter %d: %w", id, postgres.Classify(err))
	}
	if d.raw = body; edited != nil {
		d.raw, d.Before = edited, readable(body)
	}
	d.Body = readable(d.raw)
	if d.ReplayID != nil {
		r, err := s.Replay(ctx, *d.ReplayID)
		if err != nil {
			return d, err
		}
		d.Replay = &r
	}
	first := d.ID
	if d.FirstID != nil {
		first = *d.FirstID
	}
	d.Deaths, err = s.letters(ctx, `SELECT `+columns+` FROM dead_letters WHERE id = $1 OR first_id = $1 ORDER BY id`, first)
	return d, err
}

// readable is a body as JSON shows it best.
func readable(body []byte) any {
	switch {
	case json.Valid(body):
		return json.RawMessage(body)
	case utf8.Valid(body):
		return string(body)
	}
	return body
}
