package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A list is a flag of texts with commas between.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(text string) error {
	*l = strings.Split(text, ",")
	return nil
}

func (l list) has(name string) bool {
	for _, one := range l {
		if one == name {
			return true
		}
	}
	return false
}

// A bench is one run of the whole program.
type bench struct {
	plan
	servers servers
	round   int
	runs    []run
	known   map[string]expected // by the platform's state
}

// counting says whether the servers' own counts are read: once, for it takes long.
func (b *bench) counting() bool { return b.round == 1 }

func (b *bench) all(ctx context.Context) error {
	for b.round = 1; b.round <= b.rounds; b.round++ {
		if err := b.once(ctx); err != nil {
			return err
		}
	}
	return nil
}

// once has every contestant do everything once.
func (b *bench) once(ctx context.Context) error {
	if b.only.has("floor") {
		if err := b.floor(ctx); err != nil {
			return fmt.Errorf("floor: %w", err)
		}
	}
	for _, n := range b.processes {
		if !b.only.has("leat") {
			break
		}
		count, err := strconv.Atoi(n)
		if err != nil {
			return fmt.Errorf("processes: %w", err)
		}
		if err := b.leat(ctx, count); err != nil {
			return fmt.Errorf("leat with %d processes a stage: %w", count, err)
		}
	}
	return nil
}

// leat has Leat load the report, load it again, and after each restatement.
func (b *bench) leat(ctx context.Context, n int) (err error) {
	return b.inLab(ctx, func(l *lab, p *platform) (err error) {
		w, err := startWorkers(ctx, l, b.bin, each(n))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.stop()) }()
		return b.scenarios(ctx, l, p, "leat-"+strconv.Itoa(n), w)
	})
}

// floor has the floor do the same.
func (b *bench) floor(ctx context.Context) error {
	return b.inLab(ctx, func(l *lab, p *platform) error {
		return b.scenarios(ctx, l, p, "floor", &helper{name: "floor", lab: l})
	})
}

// inLab gives f a lab, and a platform that has restated nothing yet.
func (b *bench) inLab(ctx context.Context, f func(*lab, *platform) error) (err error) {
	folder, err := os.MkdirTemp("", "leat-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	p, err := newPlatform(ctx, b.bin, folder, b.size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	l, err := newLab(ctx, b.servers, p.adsSource(b.sources))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	return f(l, p)
}

// scenarios are the first load, the same again, and one after each restatement.
func (b *bench) scenarios(ctx context.Context, l *lab, p *platform, contestant string, s subject) error {
	names, revise := []string{"load", "again"}, []string{"", ""}
	for _, share := range b.shares {
		names, revise = append(names, "changed "+share), append(revise, share)
	}
	for i, name := range names {
		if revise[i] != "" {
			if err := p.revise(ctx, revise[i]); err != nil {
				return err
			}
		}
		r, err := b.measure(ctx, l, s, p, contestant+"-"+strings.ReplaceAll(name, " ", "-"))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := b.check(ctx, l, p); err != nil {
			return fmt.Errorf("%s: wrong result: %w", name, err)
		}
		r.Contestant, r.Scenario, r.Round = contestant, name, b.round
		b.runs = append(b.runs, r)
		fmt.Println(r)
	}
	return nil
}
