package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/deadletter"
)

const aboutDead = `dead works with the messages that stages gave up, which leat-console files in
PostgreSQL: it lists them, groups them by cause, shows one with its body, edits
it, sends them back to the stages that they died in, or drops them.

What it changes is in the table audit, with the user and the reason: leat audit.`

const deadExamples = `  leat dead groups                              which causes there are
  leat dead list --group 3f2a --limit 5         some letters of one
  leat dead show 17                             all about a letter
  leat dead replay --group 3f2a --why "fixed"   send that group back
  leat dead drop 17 --why "a test"              it is not worth a replay`

func (a *app) dead() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead", Short: "Work with dead letters", Long: aboutDead, Example: deadExamples, Args: cobra.ArbitraryArgs, RunE: onlyGroup,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(a.deadList(), a.deadGroups(), a.deadShow(), a.deadEdit(), a.deadDrop(), a.deadReplay(), a.deadReplays(), a.deadFollow())
	for _, c := range replayControls {
		cmd.AddCommand(a.deadControl(c.action, c.about))
	}
	return cmd
}

// letterFlags are the flags that say which letters are meant.
type letterFlags struct {
	filter deadletter.Filter
	since  string
}

func (f *letterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Stage, "stage", "", "only letters of this stage")
	flags.StringVar(&f.filter.Class, "class", "", "only this error `class`: permanent, failed, crashed")
	flags.StringVar(&f.filter.Source, "source", "", "only letters of this source")
	flags.StringVar(&f.filter.Job, "job", "", "only letters of this job, by its `id`")
	flags.StringVar(&f.filter.Group, "group", "", "only letters of this group, by the beginning of its `fingerprint`")
	flags.StringVar(&f.since, "since", "", "only those that died since: a `time` (2026-11-20T15:04:05Z), a day, or how long ago (36h)")
	flags.StringVar(&f.filter.State, "state", "", "only letters in this `state`: "+strings.Join(deadletter.States, ", ")+" (default dead)")
}

// of returns the filter, with the ids that the arguments are.
func (f letterFlags) of(args []string, now time.Time) (deadletter.Filter, error) {
	filter := f.filter
	for _, arg := range args {
		id, err := letterID(arg)
		if err != nil {
			return filter, err
		}
		filter.IDs = append(filter.IDs, id)
	}
	if f.since != "" {
		since, err := moment(f.since, now)
		if err != nil {
			return filter, err
		}
		filter.Since = &since
	}
	return filter, nil
}

func letterID(arg string) (int64, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || id < 1 {
		return 0, usage("found %q; an id is a number, as `leat dead list` and `leat dead replays` show it", arg)
	}
	return id, nil
}

func moment(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--since: found %q; allowed are a time (2026-11-20T15:04:05Z), a day (2026-11-20) and how long ago (36h)", text)
}

// told makes what was asked wrongly a usage error.
func told(err error) error {
	if errors.Is(err, deadletter.ErrAsked) {
		return exit{exitUsage, err}
	}
	return err
}

// letters makes a command that works with the letters that flags and arguments mean.
func (a *app) letters(f *letterFlags, do func(ctx context.Context, c *client.Client, s deadletter.Store, f deadletter.Filter) error) func(*cobra.Command, []string) error {
	return a.connected(func(ctx context.Context, c *client.Client, args []string) error {
		filter, err := f.of(args, time.Now())
		if err != nil {
			return err
		}
		store, filter, err := c.Dead(ctx, filter)
		if err != nil {
			return err
		}
		return told(do(ctx, c, store, filter))
	})
}

func (a *app) deadList() *cobra.Command {
	var f letterFlags
	var before int64
	var limit int
	cmd := &cobra.Command{
		Use:     "list [ID...]",
		Short:   "List dead letters, the newest first",
		Example: "  leat dead list\n  leat dead list --stage delta --since 24h --limit 100\n  leat dead list --before 120    # the next page",
		RunE: a.letters(&f, func(ctx context.Context, _ *client.Client, s deadletter.Store, filter deadletter.Filter) error {
			if limit < 1 {
				return usage("--limit: found %d; at least 1 is allowed", limit)
			}
			letters, err := s.List(ctx, filter, before, limit)
			if err != nil {
				return err
			}
			return a.show(letters, func(w io.Writer) { showLetters(w, letters, limit) })
		}),
	}
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many")
	cmd.Flags().Int64Var(&before, "before", 0, "only those before this `id`, the last of the page before")
	return cmd
}

