package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutCheck = `check goes through the books. It computes every document anew from the rows of
PostgreSQL and compares it with what MongoDB holds; runs the annotators and
compares the tags; looks at the rows themselves (hours that do not add up to
their day, numbers and dimensions that are not as Leat writes them, parents that
cannot be, rows without an object, sequences); and compares the ledger with the
queues: a job that waits for a message which nobody holds is named. What differs
is looked at a second time; what differs still is printed, and what is on its way
is not.

It reads only, and may run at any time. With --repair it takes what differs
through the pipeline, in jobs of mode "repair": documents are marked for rollup,
objects sent to annotate, messages that are lost published again under their ids.
Check again when those jobs are done.

With --since or --sample it looks at some of the objects, and not for documents
that no object asks for. With --notify it also sends what it found to
check.webhook and check.mail_command of the configuration.

The exit status is 0 when all agrees, 1 when there are differences, and 2 when
it could not look.`

func (a *app) check() *cobra.Command {
	var what client.Checking
	var since, sample string
	var notify bool
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Compare rows, tags, documents, ledger and queues with one another",
		Long:    aboutCheck,
		Example: "  leat check\n  leat check --source ads --repair\n  leat check --since 24h\n  leat check --sample 5% --notify",
		Args:    nothing,
		PreRunE: func(*cobra.Command, []string) (err error) {
			if what.Since, err = sinceOf(since, time.Now()); err != nil {
				return usage("--since: %w", err)
			}
			if what.Why != "" && !what.Repair {
				return usage("--why is for --repair")
			}
			if sample == "" {
				return nil
			}
			if what.Sample, err = client.ParseSample(sample); err != nil {
				return usage("--sample: %w", err)
			}
			return nil
		},
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			return a.runCheck(ctx, c, what, notify)
		}),
	}
	cmd.Flags().StringVar(&what.Source, "source", "", "only this source's objects, documents and jobs")
	cmd.Flags().StringVar(&since, "since", "", "only objects that changed since: `24h`, 2026-11-20 or 2026-11-20T15:04:05Z; 30 days at most")
	cmd.Flags().StringVar(&sample, "sample", "", "only some objects of each source, others each day: a share (`5%`) or about a number (1000)")
	cmd.Flags().BoolVar(&what.Repair, "repair", false, "take what differs through the pipeline again")
	cmd.Flags().StringVar(&what.Why, "why", "", "with --repair: the reason, for audit")
	cmd.Flags().BoolVar(&notify, "notify", false, "send what was found as check.webhook and check.mail_command say")
	return cmd
}

// sinceOf reads how long ago, a day or a moment; nothing is the zero time.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(form, text); err == nil && at.Before(now) {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("found %q; allowed are how long ago (24h), a day (2026-11-20) and a moment (2026-11-20T15:04:05Z), in the past", text)
}

func (a *app) runCheck(ctx context.Context, c *client.Client, what client.Checking, notify bool) error {
	shown := &printer{app: a}
	report := client.Report{At: time.Now()}
	checked, err := c.Check(ctx, what, func(d client.Difference) { shown.difference(d); report.Add(d) })
	shown.end(checked, err)
	report.Checked, report.Err = checked, err
	var untold error
	if notify && ctx.Err() == nil { // who interrupts it knows
		untold = c.Notify(ctx, report)
	}
	switch {
	case err != nil:
		return exit{exitUsage, errors.Join(err, untold)}
	case report.Differences > 0:
		return exit{exitFailed, untold}
	case untold != nil || len(report.Unchecked) > 0:
		return exit{exitUsage, untold}
	}
	return nil
}

// A printer writes differences as they come: they are not kept, for there may be
// as many as there are documents.
type printer struct {
	*app
	n int
}

func (p *printer) difference(d client.Difference) {
	if !p.json {
		fmt.Fprintln(p.out, d.Text)
		return
	}
	before := `{"list":[`
	if p.n++; p.n > 1 {
		before = ","
	}
	text, _ := json.Marshal(d) // strings only
	fmt.Fprintln(p.out, before+string(text))
}

// end writes the rest. In JSON the list, if any, is closed whatever happened.
func (p *printer) end(c client.Checked, err error) {
	switch {
	case !p.json && err == nil:
		c.Write(p.out)
	case p.json && (err == nil || p.n > 0):
		before := `{"list":[],`
		if p.n > 0 {
			before = "],"
		}
		text, _ := json.Marshal(c) // numbers and strings only
		fmt.Fprintln(p.out, before+string(text[1:]))
	}
}
