package annotate

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/access"
)

// Lookups ask for what annotators need by http(). What was answered is kept in
// PostgreSQL for all processes, for as long as the source file says.
type Lookups struct {
	DB    *pgxpool.Pool
	Guard *outbound.Guard
	Log   *zap.Logger

	slots  chan struct{} // of the requests that are under way
	tokens access.Tokens
}

// NewLookups returns what asks at most so many addresses at the same time.
func NewLookups(db *pgxpool.Pool, guard *outbound.Guard, atOnce int, log *zap.Logger) *Lookups {
	return &Lookups{DB: db, Guard: guard, Log: log, slots: make(chan struct{}, atOnce)}
}

// A noReply is why an address gave nothing.
type noReply struct {
	error
	passes bool // it may give something later
}

func (e *noReply) Unwrap() error { return e.error }

// key names a question in the table: of two sources each has its own credentials.
func (q question) key() []byte {
	sum := sha256.Sum256([]byte(q.src.Name + "\x00" + q.address))
	return sum[:16]
}

// recall learns what is known of questions, but for those that were missed
// before. It returns how many there were.
func (l *Lookups) recall(ctx context.Context, g *guess, questions []question, missed map[question]bool) (hits int, err error) {
	byKey := make(map[string]question, len(questions))
	var keys [][]byte
	for _, q := range questions {
		if !missed[q] {
			missed[q] = true
			key := q.key()
			keys = append(keys, key)
			byKey[string(key)] = q
		}
	}
	if len(keys) == 0 {
		return 0, nil
	}
	rows, err := l.DB.Query(ctx, `SELECT hash, status, json, answer FROM lookups WHERE hash = ANY($1) AND until > now()`, keys)
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("read lookups: %w", err))
	}
	var key []byte
	var a answer
	_, err = pgx.ForEachRow(rows, []any{&key, &a.status, &a.json, &a.body}, func() error {
		hits++
		g.learn(byKey[string(key)], a.reply())
		return nil
	})
	return hits, postgres.Classify(err)
}

// An answer is what a host said for good: a value, or that there is none.
type answer struct {
	question question
	status   int
	json     bool
	body     []byte
	days     source.Days // that it is kept
}

// gone reports whether a status says that there is nothing: that is an answer too.
func gone(status int) bool { return status == 404 || status == 410 || status == 204 }

func (a answer) reply() source.Reply {
	if gone(a.status) {
		return source.Reply{}
	}
	value, err := source.ReadReply(a.body, a.json)
	if err != nil {
		return source.Reply{Err: &noReply{fmt.Errorf("%s: %w", redact.Text(a.question.address), err), a.json}}
	}
	return source.Reply{Value: value}
}

// keep writes answers, all of a round by one statement.
func (l *Lookups) keep(ctx context.Context, answers []answer) error {
	if len(answers) == 0 {
		return nil
	}
	var keys, bodies [][]byte
	var sources, addresses []string
	var statuses, days []int
	var json []bool
	for _, a := range answers {
		keys, bodies = append(keys, a.question.key()), append(bodies, append([]byte{}, a.body...))
		sources, addresses = append(sources, a.question.src.Name), append(addresses, postgres.Plain(redact.Text(a.question.address)))
		statuses, days, json = append(statuses, a.status), append(days, int(a.days)), append(json, a.json)
	}
	_, err := l.DB.Exec(ctx, `
		INSERT INTO lookups (hash, source, url, status, json, answer, until)
		SELECT hash, source, url, status, json, answer, now() + days * interval '1 day'
		FROM unnest($1::bytea[], $2::text[], $3::text[], $4::int[], $5::boolean[], $6::bytea[], $7::int[])
			AS u(hash, source, url, status, json, answer, days)
		ORDER BY hash
		ON CONFLICT (hash) DO UPDATE SET status = excluded.status, json = excluded.json, answer = excluded.answer,
			at = excluded.at, until = excluded.until`, keys, sources, addresses, statuses, json, bodies, days)
	return postgres.Classify(err)
}
