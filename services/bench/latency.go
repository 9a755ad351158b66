package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/services/client"
)

// A latency is how long small jobs took, from when they were published until a
// document of theirs could be read.
type latency struct {
	While  string  `json:"while"` // idle, or what else ran
	Jobs   int     `json:"jobs"`
	Median float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Most   float64 `json:"max_ms"`
}

const (
	smallJobs = 120
	smallSize = "100KB" // of two accounts with ten ads each
	smallName = "small" // of the source
)

// latency measures small jobs one after the other: through an idle pipeline, and
// while a backfill of the whole report runs.
func (b *bench) latency(ctx context.Context) error {
	return b.inLab(ctx, report(b.size), func(l *site, big *platform) (err error) {
		small, err := newPlatform(ctx, b.bin, l.Folder, platformFlags{size: smallSize, accounts: []string{"acme", "globex"}})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, small.stop()) }()
		if err := l.addSmall(small); err != nil {
			return err
		}
		w, err := startWorkers(ctx, l, b.bin, each(1))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.stop()) }()
		return w.latencies(ctx, b, small, big)
	})
}

// addSmall writes the source of the small platform, whose report is like the big one's.
func (l *site) addSmall(p *platform) error {
	text, err := os.ReadFile(filepath.Join(l.Cfg.Sources, collection+".yaml"))
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "source: "):
			lines[i] = "source: " + smallName
		case strings.HasPrefix(line, "  base_url: "):
			lines[i] = "  base_url: " + p.url()
		}
	}
	return os.WriteFile(filepath.Join(l.Cfg.Sources, smallName+".yaml"), []byte(strings.Join(lines, "\n")), 0o600)
}

func (w *workers) latencies(ctx context.Context, b *bench, small, big *platform) error {
	var idle, busy []float64
	for range smallJobs + 1 {
		took, err := w.small(ctx, small)
		if err != nil {
			return err
		}
		idle = append(idle, took)
	}
	idle = idle[1:] // the first loaded everything
	id, err := w.submit(ctx, backfill(""))
	if err != nil {
		return err
	}
	for {
		took, err := w.small(ctx, small)
		if err != nil {
			return err
		}
		if open, err := w.open(ctx, id); err != nil || !open {
			b.results.Latency = append(b.results.Latency, latencyOf("idle", idle), latencyOf("a backfill of "+b.size, busy))
			return errors.Join(err, w.agree(ctx), b.check(ctx, w.lab, big, true))
		}
		busy = append(busy, took)
	}
}

// open reports whether a job has not ended.
func (w *workers) open(ctx context.Context, id string) (open bool, err error) {
	err = w.lab.DB.QueryRow(ctx, `SELECT count(*) > 0 FROM jobs WHERE id = $1 AND state IN ('queued', 'running')`, id).Scan(&open)
	return open, err
}

// small restates all of the small report, asks for one account of it, and
// returns the milliseconds until the document of a campaign is there.
func (w *workers) small(ctx context.Context, p *platform) (ms float64, err error) {
	if err := p.revise(ctx, "1"); err != nil {
		return 0, err
	}
	document := "campaign/acme-c1/" + metric.DayOf(time.Now()).Half()
	before, err := w.rev(ctx, document)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := w.submit(ctx, `{"source":"`+smallName+`","account":"acme"}`); err != nil {
		return 0, err
	}
	for {
		rev, err := w.rev(ctx, document)
		if err != nil {
			return 0, err
		}
		if rev > before {
			return time.Since(began).Seconds() * 1000, nil
		}
		if time.Since(began) > time.Minute {
			return 0, fmt.Errorf("%s is not written a minute after its job", document)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// rev returns the rev of a document, 0 if there is none.
func (w *workers) rev(ctx context.Context, id string) (int64, error) {
	var d struct{ Rev int64 }
	cursor, err := w.lab.Docs.Collection(smallName).Find(ctx, bson.M{"_id": id}, options.Find().SetProjection(bson.M{"rev": 1}))
	if err != nil {
		return 0, err
	}
	defer cursor.Close(ctx) //nolint:errcheck // it was read, or has failed already
	if cursor.Next(ctx) {
		err = cursor.Decode(&d)
	}
	return d.Rev, errors.Join(err, cursor.Err())
}

// agree fails unless every document is what the rows say, as `leat check` finds.
func (w *workers) agree(ctx context.Context) error {
	c, err := client.Open(ctx, w.lab.Cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := c.Check(ctx, client.Checking{}, func(d client.Difference) { fmt.Fprintln(os.Stderr, d.Text) })
	if err == nil && found.Differences > 0 {
		err = fmt.Errorf("PostgreSQL and MongoDB differ in %d places", found.Differences)
	}
	return err
}

func latencyOf(while string, ms []float64) latency {
	l := latency{While: while, Jobs: len(ms), Median: rounded(quantile(ms, 0.5), 10), P99: rounded(quantile(ms, 0.99), 10), Most: rounded(quantile(ms, 1), 10)}
	fmt.Println(l)
	return l
}

// String is one line for who waits.
func (l latency) String() string {
	return fmt.Sprintf("small jobs, while: %-22s %d jobs: p50 %.0f ms, p99 %.0f ms, most %.0f ms", l.While, l.Jobs, l.Median, l.P99, l.Most)
}
