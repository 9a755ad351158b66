package fetch

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

// Known is what the last job that is done was told at the same address: what
// PostgreSQL holds of it now. It is empty where another job asks there too, or
// has asked for the same days in another way since: then nobody can say what
// PostgreSQL holds.
type known struct {
	ETag, Modified string
	Hash           string
	Records        int
}

// A request is what tells an answer's address from others.
type request struct {
	source, account, feed string
	name, shape           string
	first, last           string // the days that the answer may hold
	again                 bool   // it may be asked for again, and so is kept
}

func (t task) request(url string) request {
	r := request{source: t.src.Name, account: t.slice.Account, feed: t.slice.Feed, first: "-infinity", last: "infinity"}
	r.name = pipeline.Hash(t.src.Hash, url, t.slice.Feed)
	if t.slice.From != "" {
		r.first, r.last = t.slice.From, t.slice.To
	}
	r.shape = pipeline.Hash(t.src.Hash, t.slice.URL, t.slice.From, t.slice.To)
	once := t.slice.IDs != nil || t.slice.Report != nil
	if once {
		r.shape = t.ID
	}
	r.again = !once && (t.slice.Page == nil || t.src.Fetch.Pages.Next == "")
	return r
}

// claim begins a request: from now on what is known of its address, and of other
// addresses with the same days, does not hold until the job is done. It returns
// what was known, and PostgreSQL's clock. Of one source all claims stand in line,
// each with its moment, so that what is asked for later is observed later.
func (s *Stage) claim(ctx context.Context, job string, r request) (k known, now time.Time, err error) {
	err = postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('leat.requests ' || $1, 0))`, r.source); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH known AS (
				SELECT r.etag, r.modified, r.hash, r.records
				FROM requests r JOIN jobs j ON j.id = r.job_id AND j.state = 'done'
				WHERE r.source = $1 AND r.account = $2 AND r.name = $3
			), others AS (
				DELETE FROM requests
				WHERE source = $1 AND (account = $2 OR '' IN (account, $2)) AND feed = $9 AND (name <> $3 OR NOT $8) AND shape <> $4 AND first_day <= $6 AND last_day >= $5
			), claimed AS (
				INSERT INTO requests (source, account, name, shape, first_day, last_day, job_id, feed)
				SELECT $1, $2, $3, $4, $5, $6, id, $9 FROM jobs WHERE id = $7 AND $8
				ON CONFLICT (source, account, name) DO UPDATE SET
					shape = excluded.shape, first_day = excluded.first_day, last_day = excluded.last_day, job_id = excluded.job_id
			)
			SELECT clock_timestamp(), coalesce(k.etag, ''), coalesce(k.modified, ''), coalesce(k.hash, ''), coalesce(k.records, 0)
			FROM (SELECT) AS one LEFT JOIN known k ON true`,
			r.source, r.account, r.name, r.shape, r.first, r.last, job, r.again, r.feed).Scan(&now, &k.ETag, &k.Modified, &k.Hash, &k.Records)
	})
	return k, now, err
}

// keepRequest keeps what a request was told, unless another job has claimed it
// meanwhile. Of what was true at another time PostgreSQL may hold less.
func keepRequest(ctx context.Context, tx pgx.Tx, t task, a Answer, records int) error {
	r := t.request(a.URL)
	if t.slice.AsOf != nil {
		a.ETag, a.Modified, a.Hash = "", "", ""
	}
	_, err := tx.Exec(ctx, `
		UPDATE requests SET etag = $5, modified = $6, hash = $7, records = $8
		WHERE source = $1 AND account = $2 AND name = $3 AND job_id = $4`,
		r.source, r.account, r.name, t.Job, a.ETag, a.Modified, a.Hash, records)
	return err
}

// validators are what a source calls an answer by. A moment says nothing where
// the answer may have changed once more within its second.
func validators(h http.Header) (etag, modified string) {
	etag, modified = h.Get("ETag"), h.Get("Last-Modified")
	date, err := http.ParseTime(h.Get("Date"))
	since, wrong := http.ParseTime(modified)
	if err != nil || wrong != nil || date.Sub(since) < 2*time.Second {
		modified = ""
	}
	return etag, modified
}
