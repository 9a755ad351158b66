// Package audit keeps who did what to the installation, when and why, in the
// table audit. It only adds to it.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatflow/leat/pkg/postgres"
)

// The actions.
const (
	Submit  = "submit"  // of a job
	Replay  = "replay"  // of dead letters
	Pause   = "pause"   // of a replay or a job
	Resume  = "resume"  // of a replay or a job, and of a job whose messages were lost
	Cancel  = "cancel"  // of a replay or a job
	Edit    = "edit"    // of a dead letter
	Drop    = "drop"    // of dead letters
	Repair  = "repair"  // of documents, by marking them
	Rebuild = "rebuild" // of MongoDB, after PostgreSQL was restored
	Cursor  = "cursor"  // set or reset

	Reannotate = "reannotate" // of a source's objects
)

// By is who does something, and by which way in.
type By struct {
	Who string // user@host, or what a proxy says
	Via string // cli or http
}

// Operator is the user of this process, who runs the command leat.
func Operator() By {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return By{Who: name + "@" + host, Via: "cli"}
}

// An Entry is one action.
type Entry struct {
	By
	Action  string
	Subject string // a job, "dead letter 3", "replay 1", a number of things
	Why     string
	Detail  map[string]any
}

// A DB is a pool, or the transaction that the action is part of.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Record adds an entry.
func Record(ctx context.Context, db DB, e Entry) error {
	if e.Detail == nil {
		e.Detail = map[string]any{}
	}
	_, err := db.Exec(ctx, `INSERT INTO audit (who, via, action, subject, why, detail) VALUES ($1, $2, $3, $4, $5, $6)`,
		postgres.Plain(e.Who), e.Via, e.Action, postgres.Plain(e.Subject), postgres.Plain(e.Why), e.Detail)
	if err != nil {
		return fmt.Errorf("record %s of %s in audit: %w", e.Action, e.Subject, err)
	}
	return nil
}

// A Row is an entry as it is kept.
type Row struct {
	ID      int64           `json:"id"`
	At      time.Time       `json:"at"`
	Who     string          `json:"who"`
	Via     string          `json:"via"`
	Action  string          `json:"action"`
	Subject string          `json:"subject"`
	Why     string          `json:"why"`
	Detail  json.RawMessage `json:"detail"`
}

// A Filter says which entries to list; what is empty does not filter.
type Filter struct {
	Action  string
	Subject string
	Before  int64 // only entries with a lower id
	Limit   int
}

// List returns entries, the newest first.
func List(ctx context.Context, db DB, f Filter) ([]Row, error) {
	rows, err := db.Query(ctx, `
		SELECT id, at, who, via, action, subject, why, detail FROM audit
		WHERE ($1 = '' OR action = $1) AND ($2 = '' OR subject = $2) AND ($3 = 0 OR id < $3)
		ORDER BY id DESC
		LIMIT $4`, f.Action, f.Subject, f.Before, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Row])
	if entries == nil {
		entries = []Row{}
	}
	return entries, err
}
