package rollup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// Idle implements pipeline.Idler: it writes what is due of the documents that
// are marked, and ends the jobs that have nothing left.
func (s *Stage) Idle(ctx context.Context) (pause time.Duration, err error) {
	settled, err := s.settled(ctx)
	if err != nil {
		return 0, err
	}
	objects, err := s.writeDue(ctx, settled)
	if err != nil || objects > 0 {
		return 0, err
	}
	if err := s.finish(ctx, settled); err != nil {
		return 0, err
	}
	return s.settling.pause(), s.prune(ctx)
}

// ErrRestored says that PostgreSQL is older than MongoDB.
var ErrRestored = errors.New("a document's rev is above PostgreSQL's sequence: PostgreSQL was restored from a backup; run `leat rebuild`")

// A dirtyRow is a mark.
type dirtyRow struct {
	ID     int64
	Object int64
	Half   string // byDays: of whichever documents Self, Days and All say
	Self   bool   // all documents that are known
	Days   []metric.Day
	All    bool // all days
	Job    string
}

// A claim is the marks that a worker took, and what it made of them.
type claim struct {
	settled []string
	rows    []dirtyRow
	known   map[int64][]string // halves of which MongoDB has documents, by object
	rev     int64
	docs    []*Document
	orphans []string       // source/_id of documents without an object
	redo    map[int64]bool // objects whose documents were not written: their marks stay
	refused map[*Document]string
}

// writeDue writes the documents of up to Documents objects that are due, and
// returns of how many. The order is what keeps it exact: lock the marks; take a
// rev; after that read what the documents should hold; write, guarded by the
// rev; and only when MongoDB has confirmed, delete the marks. A crash anywhere
// leaves them, and whoever had an older rev finds the newer document.
func (s *Stage) writeDue(ctx context.Context, settled []string) (objects int, err error) {
	written := 0
	err = postgres.InTx(ctx, s.DB, func(tx pgx.Tx) error {
		c := &claim{settled: settled, redo: map[int64]bool{}, refused: map[*Document]string{}}
		ids, err := lockDue(ctx, tx, settled, s.Documents)
		if objects = len(ids); err != nil || objects == 0 {
			return err
		}
		if c.rows, err = readMarks(ctx, tx, ids); err != nil {
			return err
		}
		if c.known, err = knownHalves(ctx, tx, ids); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT nextval('rev')`).Scan(&c.rev); err != nil {
			return err
		}
		pipeline.Point("rev")
		if err := s.compute(ctx, tx, c); err != nil {
			return err
		}
		pipeline.Point("computed")
		if err := s.send(ctx, c); err != nil {
			return err
		}
		pipeline.Point("written")
		if err := s.announce(ctx, c); err != nil {
			return err
		}
		pipeline.Point("announced")
		written = len(c.docs)
		err = forget(ctx, tx, c)
		pipeline.Point("forgotten")
		return err
	})
	if err == nil && written > 0 && s.Count != nil {
		s.Count("documents.written", written)
	}
	return objects, err
}

// compute reads what the marked documents should hold.
func (s *Stage) compute(ctx context.Context, tx pgx.Tx, c *claim) (err error) {
	var wants []Want
	wants, c.orphans = expand(c.rows, c.known)
	if c.docs, err = Compute(ctx, tx, s.latest(ctx), wants); err != nil {
		return err
	}
	for _, d := range c.docs {
		d.stands = slices.Contains(c.known[d.Node.ID], d.Half)
	}
	return nil
}

// latest returns the latest version of a source, looked up once.
func (s *Stage) latest(ctx context.Context) func(name string) (*source.Source, error) {
	known := map[string]*source.Source{}
	return func(name string) (src *source.Source, err error) {
		if src = known[name]; src == nil {
			src, err = s.Sources.Latest(ctx, name)
			known[name] = src
		}
		return src, err
	}
}

// bulkSize is the operations of a bulk; two are under way at once.
const (
	bulkSize  = 250
	bulks     = 2
	bulkLimit = time.Minute // below what PostgreSQL lets a transaction idle
)

// send writes the documents, one operation each.
func (s *Stage) send(ctx context.Context, c *claim) error {
	bySource := map[string][]*Document{}
	for _, d := range c.docs {
		bySource[d.Node.Source] = append(bySource[d.Node.Source], d)
	}
	group, bulkCtx := errgroup.WithContext(ctx)
	group.SetLimit(bulks)
	outcomes := make(chan bulkOutcome, len(c.docs)/bulkSize+len(bySource)+1)
	for _, name := range slices.Sorted(maps.Keys(bySource)) {
		for chunk := range slices.Chunk(bySource[name], bulkSize) {
			group.Go(func() error {
				outcome, err := s.bulk(bulkCtx, chunk, c.rev)
				outcomes <- outcome
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	close(outcomes)
	for o := range outcomes {
		for _, d := range o.newer {
			c.redo[d.Node.ID] = true
		}
		maps.Copy(c.refused, o.refused)
	}
	return s.removeOrphans(ctx, c)
}

// removeOrphans empties documents that have no object, which `leat check` found.
func (s *Stage) removeOrphans(ctx context.Context, c *claim) error {
	for _, orphan := range c.orphans { // seldom more than a few: someone wrote them by hand
		name, id := cutOrphan(orphan)
		filter := bson.D{{Key: "_id", Value: id}}
		if _, err := s.Mongo.Collection(name).UpdateOne(ctx, filter, gone(c.rev)); err != nil {
			return mongodb.Classify(fmt.Errorf("remove %s: %w", orphan, err))
		}
	}
	return nil
}

// announce publishes the written documents to the feed, and the refused ones as
// dead letters.
func (s *Stage) announce(ctx context.Context, c *claim) error {
	updates, err := c.updates(s.Feed)
	if err != nil {
		return err
	}
	for d, reason := range c.refused {
		s.Log.Error("document refused", zap.String("source", d.Node.Source), zap.String("document", d.ID()), zap.String("reason", reason))
		updates = append(updates, c.letter(s.Dead, d, reason))
	}
	if err := s.Sink.Publish(ctx, updates); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// letter is the dead letter of one document. Its id is the mark's, so that it is
// the same letter when it is published twice.
func (c *claim) letter(queue string, d *Document, reason string) pipeline.Envelope {
	job := c.jobOf(d)
	return pipeline.Envelope{
		ID: c.refusedID(d), Kind: "leat.document.v1", Queue: queue, Key: d.ID(), Job: job, At: time.Now(),
		Body: fmt.Appendf(nil, `{"source":%q,"id":%q}`, d.Node.Source, d.ID()),
		Headers: map[string]string{
			"error": reason, "error_class": "permanent", "stage": Name, "attempts": "1",
			"died_at": time.Now().UTC().Format(time.RFC3339Nano), "origin_queue": "",
		},
	}
}

func (c *claim) refusedID(d *Document) string {
	return pipeline.Hash("document", d.Node.Source, d.ID(), c.jobOf(d))
}

// jobOf returns a job whose mark the document comes from.
func (c *claim) jobOf(d *Document) string {
	for _, r := range c.rows {
		if r.Object == d.Node.ID && slices.Contains(r.places(c.known), place{d.Node.ID, d.Half}) {
			return r.Job
		}
	}
	return ""
}
