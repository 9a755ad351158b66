package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	_ "github.com/leatflow/leat/services/archive/cloud" // s3:// and gs://
	"github.com/leatflow/leat/services/client"
)

func (a *app) answers() *cobra.Command {
	var limit int
	var raw bool
	cmd := &cobra.Command{
		Use:   "answers ID [N]",
		Short: "Show what a source said to a job, and how to cut it again",
		Long: `answers lists what a source said to a job: when, how much, under which hash the
archive has it, and the job that cuts it again, under the source file as it is
now. With --raw it writes the answer N as it came.`,
		Example: "  leat answers 0198f1c2\n  leat answers 0198f1c2 3 --raw | zcat | head\n  leat submit '{\"source\":\"ads\",\"url\":\"archive://HASH\"}'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 || raw != (len(args) == 2) {
				return usage("`%s` takes the id of a job, and with --raw the number of an answer; try `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			if limit < 1 {
				return usage("--limit: found %d; at least 1 is allowed", limit)
			}
			if raw {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 0 {
					return usage("found %q; the number of an answer is 0 or more", args[1])
				}
				return c.WriteAnswer(ctx, args[0], n, a.raw)
			}
			answers, err := c.Answers(ctx, args[0], limit)
			if err != nil {
				return err
			}
			return a.show(answers, func(w io.Writer) { showAnswers(w, answers) })
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many")
	cmd.Flags().BoolVar(&raw, "raw", false, "write an answer as it came")
	return cmd
}

func showAnswers(w io.Writer, answers []client.Answer) {
	if len(answers) == 0 {
		fmt.Fprintln(w, "no answers")
		return
	}
	rows := []string{"N\tOBSERVED\tBYTES\tHASH\tURL\tREPLAY"}
	for _, a := range answers {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%d\t%.12s\t%s\t%s", a.N, at(&a.ObservedAt), a.Bytes, a.Hash, short(a.URL), replayable(a)))
	}
	table(w, rows...)
}

// replayable is the job that cuts an answer again, or why there is none.
func replayable(a client.Answer) string {
	switch {
	case a.Broken != nil:
		return "broken: " + short(*a.Broken)
	case !a.Kept:
		return "no longer in the archive"
	case a.Replay == nil:
		return "a list of what changed"
	}
	return string(a.Replay)
}
