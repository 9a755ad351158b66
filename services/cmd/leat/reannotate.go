package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutReannotate = `reannotate takes up the source file as it is now, and sends the objects to annotate
whose tags it says something else of: since a rule, a table or the object itself has
changed. The others are not touched. With --failed it is those whose tags failed,
and with --all every one: their annotators run again. Hosts are asked only for what
the cache does not know any more.`

func (a *app) sourceReannotate() *cobra.Command {
	var what client.Reannotation
	cmd := &cobra.Command{
		Use:     "reannotate NAME",
		Short:   "Annotate again what a changed rule says something else of",
		Long:    aboutReannotate,
		Example: "  leat source reannotate ads --why 'brand knows globex too'\n  leat source reannotate companies --failed --tag grade",
		Args:    one("the name of a source"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			if what.Failed && what.All {
				return errors.New("--failed, --all: found both; one of them is allowed")
			}
			what.Source = args[0]
			done, err := c.Reannotate(ctx, what)
			if err != nil {
				return err
			}
			return a.show(done, func(w io.Writer) { showReannotated(w, done) })
		}),
	}
	cmd.Flags().StringVar(&what.Type, "type", "", "only objects of this type")
	cmd.Flags().StringVar(&what.Tag, "tag", "", "only objects that can have this tag; with --failed, where it failed")
	cmd.Flags().BoolVar(&what.Failed, "failed", false, "those whose tags failed")
	cmd.Flags().BoolVar(&what.All, "all", false, "all, whether anything has changed or not")
	cmd.Flags().StringVar(&what.Why, "why", "", "the reason, for the audit")
	return cmd
}

func showReannotated(w io.Writer, done client.Reannotated) {
	fmt.Fprintf(w, "%d objects of %s were looked at, %d are sent to annotate under version %.8s\n", done.Looked, done.Source, done.Objects, done.Version)
	for _, r := range done.Jobs {
		fmt.Fprintf(w, "job %s: %d objects\n", r.Job, r.Objects)
	}
}
