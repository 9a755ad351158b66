package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/pkg/daemon"
)

const aboutLeat = `leat works with a Leat installation: it submits jobs and shows what became of
them, compares rows with documents, and says how the servers and queues do.

It reads the same configuration as the daemons. Every command takes --json for
output that programs read. The exit status is 0 when all went well, 1 when it
did not, and 2 when it was asked wrongly.`

const firstSteps = `  leat migrate                                     make tables, queues and indexes; do this first
  leat source explain ads                          what a source file means, in plain words
  leat submit '{"source":"ads"}'                   fetch what changed since the last time
  leat submit --source ads --mode backfill --wait  fetch the days that the source restates, and wait
  leat job 0198                                    what became of the job whose id begins so
  leat status                                      servers, queues, open jobs
  leat dead groups                                 dead letters, by their cause
  leat check                                       do PostgreSQL and MongoDB agree?`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "leat",
		Short:         "Works with a Leat installation",
		Long:          aboutLeat,
		Example:       firstSteps,
		Version:       fmt.Sprintf("%s (%s)", daemon.Version(), runtime.Version()),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          onlyGroup,
	}
	root.SetVersionTemplate("leat {{.Version}}\n")
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; `%s --help` lists the flags", err, cmd.CommandPath())
	})
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVar(&a.file, "config", "", "the configuration `file` (default $LEAT_CONFIG, else ./config/leat.yaml, else /etc/leat/leat.yaml)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "write JSON, for programs")
	root.AddCommand(a.migrate(), a.submit(), a.jobs(), a.jobCommand(), a.rejects(), a.answers(), a.check(), a.rebuild(), a.pause(), a.resume(), a.cancel(), a.statusCommand(), a.showObject(), a.source(), a.dead(), a.audit(), a.cursor())
	return root
}

// onlyGroup is a command that has others below it and does nothing itself.
func onlyGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage("unknown command %q%s `%s --help` lists them", args[0], orSemicolon(hint), cmd.CommandPath())
}

func orSemicolon(hint string) string {
	if hint == "" {
		return ";"
	}
	return hint
}

// one takes one argument, and names what is missing.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("`%s` takes %s: %d given; try `%s --help`", cmd.CommandPath(), what, len(args), cmd.CommandPath())
		}
		return nil
	}
}

// nothing takes no arguments.
func nothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("`%s` takes no argument, found %q; try `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
