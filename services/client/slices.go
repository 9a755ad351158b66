package client

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/services/fetch"
)

// Slices are what a job was cut into: so many days of an account each. What
// follows from one (its pages, the objects that changed) is done with it.
type Slices struct {
	Planned   int64   `json:"planned"`
	Done      int64   `json:"done"`
	Waiting   int64   `json:"waiting"` // of those to be done: what failed, or is held up
	Cancelled int64   `json:"cancelled"`
	Dead      int64   `json:"dead"`
	Rest      []Slice `json:"rest"` // those that are not done, the first of them
}

// A Slice is one that is not done.
type Slice struct {
	ID      string `json:"id"` // of its first message
	State   string `json:"state"`
	Account string `json:"account,omitempty"`
	From    string `json:"from,omitempty"` // days
	To      string `json:"to,omitempty"`
	Error   string `json:"error,omitempty"` // why it waits or is dead
}

// The states of a slice.
const (
	sliceDone      = "done"
	sliceWaiting   = "waiting"
	sliceCancelled = "cancelled"
	sliceDead      = "dead"
)

// manySlices is how many of those that are not done are shown.
const manySlices = 100

// slices reads what became of a job's slices. Slices that fetch published while
// it read what changed have a name alone.
func (c *Client) slices(ctx context.Context, id string) (all Slices, err error) {
	rows, err := c.db.Query(ctx, `
		WITH RECURSIVE pieces AS (
			SELECT o ->> 'id' AS id, o ->> 'id' AS first, o -> 'body' AS body
			FROM ledger l, jsonb_array_elements(l.outputs) AS o
			WHERE l.stage = $2 AND l.message_id = $1 AND o ->> 'kind' = $3
			UNION ALL
			SELECT next.id, p.first, NULL
			FROM pieces p JOIN ledger l ON l.stage = $2 AND l.message_id = p.id
			CROSS JOIN LATERAL (
				SELECT o ->> 'id' AS id FROM jsonb_array_elements(l.outputs) AS o WHERE o ->> 'kind' = $3
				UNION
				SELECT unnest(l.names) WHERE l.counts ? 'objects.named'
			) AS next
		), slices AS (
			SELECT p.first AS id,
				CASE
					WHEN bool_or(l.state = 'started' AND l.error IS NOT NULL) THEN 'waiting'
					WHEN bool_or(coalesce(l.state, 'started') = 'started') THEN 'open'
					WHEN bool_or(l.state = 'dead') THEN 'dead'
					WHEN bool_or(l.counts ? 'slices.cancelled') THEN 'cancelled'
					ELSE 'done' END AS state,
				coalesce(max(p.body ->> 'account'), '') AS account, coalesce(max(p.body ->> 'from'), '') AS first_day, coalesce(max(p.body ->> 'to'), '') AS last_day,
				coalesce(max(l.error) FILTER (WHERE l.state <> 'done'), '') AS error
			FROM pieces p LEFT JOIN ledger l ON l.stage = $2 AND l.message_id = p.id
			GROUP BY p.first
		)
		SELECT id, state, account, first_day, last_day, error FROM slices ORDER BY account, first_day, id`, id, fetch.Name, event.KindSlice)
	if err != nil {
		return all, fmt.Errorf("slices of job %s: %w", id, err)
	}
	var s Slice
	all.Rest = []Slice{}
	_, err = pgx.ForEachRow(rows, []any{&s.ID, &s.State, &s.Account, &s.From, &s.To, &s.Error}, func() error {
		all.add(s)
		return nil
	})
	return all, err
}

func (all *Slices) add(s Slice) {
	all.Planned++
	switch s.State {
	case sliceDone:
		all.Done++
		return
	case sliceWaiting:
		all.Waiting++
	case sliceCancelled:
		all.Cancelled++
	case sliceDead:
		all.Dead++
	}
	if len(all.Rest) < manySlices {
		all.Rest = append(all.Rest, s)
	}
}
