package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

// archived begins the address of an answer that the archive holds.
const archived = "archive://"

var pastPattern = regexp.MustCompile(`^archive://([0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9]{1,9})$`)

// Replay is the address of a job's answer.
func Replay(job string, n int) string { return archived + job + "/" + strconv.Itoa(n) }

// IsPast reports whether an address is that of an answer in the archive.
func IsPast(url string) bool { return strings.HasPrefix(url, archived) }

// A past is an answer that was given before.
type past struct {
	Hash       string
	Account    *string // nil: it was not kept
	Feed       *string // likewise
	Format     string
	List       bool // of what changed
	ObservedAt time.Time
}

// nudge sets a replay after what was cut of the answer before, so that another
// version of the source file has its way; what was asked for later is later still.
const nudge = time.Millisecond

// withPast fills into a job what an answer of the past was: its account, feed and
// moment, unless the job says another.
func (s *Stage) withPast(ctx context.Context, j Job) (Job, error) {
	if !IsPast(j.URL) {
		return j, nil
	}
	p, err := findPast(ctx, s.DB, j.Source, j.Account, j.Feed, j.URL)
	if err != nil {
		return j, err
	}
	switch {
	case p.List:
		return j, pipeline.Permanent(fmt.Errorf("url: %s is a list of what changed, and holds no records", j.URL))
	case p.Account != nil && j.Account != "" && j.Account != *p.Account:
		return j, pipeline.Permanent(fmt.Errorf("account: found %q; %s is an answer for %q", j.Account, j.URL, *p.Account))
	case p.Account != nil:
		j.Account = *p.Account
	}
	if p.Feed != nil && j.Feed != "" && j.Feed != *p.Feed {
		return j, pipeline.Permanent(fmt.Errorf("feed: found %q; %s is an answer for %q", j.Feed, j.URL, *p.Feed))
	}
	if p.Feed != nil {
		j.Feed = *p.Feed
	}
	if j.AsOf == "" {
		j.AsOf = p.ObservedAt.Add(nudge).Format(time.RFC3339Nano)
	}
	return j, nil
}

// openPast opens an answer of the past, and notes what it was.
func (s *Stage) openPast(ctx context.Context, t task, u *url.URL, a *Answer) (io.ReadCloser, error) {
	p, err := findPast(ctx, s.DB, t.src.Name, t.slice.Account, t.slice.Feed, u.String())
	if err != nil {
		return nil, err
	}
	a.Format = p.Format
	file, err := s.Archive.Get(ctx, p.Hash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noPast(t.src.Name, u.String())
	}
	return file, err
}

func noPast(source, address string) error {
	return pipeline.Permanent(fmt.Errorf("url: the archive has no answer %s of source %s: it never had, or fetch.keep of the source is over", strings.TrimPrefix(address, archived), source))
}

// findPast finds an answer by its hash, or by its job and number.
func findPast(ctx context.Context, db *pgxpool.Pool, source, account, feed, address string) (past, error) {
	ref := strings.TrimPrefix(address, archived)
	var rows pgx.Rows
	if job, n, ok := strings.Cut(ref, "/"); ok {
		rows, _ = db.Query(ctx, `
			SELECT a.hash, a.account, a.feed, a.format, a.list, (
				SELECT max(observed_at) FROM answers WHERE hash = a.hash AND observed_at BETWEEN a.observed_at AND a.observed_at + interval '1 second')
			FROM answers a JOIN jobs j ON j.id = a.job_id
			WHERE a.job_id = $1 AND a.n = $2::int AND j.source = $3`, job, n, source) // its error is that of reading
	} else {
		rows, _ = db.Query(ctx, `
			SELECT hash, account, feed, format, false, observed_at FROM archive_index
			WHERE hash = $1 AND source = $2 AND ($3 = '' OR account = $3) AND ($4 = '' OR feed = $4)
			ORDER BY account, feed`, ref, source, account, feed)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[past])
	switch {
	case err != nil:
		return past{}, postgres.Classify(err)
	case len(found) == 0:
		return past{}, noPast(source, address)
	case len(found) > 1:
		return past{}, pipeline.Permanent(severalPasts(address, found))
	}
	return found[0], nil
}

// severalPasts says which field of the job tells apart what an answer was of.
func severalPasts(address string, found []past) error {
	field, first, second := "account", *found[0].Account, *found[1].Account
	if first == second {
		field, first, second = "feed", *found[0].Feed, *found[1].Feed
	}
	return fmt.Errorf("%s: missing; %s is an answer for %q, for %q and maybe others", field, address, first, second)
}
