package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutRebuild = `rebuild is for a PostgreSQL that was restored from a backup: its documents in
MongoDB are newer than it, so rollup stops rather than overwrite them. It raises
the sequence of revs above that of every document, and marks each document that
differs from the rows; the rollup workers then write them.

What was fetched since the backup is not in PostgreSQL: fetch those days again
with a job of mode "backfill".`

func (a *app) rebuild() *cobra.Command {
	return &cobra.Command{
		Use:     "rebuild",
		Short:   "Make MongoDB follow a PostgreSQL that was restored from a backup",
		Long:    aboutRebuild,
		Example: "  leat rebuild",
		Args:    nothing,
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			r, err := c.Rebuild(ctx, func(d client.Difference) {
				if !a.json {
					fmt.Fprintln(a.out, d.Text)
				}
			})
			if err != nil {
				return err
			}
			if a.json {
				return json.NewEncoder(a.out).Encode(r)
			}
			fmt.Fprintf(a.out, "documents are written from rev %d on\n", r.Rev)
			r.Write(a.out)
			return nil
		}),
	}
}