func showLetters(w io.Writer, letters []deadletter.Letter, limit int) {
	if len(letters) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return
	}
	rows := []string{"ID\tDIED\tSTAGE\tCLASS\tSOURCE\tJOB\tGROUP\tSTATE\tERROR"}
	for _, d := range letters {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%.8s\t%.8s\t%s\t%s",
			d.ID, at(&d.DiedAt), d.Stage, d.Class, d.Source, d.Job, d.Group, d.State, short(d.Error)))
	}
	table(w, rows...)
	if len(letters) == limit {
		fmt.Fprintf(w, "\nthere may be more: --before %d\n", letters[limit-1].ID)
	}
}

func (a *app) deadGroups() *cobra.Command {
	var f letterFlags
	var limit int
	cmd := &cobra.Command{
		Use:     "groups",
		Short:   "Count dead letters by their cause, the most frequent first",
		Example: "  leat dead groups\n  leat dead groups --state all --source ads",
		Args:    nothing,
		RunE: a.letters(&f, func(ctx context.Context, _ *client.Client, s deadletter.Store, filter deadletter.Filter) error {
			if limit < 1 {
				return usage("--limit: found %d; at least 1 is allowed", limit)
			}
			groups, err := s.Groups(ctx, filter, limit)
			if err != nil {
				return err
			}
			return a.show(groups, func(w io.Writer) { showGroups(w, groups) })
		}),
	}
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many")
	return cmd
}

func showGroups(w io.Writer, groups []deadletter.Group) {
	if len(groups) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return
	}
	rows := []string{"GROUP\tCOUNT\tSTAGE\tCLASS\tFIRST\tLAST\tERROR"}
	for _, g := range groups {
		rows = append(rows, fmt.Sprintf("%.8s\t%d\t%s\t%s\t%s\t%s\t%s", g.Group, g.Count, g.Stage, g.Class, at(&g.First), at(&g.Last), short(g.Shape)))
	}
	table(w, rows...)
}

func (a *app) deadShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a dead letter: its error, headers, body, and other deaths of the message",
		Example: "  leat dead show 17",
		Args:    one("the id of a dead letter"),
		RunE: a.oneLetter(func(_ context.Context, _ *client.Client, d deadletter.Shown) error {
			return a.show(d, func(w io.Writer) { showLetter(w, d) })
		}),
	}
}

// oneLetter makes a command that works with one letter, named by its id.
func (a *app) oneLetter(do func(context.Context, *client.Client, deadletter.Shown) error) func(*cobra.Command, []string) error {
	return a.letters(&letterFlags{}, func(ctx context.Context, c *client.Client, s deadletter.Store, f deadletter.Filter) error {
		d, err := s.Show(ctx, f.IDs[0])
		if err != nil {
			return err
		}
		return do(ctx, c, d)
	})
}

func showLetter(w io.Writer, d deadletter.Shown) {
	rows := []string{
		fmt.Sprintf("letter\t%d, %s", d.ID, d.State), "died\t" + at(&d.DiedAt), fmt.Sprintf("stage\t%s, after %d attempts", d.Stage, d.Attempts),
		"class\t" + d.Class, "group\t" + d.Group, "source\t" + d.Source, "job\t" + d.Job, "message\t" + d.MessageID,
	}
	if d.Now != "" {
		rows = append(rows, "now\tthe message is "+d.Now+" in the ledger")
	}
	if d.EditedAt != nil {
		rows = append(rows, fmt.Sprintf("edited\t%s; it goes back as message %s", at(d.EditedAt), d.EditedID))
	}
	if r := d.Replay; r != nil {
		rows = append(rows, fmt.Sprintf("replay\t%d, by %s: %s", r.ID, r.Who, r.Why))
	}
	table(w, rows...)
	fmt.Fprintf(w, "\nerror:\n%s\n", indent(d.Error))
	fmt.Fprintf(w, "\nheaders:\n%s\n", indent(pretty(d.Headers)))
	fmt.Fprintf(w, "\nbody, %d bytes:\n%s\n", d.Bytes, indent(pretty(d.Raw())))
	if len(d.Deaths) > 1 {
		fmt.Fprintln(w, "\nthe deaths of this message:")
		showLetters(w, d.Deaths, len(d.Deaths)+1)
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

// pretty writes JSON with a line for each value, and anything else as it is.
func pretty(body []byte) string {
	var text bytes.Buffer
	if json.Indent(&text, body, "", "  ") != nil {
		return fmt.Sprintf("%q", body)
	}
	return text.String()
}
