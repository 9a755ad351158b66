package client

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/archive"
	"github.com/leatflow/leat/services/fetch"
)

// A TryRequest says what is to be tried.
type TryRequest struct {
	Source   string // a name, or a file that lies elsewhere: ./shop.yaml
	Account  string
	Feed     string
	From, To string // days; none: the source's lookback
	URL      string // in place of the source's own address
	Limit    int    // of records, 1 to MaxTried
}

// A Trial is what a source answered, and what a job would make of it.
type Trial struct {
	Source   string    `json:"source"`
	Version  string    `json:"version"`
	Account  string    `json:"account,omitempty"`
	Feed     string    `json:"feed,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Requests int       `json:"requests"` // that the job would begin with; the first was made
	Pages    bool      `json:"pages"`    // more may follow each, for its next page
	URL      string    `json:"url"`
	Status   int       `json:"status,omitempty"` // of HTTP
	Format   string    `json:"format"`
	Bytes    int64     `json:"bytes"`
	At       time.Time `json:"observed_at"`

	Records  int             `json:"records"` // that were read: objects and stats
	More     bool            `json:"more"`    // the answer has others
	Objects  []fixtureObject `json:"first_objects"`
	Stats    []fixtureStat   `json:"first_stats"`
	Rejected int             `json:"rejected"`
	Rejects  []fixtureReject `json:"first_rejects"`

	Effect Effect `json:"effect"`
}

// MaxTried is the most records that may be tried: they are held, and compared at once.
const MaxTried = 10_000

// Try asks a source what a job would ask first, and says what the job would
// change. It writes nothing but what the request cost of the source's budgets, and
// a token that had to be renewed for it.
func (c *Client) Try(ctx context.Context, r TryRequest) (Trial, error) {
	if err := c.migrated(ctx); err != nil {
		return Trial{}, err
	}
	src, err := c.sourceToTry(r.Source)
	if err != nil {
		return Trial{}, err
	}
	stage, done, err := c.asker(ctx, r.URL)
	if err != nil {
		return Trial{}, err
	}
	defer done()
	t := &Trial{Source: src.Name, Version: src.Hash}
	s := &sampler{src: src, limit: r.Limit, Trial: t, seen: map[string]int{}, first: fixture{Objects: []fixtureObject{}, Stats: []fixtureStat{}, Rejects: []fixtureReject{}}}
	tried, err := stage.Try(ctx, src, r.job(src.Name), s.take)
	if err != nil {
		return *t, err
	}
	t.asked(src, tried)
	t.Objects, t.Stats, t.Rejects = s.first.Objects, s.first.Stats, s.first.Rejects
	t.Effect, err = c.foresee(ctx, src, s.parts)
	return *t, err
}

// job is what is tried, as a job: a backfill, which asks for the report itself.
func (r TryRequest) job(name string) fetch.Job {
	j := fetch.Job{Source: name, Account: r.Account, Feed: r.Feed, From: r.From, To: r.To, URL: r.URL}
	if r.URL == "" {
		j.Mode = fetch.ModeBackfill
	}
	return j
}

// asked notes what was asked, and what came back.
func (t *Trial) asked(src *source.Source, tried fetch.Tried) {
	s := tried.Slice
	t.Account, t.Feed, t.From, t.To = s.Account, s.Feed, s.From, s.To
	t.Requests, t.URL, t.Status, t.Format, t.Bytes, t.At = tried.Slices, tried.URL, tried.Status, tried.Format, tried.Bytes, tried.ObservedAt
	if feed, err := src.Feed(s.Feed); err == nil {
		t.Pages = feed.Fetch.Pages != nil && s.URL == ""
	}
}

// FirstText is the first records and rejects as leat source test writes them.
func (t Trial) FirstText() (string, error) {
	return fixture{Account: t.Account, ObservedAt: t.At, Objects: t.Objects, Stats: t.Stats, Rejects: t.Rejects}.text()
}

// sourceToTry reads a source file: one of the folder by its name, or any other by its path.
func (c *Client) sourceToTry(name string) (*source.Source, error) {
	folder := c.cfg.Sources
	if file, isFile := strings.CutSuffix(name, ".yaml"); isFile {
		folder, name = filepath.Dir(file), filepath.Base(file)
	}
	src, err := FindSource(folder, name)
	if errors.Is(err, errBroken) {
		err = fmt.Errorf("source: the file of %q is wrong: `leat source lint %s`", name, filepath.Join(folder, name+".yaml"))
	}
	return src, err
}

// asker is a fetch stage that asks, and has no queue. It reads the archive only for
// an answer of the past.
func (c *Client) asker(ctx context.Context, url string) (s *fetch.Stage, done func(), err error) {
	guard, err := c.cfg.Fetch.Guard()
	if err != nil {
		return nil, nil, err
	}
	s = &fetch.Stage{
		DB: c.db, Sources: c.sources, Folder: c.cfg.Sources, Files: c.cfg.Fetch.Files, Guard: guard,
		MaxSize: c.cfg.Fetch.MaxSizeMiB << 20, Slots: 2, Log: zap.NewNop(), // half of the slots may wait for their turn
	}
	if !fetch.IsPast(url) {
		return s, func() {}, nil
	}
	if s.Archive, err = archive.Open(ctx, c.cfg.Archive); err != nil {
		return nil, nil, err
	}
	return s, func() { _ = s.Archive.Close() }, nil // it was only read
}
