package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A scaled is how long a job of many slices took with so many workers of fetch,
// from a source that waits before it answers.
type scaled struct {
	Workers int     `json:"fetch_workers"`
	Seconds float64 `json:"seconds"`
	SpeedUp float64 `json:"speed_up"`
}

const (
	slowAnswer   = "200ms"
	slowAccounts = 32 // each with a slice for each of the days
)

// scale measures workers that mostly wait.
func (b *bench) scale(ctx context.Context) error {
	for _, n := range []int{1, 2, 4, 8, 16} {
		s := scaled{Workers: n, SpeedUp: 1}
		seconds, err := b.slow(ctx, n)
		if err != nil {
			return fmt.Errorf("%d workers of fetch: %w", n, err)
		}
		if s.Seconds = seconds; n > 1 {
			s.SpeedUp = rounded(b.results.Scale[0].Seconds/seconds, 100)
		}
		b.results.Scale = append(b.results.Scale, s)
		fmt.Println(s)
	}
	return nil
}

// slow loads from a slow source with n workers of fetch, one slice each at a time.
func (b *bench) slow(ctx context.Context, n int) (seconds float64, err error) {
	accounts := make([]string, slowAccounts)
	for i := range accounts {
		accounts[i] = "a" + strconv.Itoa(i)
	}
	names := strings.Join(accounts, ",")
	flags := platformFlags{size: "1KB", accounts: accounts, now: platformNow}
	change := []string{"[acme, globex]", "[" + names + "]", "lookback: 30d", "slice: 1d\n    lookback: 30d"}
	err = b.inLab(ctx, flags, func(l *site, p *platform) (err error) {
		w, err := startWorkers(ctx, l, b.bin, map[string]int{"fetch": n, "delta": 1, "annotate": 1, "rollup": 1}, "LEAT_FETCH_SLOTS=1")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.stop()) }()
		if err := p.fault(ctx, "latency="+slowAnswer); err != nil {
			return err
		}
		r, err := b.measure(ctx, l, w, p, "scale-"+strconv.Itoa(n))
		if err != nil {
			return err
		}
		seconds = r.Seconds
		return errors.Join(p.fault(ctx, ""), b.check(ctx, l, p, true))
	}, change...)
	return seconds, err
}

// String is one line for who waits.
func (s scaled) String() string {
	return fmt.Sprintf("workers of fetch: %2d, answers take %s: %6.2f s, %.2f times as fast as one", s.Workers, slowAnswer, s.Seconds, s.SpeedUp)
}
