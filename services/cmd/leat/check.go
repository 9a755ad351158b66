package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutCheck = `check computes every document anew from the rows of PostgreSQL and compares it
with what MongoDB holds: fields, tags, attributes, and the metrics of each day,
hour and breakdown. It also looks at the rows themselves: hours that do not add
up to their day, and rows without an object. What differs is looked at a second
time; what differs still is printed, and what rollup is about to write is not.

It reads only, and may run at any time. With --repair it marks what differs in a
job of mode "repair", and the rollup workers write it; check again when that job
is done.

The exit status is 0 when all agrees, 1 when there are differences, and 2 when
it could not look.`

func (a *app) check() *cobra.Command {
	var what client.Checking
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Compare the rows of PostgreSQL with the documents of MongoDB",
		Long:    aboutCheck,
		Example: "  leat check\n  leat check --source ads --repair",
		Args:    nothing,
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			return a.runCheck(ctx, c, what)
		}),
	}
	cmd.Flags().StringVar(&what.Source, "source", "", "only this source's objects and documents")
	cmd.Flags().BoolVar(&what.Repair, "repair", false, "mark what differs, for rollup to write")
	return cmd
}

func (a *app) runCheck(ctx context.Context, c *client.Client, what client.Checking) error {
	report := struct {
		client.Checked
		List []client.Difference `json:"list"`
	}{List: []client.Difference{}}
	tell := func(d client.Difference) { fmt.Fprintln(a.out, d.Text) }
	if a.json {
		tell = func(d client.Difference) { report.List = append(report.List, d) }
	}
	var err error
	if report.Checked, err = c.Check(ctx, what, tell); err != nil {
		return exit{exitUsage, err}
	}
	if a.json {
		err = json.NewEncoder(a.out).Encode(report)
	} else {
		showChecked(a.out, report.Checked)
	}
	if err == nil && report.Differences > 0 {
		return exit{status: exitFailed}
	}
	return err
}

func showChecked(w io.Writer, c client.Checked) {
	found := "they agree"
	if c.Differences > 0 {
		found = fmt.Sprintf("%d differences", c.Differences)
	}
	fmt.Fprintf(w, "%s: %d objects and %d documents compared in %.1f s\n", found, c.Objects, c.Documents, c.Seconds)
	if c.Passed > 0 {
		fmt.Fprintf(w, "%d more documents differ and are marked: rollup is about to write them\n", c.Passed)
	}
	if c.OpenJobs > 0 && c.Differences > 0 {
		fmt.Fprintf(w, "%d jobs are open: what they changed may still be on its way; check again when they are done\n", c.OpenJobs)
	}
	for _, r := range c.Repairs {
		fmt.Fprintf(w, "%d documents of %s are marked: leat job %s\n", r.Documents, r.Source, r.Job)
	}
	if c.Beyond > 0 {
		fmt.Fprintf(w, "%d of the differences are in the rows themselves, where no repair reaches\n", c.Beyond)
	}
}
