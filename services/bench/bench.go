package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/leatflow/leat/services/lab"
)

// A list is a flag of texts with commas between.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(text string) error {
	*l = strings.Split(text, ",")
	return nil
}

// A bench is one run of the whole program.
type bench struct {
	plan
	servers lab.Servers
	round   int // from 1; 0 for what is done once
	results results
	known   map[string]expected // by the platform's state
}

// counting says whether the servers' own counts are read: once, for it takes long.
func (b *bench) counting() bool { return b.round == 1 }

// all does what was asked for: the contestants in turn, so many rounds, and then
// once each what is not compared.
func (b *bench) all(ctx context.Context) error {
	for b.round = 1; b.round <= b.rounds; b.round++ {
		if err := b.compare(ctx); err != nil {
			return err
		}
	}
	b.round = 0
	for _, one := range []struct {
		name string
		do   func(context.Context) error
	}{{"memory", b.memory}, {"latency", b.latency}, {"scale", b.scale}, {"lookups", b.lookups}, {"growth", b.growth}} {
		if !slices.Contains(b.only, one.name) {
			continue
		}
		if err := one.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return b.finish()
}

// compare has every contestant do everything once.
func (b *bench) compare(ctx context.Context) error {
	if slices.Contains(b.only, "floor") {
		if err := b.helper(ctx, "floor", b.size); err != nil {
			return err
		}
	}
	if slices.Contains(b.only, "rows") {
		if err := b.helper(ctx, "rows", rowsSize); err != nil {
			return err
		}
	}
	for _, n := range b.processes {
		if !slices.Contains(b.only, "leat") {
			break
		}
		if err := b.leat(ctx, n); err != nil {
			return fmt.Errorf("leat with %s processes a stage: %w", n, err)
		}
	}
	return nil
}

// rowsSize is small, since row by row is slow.
const rowsSize = "1MB"

// leat has Leat load the report, load it again, and after each restatement.
func (b *bench) leat(ctx context.Context, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	return b.inLab(ctx, report(b.size), func(l *site, p *platform) (err error) {
		w, err := startWorkers(ctx, l, b.bin, each(count))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.stop()) }()
		return b.scenarios(ctx, contest{l, p, "leat-" + n, w})
	})
}

// helper has a helper do the same.
func (b *bench) helper(ctx context.Context, name, size string) error {
	return b.inLab(ctx, report(size), func(l *site, p *platform) error {
		if err := b.scenarios(ctx, contest{l, p, name, &helper{name: name, lab: l}}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// memory loads ten times as much, for what the workers hold.
func (b *bench) memory(ctx context.Context) error {
	return b.inLab(ctx, report(memorySize), func(l *site, p *platform) (err error) {
		w, err := startWorkers(ctx, l, b.bin, each(1))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.stop()) }()
		return b.scenario(ctx, contest{l, p, "leat-1", w}, "load "+memorySize)
	})
}

const memorySize = "1GB"

// inLab gives f a lab whose source asks a platform that has restated nothing yet.
func (b *bench) inLab(ctx context.Context, of platformFlags, f func(*site, *platform) error, change ...string) (err error) {
	folder, err := os.MkdirTemp("", "leat-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	p, err := newPlatform(ctx, b.bin, folder, of)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	made, err := lab.New(ctx, b.servers, "leat_bench_", p.adsSource(b.sources, change...))
	l := &site{made}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if b.results.Machine.Cores == 0 {
		if b.results.Machine, err = l.machine(ctx); err != nil {
			return err
		}
	}
	return f(l, p)
}

// A site is a lab in which something is measured.
type site struct{ *lab.Lab }

// A contest is a contestant in its lab, with the platform that it asks.
type contest struct {
	lab      *site
	platform *platform
	name     string
	subject  subject
}

// scenarios are the first load, the same again, and one after each restatement.
func (b *bench) scenarios(ctx context.Context, c contest) error {
	for _, name := range []string{"load", "again"} {
		if err := b.scenario(ctx, c, name); err != nil {
			return err
		}
	}
	for _, share := range b.shares {
		if err := c.platform.revise(ctx, share); err != nil {
			return err
		}
		if err := b.scenario(ctx, c, "changed "+share); err != nil {
			return err
		}
	}
	return nil
}

// scenario measures one, and keeps it if its result is right.
func (b *bench) scenario(ctx context.Context, c contest, name string) error {
	label := c.name + "-" + strings.ReplaceAll(name, " ", "-")
	r, err := b.measure(ctx, c.lab, c.subject, c.platform, label)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r.Rows, err = b.verify(ctx, c); err != nil {
		return fmt.Errorf("%s: wrong result: %w", name, err)
	}
	r.Contestant, r.Scenario, r.Round = c.name, name, b.round
	b.results.Runs = append(b.results.Runs, r)
	fmt.Println(r)
	return nil
}
