// Command bench measures Leat against the least that must be done (the floor)
// and against the way of row by row, on real servers and in one run.
//
// In: the servers' addresses in the environment, and Leat's programs in a folder.
// Out: a table, a JSON file with every run, and a plot of it. A result counts
// only after every row and every document was found to be exactly what the
// report says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/leatflow/leat/services/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := benchmark(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchmark does what the arguments say.
func benchmark(ctx context.Context, args []string) error {
	if len(args) > 0 && helpers[args[0]] != nil {
		return help(ctx, args)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	s, err := lab.ServersOfEnvironment()
	if err != nil {
		return err
	}
	b := &bench{plan: o, servers: s, known: map[string]expected{}}
	return b.all(ctx)
}

// A plan is what the command line asks for.
type plan struct {
	bin, sources string // folders
	size         string
	rounds       int
	only         list
	processes    list // of each stage
	shares       list // restated
	tables       list // rows of stats
	out          string
	profiles     string // folder
}

// everything is all that can be run.
var everything = list{"floor", "leat", "rows", "memory", "latency", "scale", "lookups", "growth"}

// published is the file whose figures the README shows.
const published = "services/bench/results.json"

func parse(args []string) (o plan, err error) {
	o.only, o.processes, o.shares, o.tables = everything, list{"1", "2", "4"}, list{"0.01"}, list{"1000000", "10000000"}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.bin, "bin", "bin", "`folder` of Leat's programs")
	fs.StringVar(&o.sources, "sources", "config/sources", "`folder` of the shipped sources")
	fs.StringVar(&o.size, "size", "100MB", "about how `much` the report has")
	fs.IntVar(&o.rounds, "rounds", 5, "`times` that all is done; medians are shown")
	fs.Var(&o.only, "only", "`names` of what is to be run, with commas between")
	fs.Var(&o.processes, "processes", "`numbers` of Leat's processes of each stage, one after the other")
	fs.Var(&o.shares, "shares", "`shares` of the report that are restated, one after the other: 0.01,0.1,1")
	fs.Var(&o.tables, "tables", "`rows` of the tables that growth measures in, rising: 50000000 takes a while")
	fs.StringVar(&o.out, "out", "", "`file.json` for the results; a plot, file.svg, is put beside it (default "+published+" when everything is run)")
	fs.StringVar(&o.profiles, "profile", "", "`folder` for profiles of 30 s of each worker, from the beginning of each run")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	for _, name := range o.only {
		if !slices.Contains(everything, name) {
			return o, fmt.Errorf("only: there is no %q; there are %s", name, everything.String())
		}
	}
	if o.out == "" && slices.Equal(o.only, everything) {
		o.out = published
	}
	if o.rounds < 1 {
		return o, errors.New("rounds: at least 1")
	}
	return o, nil
}
