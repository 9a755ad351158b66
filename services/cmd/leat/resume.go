package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutResume = `resume lets a job go on that was paused; its slices come back from the waiting
queues within a minute.

Else it is for a job whose messages were lost in RabbitMQ: somebody purged or
deleted a queue, or the broker was set up anew. It publishes again all that the
job still has to have done, as the ledger knows it, and has fetch cut the parts
again from the archive. Nothing is asked of the source, and nothing is counted
twice; a job that lost nothing comes to no harm.`

func (a *app) resume() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:     "resume ID",
		Short:   "Let a paused job go on, or publish again what a job lost in RabbitMQ",
		Long:    aboutResume,
		Example: "  leat jobs --state running    # those that do not get on\n  leat resume 0198f1c2",
		Args:    one("the id of a job"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Resume(ctx, args[0], why)
			if err != nil {
				return err
			}
			return a.show(r, func(w io.Writer) {
				if r.Unpaused {
					fmt.Fprintf(w, "job %s goes on\n", r.Job)
					return
				}
				fmt.Fprintf(w, "job %s: %d messages published again (%d of them slices, whose parts are cut again)\n", r.Job, r.Messages, r.Recut)
			})
		}),
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for audit; of a paused job")
	return cmd
}
