package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/client"
)

func (a *app) audit() *cobra.Command {
	var f audit.Filter
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List who did what, and why, the newest first",
		Long: `audit lists what operators did by this command or over HTTP: jobs submitted, dead
letters edited, replayed and dropped, documents repaired. What is published to
RabbitMQ by other means is not in it.`,
		Example: "  leat audit\n  leat audit --action replay --json",
		Args:    nothing,
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			if f.Limit < 1 {
				return usage("--limit: found %d; at least 1 is allowed", f.Limit)
			}
			rows, err := c.Audit(ctx, f)
			if err != nil {
				return err
			}
			return a.show(rows, func(w io.Writer) { showAudit(w, rows) })
		}),
	}
	cmd.Flags().StringVar(&f.Action, "action", "", "only this `action`: submit, edit, replay, pause, resume, cancel, drop, repair, rebuild")
	cmd.Flags().StringVar(&f.Subject, "subject", "", "only this `subject`, as it is shown: a job's id, \"dead letter 17\", \"replay 3\"")
	cmd.Flags().Int64Var(&f.Before, "before", 0, "only those before this `id`, the last of the page before")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "at most so many")
	return cmd
}

func showAudit(w io.Writer, rows []audit.Row) {
	if len(rows) == 0 {
		fmt.Fprintln(w, "nothing is recorded")
		return
	}
	lines := []string{"ID\tAT\tWHO\tVIA\tACTION\tSUBJECT\tWHY\tDETAIL"}
	for _, r := range rows {
		lines = append(lines, fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s", r.ID, at(&r.At), r.Who, r.Via, r.Action, r.Subject, short(r.Why), short(string(r.Detail))))
	}
	table(w, lines...)
}
