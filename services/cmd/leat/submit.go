package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/fetch"
)

const aboutSubmit = `submit publishes a job to RabbitMQ. The job is given as JSON, in the form that is
pasted into the management UI too, or by flags; - reads the JSON from stdin.

A refresh, the default, fetches what changed since the last one; a backfill the
days from --from to --to, or all that the source restates; a job with --url that
document. The same --id within a source is the same job, however often it is sent.`

const submitExamples = `  leat submit '{"source":"ads"}'
  leat submit --source ads --account acme --mode backfill --from 2026-10-20 --to 2026-11-19
  leat submit --source covid --url https://files.example.com/2020-09-07.csv --wait
  echo '{"source":"ads","id":"nightly-2026-11-20"}' | leat submit -`

type submitFlags struct {
	job     fetch.Job
	why     string
	wait    bool
	timeout time.Duration
}

func (a *app) submit() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:     "submit [JOB | -]",
		Short:   "Submit a job",
		Long:    aboutSubmit,
		Example: submitExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("`leat submit` takes one job, found %d arguments: put the JSON in single quotes", len(args))
			}
			return nil
		},
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			body, err := a.jobBody(f.job, args)
			if err != nil {
				return err
			}
			return a.submitJob(ctx, c, body, f)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.job.Source, "source", "", "the source's `name`")
	flags.StringVar(&f.job.Account, "account", "", "only this account of the source")
	flags.StringVar(&f.job.Mode, "mode", "", "refresh (the default), backfill or full")
	flags.StringVar(&f.job.From, "from", "", "first `day` of a backfill, in the source's time zone")
	flags.StringVar(&f.job.To, "to", "", "last `day` of a backfill")
	flags.StringVar(&f.job.URL, "url", "", "fetch this document in place of the source's own address")
	flags.StringVar(&f.job.AsOf, "as-of", "", "the `moment` at which the document was true, if not now")
	flags.StringVar(&f.job.Callback, "callback", "", "`url` kept with the job, to be called when it ends")
	flags.StringVar(&f.job.ID, "id", "", "your own `id`; the same id within a source is the same job")
	flags.StringVar(&f.why, "why", "", "the reason, for audit")
	flags.BoolVar(&f.wait, "wait", false, "wait until the job has ended; the status is 0 only if all of it is done")
	flags.DurationVar(&f.timeout, "timeout", 0, "with --wait: give up waiting after so long (the job goes on)")
	return cmd
}

// jobBody is the job as it is published.
func (a *app) jobBody(j fetch.Job, args []string) ([]byte, error) {
	switch {
	case len(args) == 1 && j != fetch.Job{}:
		return nil, usage("give the job as JSON or by flags, not both")
	case len(args) == 1 && args[0] == "-":
		return io.ReadAll(a.in)
	case len(args) == 1:
		return []byte(args[0]), nil
	case j == fetch.Job{}:
		return nil, usage(`no job is given: try leat submit --source NAME, or leat submit '{"source":"NAME"}'`)
	}
	return json.Marshal(j)
}

func (a *app) submitJob(ctx context.Context, c *client.Client, body []byte, f submitFlags) error {
	if f.timeout < 0 || (f.timeout > 0 && !f.wait) {
		return usage("--timeout is for --wait, and above zero")
	}
	s, err := c.Prepare(body, time.Now())
	if err != nil {
		return exit{exitUsage, err}
	}
	s.Why = f.why
	if s.Note != "" {
		a.note(s.Note)
	}
	switch err := c.Submit(ctx, s); {
	case errors.Is(err, client.ErrNotRecorded):
		a.note("job " + s.Job + ": " + err.Error())
	case err != nil:
		return err
	}
	if !f.wait {
		return a.show(s, func(w io.Writer) {
			fmt.Fprintf(w, "job %s\nwhat becomes of it: leat job %s\n", s.Job, s.Job)
		})
	}
	a.note("job " + s.Job)
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	return a.await(ctx, c, s, f.timeout)
}

// await waits for the job's end and shows it.
func (a *app) await(ctx context.Context, c *client.Client, s client.Submission, timeout time.Duration) error {
	bar := newProgress(a.err, a.note)
	j, err := c.Wait(ctx, s, client.Tell{Progress: bar.show, Note: bar.note})
	bar.end()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("job %s has not ended in %s; it goes on: leat job %s", s.Job, timeout, s.Job)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("no longer waiting; job %s goes on: leat job %s", s.Job, s.Job)
	case err != nil && j.ID == "":
		return err
	}
	return errors.Join(a.show(j, func(w io.Writer) { showJob(w, j) }), err)
}
