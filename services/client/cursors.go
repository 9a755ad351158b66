package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/fetch"
)

// A CursorRow is where the refreshes of an account go on.
type CursorRow struct {
	Source  string    `json:"source"`
	Account string    `json:"account"`
	Stream  string    `json:"stream"` // report: Value is a moment; changes, stream: it is the source's. Of a feed: tickets/report
	Value   string    `json:"value"`  // "": the next refresh is as the first
	Next    string    `json:"next"`   // the value when Job is done
	Job     string    `json:"job"`
	At      time.Time `json:"at"`
}

// A CursorWhich says which cursors are meant; what is empty means all.
type CursorWhich struct {
	Source, Account, Stream string
}

// Cursors lists cursors.
func (c *Client) Cursors(ctx context.Context, which CursorWhich) ([]CursorRow, error) {
	if err := c.migrated(ctx); err != nil {
		return nil, err
	}
	rows, err := c.db.Query(ctx, `
		SELECT source, account, stream, coalesce(value, ''), coalesce(next, ''), coalesce(job_id::text, ''), at FROM cursors
		WHERE ($1 = '' OR source = $1) AND ($2 = '' OR account = $2) AND ($3 = '' OR stream = $3)
		ORDER BY source, account, stream`, which.Source, which.Account, which.Stream)
	if err != nil {
		return nil, fmt.Errorf("list cursors: %w", err)
	}
	return orEmpty(pgx.CollectRows(rows, pgx.RowToStructByPos[CursorRow]))
}

// A CursorMove is one of the values that a cursor had.
type CursorMove struct {
	Account string    `json:"account"`
	Stream  string    `json:"stream"`
	Value   string    `json:"value"` // "": it was reset
	Job     string    `json:"job"`   // "": a person set it
	At      time.Time `json:"at"`
}

// CursorHistory lists the values that cursors had, the newest first.
func (c *Client) CursorHistory(ctx context.Context, which CursorWhich, limit int) ([]CursorMove, error) {
	if err := c.migrated(ctx); err != nil {
		return nil, err
	}
	rows, err := c.db.Query(ctx, `
		SELECT account, stream, coalesce(value, ''), coalesce(job_id::text, ''), at FROM cursor_history
		WHERE source = $1 AND ($2 = '' OR account = $2) AND ($3 = '' OR stream = $3)
		ORDER BY at DESC LIMIT $4`, which.Source, which.Account, which.Stream, limit)
	if err != nil {
		return nil, fmt.Errorf("history of cursors: %w", err)
	}
	return orEmpty(pgx.CollectRows(rows, pgx.RowToStructByPos[CursorMove]))
}

func orEmpty[T any](rows []T, err error) ([]T, error) {
	if rows == nil {
		rows = []T{}
	}
	return rows, err
}

// SetCursor has the next refresh of an account go on at a value. Jobs that run
// already do not move it any more.
func (c *Client) SetCursor(ctx context.Context, which CursorWhich, value string) error {
	which, value, err := c.checkCursor(which, value)
	if err != nil {
		return err
	}
	return c.writeCursors(ctx, []CursorWhich{which}, &value)
}

// ResetCursors has the next refreshes be as the first, and returns those that were reset.
func (c *Client) ResetCursors(ctx context.Context, which CursorWhich) ([]CursorRow, error) {
	there, err := c.Cursors(ctx, which)
	if err != nil {
		return nil, err
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("no cursor of source %s is so; `leat cursor list` shows them", which.Source)
	}
	all := make([]CursorWhich, len(there))
	for i, row := range there {
		all[i] = CursorWhich{row.Source, row.Account, row.Stream}
	}
	return there, c.writeCursors(ctx, all, nil)
}

// writeCursors sets cursors, or resets them where there is no value.
func (c *Client) writeCursors(ctx context.Context, all []CursorWhich, value *string) error {
	var sources, accounts, streams []string
	for _, w := range all {
		sources, accounts, streams = append(sources, w.Source), append(accounts, w.Account), append(streams, w.Stream)
	}
	return postgres.InTx(ctx, c.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			WITH written AS (
				INSERT INTO cursors (source, account, stream, value, set_at)
				SELECT w.*, $4, clock_timestamp() FROM unnest($1::text[], $2::text[], $3::text[]) AS w
				ON CONFLICT (source, account, stream) DO UPDATE SET
					value = excluded.value, next = NULL, job_id = NULL, at = now(), set_at = excluded.set_at
				RETURNING source, account, stream, value
			)
			INSERT INTO cursor_history (source, account, stream, value) SELECT * FROM written`, sources, accounts, streams, value)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Entry{By: c.by, Action: audit.Cursor, Subject: sources[0], Detail: map[string]any{"accounts": accounts, "streams": streams, "value": value}})
	})
}

// checkCursor fills in the stream, and a moment where the value is a day.
func (c *Client) checkCursor(which CursorWhich, value string) (CursorWhich, string, error) {
	src, err := FindSource(c.cfg.Sources, which.Source)
	if err != nil {
		return which, value, err
	}
	accounts := src.AccountNames()
	switch {
	case which.Account == "" && len(accounts) > 0:
		return which, value, fmt.Errorf("account: missing; source %s has %s", src.Name, strings.Join(accounts, ", "))
	case which.Account != "" && !slices.Contains(accounts, which.Account):
		return which, value, fmt.Errorf("account: found %q; source %s has %s", which.Account, src.Name, orNone(accounts))
	case value == "":
		return which, value, errors.New("value: it is empty; `leat cursor reset` takes a cursor away")
	}
	name, stream := fetch.SplitStream(which.Stream)
	feed, err := src.Feed(name)
	if err != nil {
		return which, value, fmt.Errorf("stream: %w; one of a feed is called FEED/%s", err, fetch.StreamReport)
	}
	if stream == "" {
		stream = usualStream(feed)
	}
	which.Stream = fetch.StreamOf(name, stream)
	switch stream {
	case fetch.StreamChanges, fetch.StreamPosition:
		return which, value, nil
	case fetch.StreamReport:
		value, err = moment(value, src, which.Account)
		return which, value, err
	}
	return which, value, fmt.Errorf("stream: found %q; there are %s, %s, %s", stream, fetch.StreamReport, fetch.StreamChanges, fetch.StreamPosition)
}

// usualStream is the stream by which a refresh goes on.
func usualStream(feed *source.Source) string {
	switch {
	case feed.Fetch.Changes != nil:
		return fetch.StreamChanges
	case feed.Fetch.Stream != nil:
		return fetch.StreamPosition
	}
	return fetch.StreamReport
}

// moment reads a day, on the account's clock, or a moment.
func moment(value string, src *source.Source, account string) (string, error) {
	at, err := time.Parse(time.RFC3339, value)
	if day, wrong := metric.ParseDay(value); wrong == nil {
		at, err = time.ParseInLocation(time.DateOnly, day.String(), src.Location(account))
	}
	if err != nil {
		return "", fmt.Errorf("value: found %q; the cursor of a report is a day such as 2026-11-20, or a moment such as 2026-11-20T15:04:05Z", value)
	}
	return at.UTC().Format(time.RFC3339), nil
}
