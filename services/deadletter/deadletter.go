// Package deadletter keeps the messages that stages gave up, in the table
// dead_letters, and has them replayed, edited or dropped.
//
// In: what lies in the queue of dead letters, and what operators ask. Out: rows,
// and messages back to the stages that they died in. Every change by a person is
// in audit, in the same transaction.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/postgres"
)

// The states of a dead letter.
const (
	Dead      = "dead"      // nobody has decided yet
	Replaying = "replaying" // on its way back
	Replayed  = "replayed"  // sent back to its stage
	Dropped   = "dropped"   // not worth it
	All       = "all"       // in a filter: any of them
)

// States are what a filter may ask for.
var States = []string{Dead, Replaying, Replayed, Dropped, All}

// A Store reads and changes dead letters.
type Store struct{ DB *pgxpool.Pool }

// A Letter is a message that a stage gave up, without its body.
type Letter struct {
	ID         int64      `json:"id"`
	State      string     `json:"state"`
	Stage      string     `json:"stage"`
	MessageID  string     `json:"message_id"`
	Replay     int        `json:"replay"` // how often it had been brought back when it died
	Job        string     `json:"job_id"`
	Source     string     `json:"source"`
	Type       string     `json:"type"`
	Error      string     `json:"error"`
	Class      string     `json:"error_class"`
	Group      string     `json:"fingerprint"`
	Attempts   int        `json:"attempts"`
	Bytes      int        `json:"bytes"` // of the body
	DiedAt     time.Time  `json:"died_at"`
	FirstID    *int64     `json:"first_id"` // its first death, if it died before
	EditedAt   *time.Time `json:"edited_at"`
	EditedID   string     `json:"edited_id"`
	DroppedAt  *time.Time `json:"dropped_at"`
	ReplayID   *int64     `json:"replay_id"`
	ReplayedAt *time.Time `json:"replayed_at"`
}

const columns = `id, state, stage, message_id, replay, coalesce(job_id::text, ''), source, type, error, error_class, fingerprint, attempts,
	octet_length(coalesce(edited_body, body)), died_at, first_id, edited_at, coalesce(edited_id, ''), dropped_at, replay_id, replayed_at`

// A Filter says which letters are meant; what is empty does not filter, but for
// the state: without one those that are dead are meant.
type Filter struct {
	IDs    []int64    `json:"ids"`
	State  string     `json:"state"`
	Stage  string     `json:"stage"`
	Class  string     `json:"error_class"`
	Source string     `json:"source"`
	Job    string     `json:"job_id"`
	Group  string     `json:"fingerprint"` // or its beginning
	Since  *time.Time `json:"since"`
}

// Empty reports whether the filter lets all of the dead pass.
func (f Filter) Empty() bool {
	return len(f.IDs) == 0 && f.State == "" && f.Stage == "" && f.Class == "" && f.Source == "" && f.Job == "" && f.Group == "" && f.Since == nil
}

// ErrAsked says that something was asked that cannot be; the error says what.
// ErrNone says that what was asked for is not there.
var (
	ErrAsked = errors.New("")
	ErrNone  = fmt.Errorf("%w", ErrAsked)
)

// Asked returns an error that is ErrAsked.
func Asked(format string, args ...any) error {
	return fmt.Errorf("%w"+format, append([]any{ErrAsked}, args...)...)
}

func none(format string, args ...any) error {
	return fmt.Errorf("%w"+format, append([]any{ErrNone}, args...)...)
}

// args are the arguments of where.
func (f Filter) args() ([]any, error) {
	state := f.State
	switch state {
	case "":
		state = Dead
	case All:
		state = ""
	case Dead, Replaying, Replayed, Dropped:
	default:
		return nil, Asked("state: found %q; allowed are %s", f.State, strings.Join(States, ", "))
	}
	var job *string
	if f.Job != "" {
		id, err := uuid.Parse(f.Job)
		if err != nil {
			return nil, Asked("job_id: found %q; the id of a job is a UUID", f.Job)
		}
		text := id.String()
		job = &text
	}
	return []any{f.IDs, state, f.Stage, f.Class, f.Source, job, f.Group, f.Since}, nil
}

const where = `(cardinality($1::bigint[]) IS NULL OR cardinality($1) = 0 OR id = ANY($1)) AND ($2 = '' OR state = $2)
	AND ($3 = '' OR stage = $3) AND ($4 = '' OR error_class = $4) AND ($5 = '' OR source = $5)
	AND ($6::uuid IS NULL OR job_id = $6) AND ($7 = '' OR starts_with(fingerprint, $7)) AND ($8::timestamptz IS NULL OR died_at >= $8)`

// List returns letters, the newest first; before is the last id of the page
// before, 0 for the first page.
func (s Store) List(ctx context.Context, f Filter, before int64, limit int) ([]Letter, error) {
	args, err := f.args()
	if err != nil {
		return nil, err
	}
	return s.letters(ctx, `
		SELECT `+columns+` FROM dead_letters
		WHERE `+where+` AND ($9 = 0 OR id < $9)
		ORDER BY id DESC
		LIMIT $10`, append(args, before, limit)...)
}

func (s Store) letters(ctx context.Context, sql string, args ...any) ([]Letter, error) {
	rows, err := s.DB.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", postgres.Classify(err))
	}
	letters, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Letter])
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", postgres.Classify(err))
	}
	if letters == nil {
		letters = []Letter{}
	}
	return letters, nil
}

// IDs returns the ids of all letters that are meant, in their order.
func (s Store) IDs(ctx context.Context, f Filter) ([]int64, error) {
	args, err := f.args()
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, `SELECT id FROM dead_letters WHERE `+where+` ORDER BY id`, args...)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", postgres.Classify(err))
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return ids, postgres.Classify(err)
}

// A Group is the letters of one cause.
type Group struct {
	Group  string    `json:"fingerprint"`
	Count  int64     `json:"count"`
	Stage  string    `json:"stage"`
	Class  string    `json:"error_class"`
	Shape  string    `json:"shape"` // the error without what differs
	Error  string    `json:"error"` // of the newest
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Newest int64     `json:"newest"` // the id of the newest
}

// Groups returns the letters by their cause, the most frequent first.
func (s Store) Groups(ctx context.Context, f Filter, limit int) ([]Group, error) {
	args, err := f.args()
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, `
		SELECT g.fingerprint, g.n, d.stage, d.error_class, '', d.error, g.first, g.last, g.newest
		FROM (SELECT fingerprint, count(*) AS n, min(died_at) AS first, max(died_at) AS last, max(id) AS newest
			FROM dead_letters WHERE `+where+`
			GROUP BY fingerprint ORDER BY 2 DESC, 5 DESC LIMIT $9) AS g
		JOIN dead_letters d ON d.id = g.newest
		ORDER BY g.n DESC, g.newest DESC`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("groups of dead letters: %w", postgres.Classify(err))
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Group])
	if err != nil {
		return nil, fmt.Errorf("groups of dead letters: %w", postgres.Classify(err))
	}
	if groups == nil {
		groups = []Group{}
	}
	for i := range groups {
		groups[i].Shape = Shape(groups[i].Error)
	}
	return groups, nil
}
