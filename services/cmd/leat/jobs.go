package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

func (a *app) jobs() *cobra.Command {
	var f client.JobFilter
	cmd := &cobra.Command{
		Use:     "jobs",
		Short:   "List jobs, the newest first",
		Example: "  leat jobs\n  leat jobs --source ads --state incomplete --limit 5",
		Args:    nothing,
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			switch {
			case f.State != "" && !slices.Contains(client.States, f.State):
				return usage("--state: found %q; allowed are %s", f.State, strings.Join(client.States, ", "))
			case f.Limit < 1:
				return usage("--limit: found %d; at least 1 is allowed", f.Limit)
			}
			jobs, err := c.Jobs(ctx, f)
			if err != nil {
				return err
			}
			return a.show(jobs, func(w io.Writer) { showJobs(w, jobs) })
		}),
	}
	cmd.Flags().StringVar(&f.Source, "source", "", "only jobs of this source")
	cmd.Flags().StringVar(&f.State, "state", "", "only jobs in this `state`: "+strings.Join(client.States, ", "))
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "at most so many")
	return cmd
}

func showJobs(w io.Writer, jobs []client.JobRow) {
	if len(jobs) == 0 {
		fmt.Fprintln(w, "no jobs")
		return
	}
	rows := []string{"JOB\tSOURCE\tMODE\tSTATE\tCREATED\tTOOK\tERROR"}
	for _, j := range jobs {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", j.ID, j.Source, j.Mode, j.Standing(), at(&j.CreatedAt), took(j), short(j.Error)))
	}
	table(w, rows...)
}

func (a *app) jobCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "job ID",
		Short: "Show a job: its progress, counts, times, rejects and dead letters",
		Long: `job shows what is known of a job. ID is its id, the beginning of it (4 characters
or more) if no other job's begins so, or the id that its sender gave it.`,
		Example: "  leat job 0198f1c2\n  leat job nightly-2026-11-20 --json",
		Args:    one("the id of a job"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			j, err := c.Job(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(j, func(w io.Writer) { showJob(w, j) })
		}),
	}
}

func (a *app) rejects() *cobra.Command {
	var limit int
	var reasons bool
	cmd := &cobra.Command{
		Use:     "rejects ID",
		Short:   "Show the records of a job that were refused, and why",
		Example: "  leat rejects 0198f1c2\n  leat rejects 0198f1c2 --reasons    # how often which mistake",
		Args:    one("the id of a job"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			if limit < 1 {
				return usage("--limit: found %d; at least 1 is allowed", limit)
			}
			if reasons {
				r, err := c.Reasons(ctx, args[0], limit)
				if err != nil {
					return err
				}
				return a.show(r, func(w io.Writer) { showReasons(w, r) })
			}
			rejects, err := c.Rejects(ctx, args[0], limit)
			if err != nil {
				return err
			}
			return a.show(rejects, func(w io.Writer) { showRejects(w, rejects) })
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many")
	cmd.Flags().BoolVar(&reasons, "reasons", false, "count the reasons in place of listing the records")
	return cmd
}

func showRejects(w io.Writer, rejects []client.Reject) {
	if len(rejects) == 0 {
		fmt.Fprintln(w, "no rejects")
		return
	}
	rows := []string{"ANSWER\tPOSITION\tREASON\tRECORD"}
	for _, r := range rejects {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s", r.Answer, r.Position, r.Reason, short(r.Record)))
	}
	table(w, rows...)
}

func showReasons(w io.Writer, r client.Rejects) {
	if r.Count == 0 {
		fmt.Fprintln(w, "no rejects")
		return
	}
	rows := []string{"RECORDS\tREASON\tFOR INSTANCE"}
	for _, reason := range r.Reasons {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s: %s", reason.Count, reason.Shape, reason.At, reason.Example))
	}
	table(w, rows...)
}
