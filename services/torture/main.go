package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// A plan is what the command line asks for.
type plan struct {
	seed    uint64
	minutes float64
	faults  int           // after so many it ends; 0: when the minutes are over
	round   int           // faults before all is compared
	each    int           // workers of each stage
	bin     string        // folder of the workers
	before  string        // folder of those of the version before: every second worker of a stage; "": none
	sources string        // folder of the shipped sources
	stack   string        // scripts/stack, which stops and starts the servers; "": they are left alone
	only    string        // kinds of faults, with commas between; "": all
	pace    time.Duration // between two faults of a lane; 0: as they come
	samples string        // file.csv for what the workers take up, and file.svg for its picture; "": none
	verbose bool
}

func command(ctx context.Context, args []string) error {
	p := plan{seed: uint64(time.Now().UnixNano()) % 1e6}
	fs := flag.NewFlagSet("torture", flag.ContinueOnError)
	fs.Uint64Var(&p.seed, "seed", p.seed, "`number` that decides which faults come in which order")
	fs.Float64Var(&p.minutes, "minutes", 10, "`minutes` after which no new round begins")
	fs.IntVar(&p.faults, "faults", 0, "`number` of faults after which no new round begins; 0 is no limit")
	fs.IntVar(&p.round, "round", 40, "`number` of faults before all is compared")
	fs.IntVar(&p.each, "each", 2, "`workers` of each stage")
	fs.StringVar(&p.bin, "bin", "bin", "`folder` of workers built with the tag torture")
	fs.StringVar(&p.before, "before", "", "`folder` of workers of an earlier version, built likewise; every second one of a stage is of these")
	fs.StringVar(&p.sources, "sources", "config/sources", "`folder` of the shipped sources")
	fs.StringVar(&p.stack, "stack", "", "`scripts/stack` whose servers may be stopped, frozen and killed; without it they are left alone")
	fs.StringVar(&p.only, "only", "", "`kinds` of faults, with commas between: "+strings.Join(kinds(), ","))
	fs.DurationVar(&p.pace, "pace", 0, "`time` between two faults of a lane; 0: as they come")
	fs.StringVar(&p.samples, "samples", "", "`file.csv` for the memory and goroutines of the workers; a picture, file.svg, is put beside it")
	fs.BoolVar(&p.verbose, "verbose", false, "print each fault")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if p.minutes <= 0 || p.round < 1 || p.each < 1 || p.faults < 0 {
		return errors.New("minutes, round and each are above 0, faults is not below")
	}
	if p.faults > 0 && !given(fs, "minutes") {
		p.minutes = math.Inf(1)
	}
	return run(ctx, p, os.Stdout)
}

func given(fs *flag.FlagSet, name string) (is bool) {
	fs.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}
