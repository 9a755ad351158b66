package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A grown is how long the same change took in tables of a size.
type grown struct {
	Rows    int64     `json:"rows"`  // of stats, but for the report's
	Share   string    `json:"share"` // of the report that changed
	Seconds float64   `json:"seconds"`
	Runs    []float64 `json:"runs"`
}

// fillDays is how many days each filling object has a row for, up to the
// report's last.
const fillDays = 182

// growth measures one change in tables that grow.
func (b *bench) growth(ctx context.Context) error {
	return b.inLab(ctx, report(b.size), func(l *site, p *platform) (err error) {
		w, err := startWorkers(ctx, l, b.bin, each(1))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.stop()) }()
		if _, err := w.work(ctx); err != nil {
			return err
		}
		filled := int64(0)
		for _, text := range append(list{"0"}, b.tables...) {
			rows, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return err
			}
			if err := l.fill(ctx, filled, rows); err != nil {
				return fmt.Errorf("fill the tables: %w", err)
			}
			filled = rows
			if err := b.grown(ctx, l, p, w, rows); err != nil {
				return err
			}
		}
		return nil
	})
}

// grown measures the change several times.
func (b *bench) grown(ctx context.Context, l *site, p *platform, w *workers, rows int64) error {
	g := grown{Rows: rows, Share: b.shares[0]}
	for range b.rounds {
		if err := p.revise(ctx, b.shares[0]); err != nil {
			return err
		}
		r, err := b.measure(ctx, l, w, p, "growth")
		if err != nil {
			return err
		}
		if err := b.check(ctx, l, p, true); err != nil {
			return fmt.Errorf("wrong result: %w", err)
		}
		g.Runs = append(g.Runs, r.Seconds)
	}
	g.Seconds = rounded(quantile(g.Runs, 0.5), 1000)
	b.results.Growth = append(b.results.Growth, g)
	fmt.Println(g)
	return nil
}

// fill adds objects of another source with a row for each day, month by month,
// until there are so many rows.
func (l *site) fill(ctx context.Context, from, to int64) error {
	if from == to {
		return nil
	}
	last, err := time.Parse(time.DateOnly, lastDay)
	if err != nil {
		return err
	}
	first := last.AddDate(0, 0, 1-fillDays)
	if _, err := l.DB.Exec(ctx, `
		INSERT INTO objects (source, type, key, depth, name, observed_at)
		SELECT 'filler', 'ad', 'f' || n, 0, 'f' || n, now() FROM generate_series($1::bigint, $2::bigint) AS n`,
		from/fillDays+1, to/fillDays); err != nil {
		return err
	}
	for month := first.AddDate(0, 0, 1-first.Day()); !month.After(last); month = month.AddDate(0, 1, 0) {
		if err := makeMonths(ctx, l.DB, month.Format(time.DateOnly), month.Format(time.DateOnly)); err != nil {
			return err
		}
		if err := l.fillMonth(ctx, from/fillDays, maxDay(first, month), minDay(last, month.AddDate(0, 1, -1))); err != nil {
			return err
		}
	}
	_, err = l.DB.Exec(ctx, `ANALYZE objects, stats`)
	return err
}

// fillMonth gives the filling objects after some a row for each of the days.
func (l *site) fillMonth(ctx context.Context, after int64, from, to time.Time) error {
	_, err := l.DB.Exec(ctx, `
		INSERT INTO stats (object_id, day, dims, metrics, observed_at)
		SELECT o.id, d::date, 'os=web', jsonb_build_object('clicks', o.id % 400 + 1, 'impressions', o.id % 9000 + 100, 'spend', o.id % 100 + 0.25), now()
		FROM objects o, generate_series($1::date, $2::date, '1 day') AS d
		WHERE o.source = 'filler' AND substr(o.key, 2)::bigint > $3
		ORDER BY o.id, d`, from, to, after)
	return err
}

func maxDay(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func minDay(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// String is one line for who waits.
func (g grown) String() string {
	return fmt.Sprintf("rows that were there before: %9d, a share of %s changed: %.2f s", g.Rows, g.Share, g.Seconds)
}
