package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how servers, queues and open jobs do",
		Long: `status asks the three servers how they are, and shows what is in the queues, how
many workers take from them, which jobs are open and what rollup has to write.
With a server away it shows the rest. The exit status is 1 if one is away.`,
		Args: nothing,
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			s := c.Status(ctx)
			if err := a.show(s, func(w io.Writer) { showStatus(w, s) }); err != nil {
				return err
			}
			if !s.Up() {
				return exit{status: exitFailed}
			}
			return nil
		}),
	}
}

func showStatus(w io.Writer, s client.Status) {
	rows := []string{"SERVER\tVERSION\tSTATE"}
	for _, server := range s.Servers {
		state := "up"
		switch {
		case !server.Up && server.Version != "":
			state = "up, but: " + short(server.Error)
		case !server.Up:
			state = "away: " + short(server.Error)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", server.Name, server.Version, state))
	}
	table(w, rows...)
	if s.Queues != nil {
		showQueues(w, s)
	}
	for _, b := range s.Broken {
		fmt.Fprintf(w, "\nthe source file of %s is broken on %s since %s; its jobs go on under the version that was used last, if there is one:\n%s\n", b.Source, b.Host, at(&b.Since), b.Problem)
	}
	if s.Filed != nil {
		fmt.Fprintf(w, "\nfiled dead letters that nobody has decided on: %d (leat dead groups)\n", *s.Filed)
	}
	if s.Dirty != nil {
		fmt.Fprintf(w, "to write: %d marks of %d objects%s\n", s.Dirty.Marks, s.Dirty.Objects, overdue(s.Dirty.OldestDue))
	}
	if s.Jobs != nil {
		fmt.Fprintf(w, "open jobs: %d\n", len(s.Jobs))
	}
	if len(s.Jobs) > 0 {
		showJobs(w, s.Jobs)
	}
}

func showQueues(w io.Writer, s client.Status) {
	fmt.Fprintln(w)
	rows := []string{"QUEUE\tREADY\tUNACKED\tCONSUMERS"}
	for _, q := range s.Queues {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%d", q.Name, q.Ready, q.Unacked, q.Consumers))
	}
	table(w, rows...)
	if len(s.Queues) == 0 {
		fmt.Fprintln(w, "there are no queues: run `leat migrate`")
	}
	fmt.Fprintf(w, "\ndead letters that are not filed yet: %d, waiting to be tried again: %d\n", *s.DeadLetters, *s.Waiting)
}

func overdue(due *time.Time) string {
	if due == nil {
		return ""
	}
	if late := time.Since(*due).Round(time.Second); late > 0 {
		return fmt.Sprintf("; the oldest is %s overdue", late)
	}
	return "; none is overdue"
}
