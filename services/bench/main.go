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
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
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
	if len(args) > 0 && args[0] == "floor" {
		return runFloor(ctx, args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	s, err := serversOfEnvironment()
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
	out          string
	profiles     string // folder
}

func parse(args []string) (o plan, err error) {
	o.only = list{"floor", "leat"}
	o.processes, o.shares = list{"1"}, list{"0.01"}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.bin, "bin", "bin", "`folder` of Leat's programs")
	fs.StringVar(&o.sources, "sources", "config/sources", "`folder` of the shipped sources")
	fs.StringVar(&o.size, "size", "100MB", "about how `much` the report has")
	fs.IntVar(&o.rounds, "rounds", 5, "`times` that all is done; medians are shown")
	fs.Var(&o.only, "only", "`names` of what is to be run, with commas between")
	fs.Var(&o.processes, "processes", "`numbers` of Leat's processes of each stage")
	fs.Var(&o.shares, "shares", "`shares` of the report that are restated, one after the other")
	fs.StringVar(&o.out, "out", "", "`file` for the results; a plot of the same name is put beside it")
	fs.StringVar(&o.profiles, "profile", "", "`folder` for profiles of the workers")
	return o, fs.Parse(args)
}
