package fetch

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// AllCursors are the cursors of a source's feeds by their names, "" where it has none.
type AllCursors map[string]Cursors

// Cursors are where the refreshes of a feed go on, by account.
type Cursors struct {
	Days    map[string]metric.Day // of reports: the day to begin at
	Changes map[string]string     // of what changed
	Streams map[string]string     // of streams: after what was published
}

// The streams that have a cursor.
const (
	StreamReport   = "report"  // its value is a moment: all since then may have changed
	StreamChanges  = "changes" // its value is the source's
	StreamPosition = "stream"  // its value is the source's, and moves as it is read
)

// StreamOf is what a stream of a feed is called: tickets/report. Of a source
// without feeds it is the stream's own name.
func StreamOf(feed, stream string) string {
	if feed == "" {
		return stream
	}
	return feed + "/" + stream
}

// SplitStream is the reverse of StreamOf.
func SplitStream(name string) (feed, stream string) {
	if feed, stream, ok := strings.Cut(name, "/"); ok {
		return feed, stream
	}
	return "", name
}

const keepHistory = 30 // days

// advanceCursors moves the source's cursors past what jobs have brought in
// whole, and returns them. A job that is not done, or not wholly, moves nothing:
// to ask twice costs a comparison, a gap costs data.
func advanceCursors(ctx context.Context, tx pgx.Tx, src *source.Source) (all AllCursors, err error) {
	if _, err := tx.Exec(ctx, `
		WITH old AS (
			DELETE FROM cursor_history WHERE source = $1 AND at < now() - $2 * interval '1 day'
		), moved AS (
			UPDATE cursors c SET value = c.next, next = NULL, job_id = NULL, at = now()
			FROM jobs j WHERE j.id = c.job_id AND j.state = 'done' AND c.source = $1 AND c.next IS NOT NULL
			RETURNING c.source, c.account, c.stream, c.value, j.id
		)
		INSERT INTO cursor_history (source, account, stream, value, job_id) SELECT * FROM moved`, src.Name, keepHistory); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT account, stream, value FROM cursors WHERE source = $1 AND value IS NOT NULL`, src.Name)
	if err != nil {
		return nil, err
	}
	all = AllCursors{}
	var account, name, value string
	_, err = pgx.ForEachRow(rows, []any{&account, &name, &value}, func() error {
		feed, stream := SplitStream(name)
		c, ok := all[feed]
		if !ok {
			c = Cursors{map[string]metric.Day{}, map[string]string{}, map[string]string{}}
			all[feed] = c
		}
		switch day, ok := refreshFrom(value, src, account); {
		case stream == StreamChanges:
			c.Changes[account] = value
		case stream == StreamPosition:
			c.Streams[account] = value
		case ok:
			c.Days[account] = day
		}
		return nil
	})
	return all, err
}

// A move is where the following refresh goes on, if the job is done by then.
type move struct {
	stream, next string
	least        bool // the lowest of a job's moves counts, and not the last
}

// of is the move of a feed's stream.
func (m move) of(feed string) move {
	m.stream = StreamOf(feed, m.stream)
	return m
}

// observed is the move of a report: its earliest slice decides.
func observed(at time.Time) *move {
	return &move{StreamReport, at.UTC().Format("2006-01-02T15:04:05.000000Z"), true}
}

// setNextCursor keeps a move, unless a person set the cursor after the job began.
func setNextCursor(ctx context.Context, tx pgx.Tx, source, account, job string, m move) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO cursors AS c (source, account, stream, next, job_id) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (source, account, stream) DO UPDATE SET
			next = CASE WHEN $6 AND c.job_id = excluded.job_id THEN least(c.next, excluded.next) ELSE excluded.next END,
			job_id = excluded.job_id, at = now()
		WHERE c.set_at IS NULL OR c.set_at < (SELECT coalesce(started_at, created_at) FROM jobs WHERE id = $5)`,
		source, account, m.stream, m.next, job, m.least)
	return err
}

// refreshFrom is the day that a cursor stands for: everything of it may have changed.
func refreshFrom(value string, src *source.Source, account string) (metric.Day, bool) {
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return 0, false
	}
	return metric.DayOf(at.In(src.Location(account))), true
}
