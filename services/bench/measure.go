package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/leatflow/leat/services/lab"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A run is one contestant doing one thing once.
type run struct {
	Contestant string             `json:"contestant"` // floor, leat-1, leat-2, …
	Scenario   string             `json:"scenario"`   // load, again, changed 0.01, …
	Round      int                `json:"round,omitempty"`
	Seconds    float64            `json:"seconds"`
	CPU        usage              `json:"cpu_seconds"`
	Peak       map[string]float64 `json:"peak_mb"`           // of each process
	Rows       int64              `json:"rows"`              // of stats, in the end
	Documents  int64              `json:"documents_written"` // operations at MongoDB that had an effect
	Counts     counts             `json:"counts,omitempty"`  // Leat's own
	Servers    *serverCounts      `json:"servers,omitempty"` // in the first round: the servers publish them late
}

// serverCounts are what the servers say was done.
type serverCounts struct {
	Postgres map[string]int64 `json:"postgres"` // transactions, inserted, updated, deleted
	Messages map[string]int64 `json:"messages"` // published, by queue
}

func (c serverCounts) minus(before serverCounts) *serverCounts {
	return &serverCounts{difference(c.Postgres, before.Postgres), difference(c.Messages, before.Messages)}
}

func difference(now, before map[string]int64) map[string]int64 {
	d := map[string]int64{}
	for name, n := range now {
		if n != before[name] {
			d[name] = n - before[name]
		}
	}
	return d
}

// publishedAfter is how late PostgreSQL's and RabbitMQ's counts may be: a
// backend that is idle tells its own after ten seconds.
const publishedAfter = 11 * time.Second

// serverCounts reads the counts, when all that was done is in them.
func (l *site) serverCounts(ctx context.Context) (c serverCounts, err error) {
	if err := sleep(ctx, publishedAfter); err != nil {
		return c, err
	}
	var transactions, inserted, updated, deleted int64
	if err := l.DB.QueryRow(ctx, `
		SELECT xact_commit + xact_rollback, tup_inserted, tup_updated, tup_deleted FROM pg_stat_database WHERE datname = $1`, l.Name).
		Scan(&transactions, &inserted, &updated, &deleted); err != nil {
		return c, err
	}
	c.Postgres = map[string]int64{"transactions": transactions, "inserted": inserted, "updated": updated, "deleted": deleted}
	var queues []struct {
		Name  string
		Stats struct{ Publish int64 } `json:"message_stats"`
	}
	if err := l.Manage(ctx, "GET", "/api/queues/"+l.Name, nil, &queues); err != nil {
		return c, err
	}
	c.Messages = map[string]int64{}
	for _, q := range queues {
		c.Messages[q.Name] = q.Stats.Publish
	}
	return c, nil
}

// lastRev returns the highest rev of all documents, 0 when there are none.
func (l *site) lastRev(ctx context.Context) (int64, error) {
	var top struct{ Rev int64 }
	err := l.Docs.Collection(collection).FindOne(ctx, bson.M{}, options.FindOne().SetSort(bson.M{"rev": -1})).Decode(&top)
	if err == mongo.ErrNoDocuments { //nolint:errorlint // the driver returns it as it is
		return 0, nil
	}
	return top.Rev, err
}

// writtenSince counts the documents with a rev above one.
func (l *site) writtenSince(ctx context.Context, rev int64) (int64, error) {
	return l.Docs.Collection(collection).CountDocuments(ctx, bson.M{"rev": bson.M{"$gt": rev}})
}

// collection is the source's, in MongoDB.
const collection = "ads"

// A subject is what does the work of a run: Leat's workers, or the floor.
type subject interface {
	// work fetches the report and brings rows and documents up to date.
	work(ctx context.Context) (counts, error)
	// processes are those whose usage counts; they may come and go.
	processes() []*process
}

// measure has a subject work once, and says what it took.
func (b *bench) measure(ctx context.Context, l *site, s subject, platform *platform, label string) (r run, err error) {
	var before serverCounts
	if b.counting() {
		if before, err = l.serverCounts(ctx); err != nil {
			return r, err
		}
	}
	rev, err := l.lastRev(ctx)
	if err != nil {
		return r, err
	}
	if err := l.quiet(ctx); err != nil {
		return r, err
	}
	if h, ok := s.(*helper); ok && b.profiles != "" {
		h.profile = filepath.Join(b.profiles, label+".pprof")
	}
	for _, p := range s.processes() {
		p.forgetPeak()
	}
	start, err := usageNow(l.Name, append(s.processes(), platform.process)...)
	if err != nil {
		return r, err
	}
	profiled := b.profile(ctx, s.processes(), label)
	began := time.Now()
	if r.Counts, err = s.work(ctx); err != nil {
		return r, err
	}
	r.Seconds = rounded(time.Since(began).Seconds(), 1000)
	end, err := usageNow(l.Name, append(s.processes(), platform.process)...)
	if err != nil {
		return r, err
	}
	r.CPU = end.minus(start)
	if err := profiled(); err != nil {
		return r, err
	}
	if h, ok := s.(*helper); ok {
		err = r.ended(h.last)
	} else {
		r.Peak, err = peaks(s.processes())
	}
	if err != nil {
		return r, err
	}
	if r.Documents, err = l.writtenSince(ctx, rev); err != nil || !b.counting() {
		return r, err
	}
	after, err := l.serverCounts(ctx)
	r.Servers = after.minus(before)
	return r, err
}

const pgerrcodeNotAllowed = "42501"

// quiet has PostgreSQL write out what earlier runs left it to write, so that no
// run pays for the one before.
func (l *site) quiet(ctx context.Context) error {
	_, err := l.DB.Exec(ctx, `CHECKPOINT`)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == pgerrcodeNotAllowed {
		return nil // a user who may not: the runs are a little less alike
	}
	return err
}

// ended adds the usage of a process that has ended.
func (r *run) ended(p *process) error {
	mb, err := p.toldPeak()
	state := p.cmd.ProcessState
	r.CPU[p.name] = rounded((state.UserTime() + state.SystemTime()).Seconds(), 100)
	r.Peak = map[string]float64{p.name: rounded(mb, 10)}
	return err
}

// rounded keeps what a measurement is good for: tenths, hundredths and so on.
func rounded(v, per float64) float64 { return math.Round(v*per) / per }

const profileSeconds = 30

// profile fetches the processors' profile of each worker while a run goes on.
func (b *bench) profile(ctx context.Context, all []*process, label string) func() error {
	if b.profiles == "" {
		return func() error { return nil }
	}
	failed := make(chan error, len(all))
	for _, p := range all {
		go func() {
			profile, err := lab.Call(ctx, "GET", fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.listen, profileSeconds), nil)
			if err == nil {
				err = os.WriteFile(filepath.Join(b.profiles, label+"-"+p.name+".pprof"), profile, 0o600)
			}
			failed <- err
		}()
	}
	return func() (err error) {
		for range all {
			err = firstOf(err, <-failed)
		}
		return err
	}
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
