package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutPause = `pause has fetch begin nothing more of a job: its slices wait until the job is
resumed or cancelled, and use up no attempt. What was asked for already is written
as always.`

func (a *app) pause() *cobra.Command {
	return a.haltCommand("pause", "Have nothing more of a job asked for, until it is resumed", aboutPause, (*client.Client).Pause, "paused; `leat resume %s` has it go on")
}

const aboutCancel = `cancel has fetch end the slices of a job that it has not begun. What was asked for
already stays and is written as always; then the job is cancelled. The cursor of a
cancelled refresh stays where it was. Slices that wait to be tried again end when
they come back, after 10 minutes at most.`

func (a *app) cancel() *cobra.Command {
	return a.haltCommand("cancel", "End a job: what was not asked for yet never is", aboutCancel, (*client.Client).Cancel, "cancelled; it ends when what was asked for is written: `leat job %s`")
}

// haltCommand is a command that says something of a job.
func (a *app) haltCommand(name, short, long string, halt func(c *client.Client, ctx context.Context, id, why string) (client.JobRow, error), said string) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:     name + " ID",
		Short:   short,
		Long:    long,
		Example: "  leat " + name + ` 0198f1c2 --why "the source restates these days tonight"`,
		Args:    one("the id of a job"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			j, err := halt(c, ctx, args[0], why)
			if err != nil {
				return err
			}
			return a.show(j, func(w io.Writer) { fmt.Fprintf(w, "job %s is "+said+"\n", j.ID, j.ID) })
		}),
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for audit")
	return cmd
}
