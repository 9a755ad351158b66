package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/deadletter"
)

const aboutReplay = `replay sends dead letters back to the stages that they died in: those with the
ids that are named, or all that the flags mean. It says how many there are and
asks before it begins; what dies meanwhile is not added.

leat-console sends them. The command shows how far it is; when it is interrupted,
the replay goes on. See also leat dead pause, resume, cancel, follow.`

type replayFlags struct {
	letterFlags
	all, yes, detach bool
	rate             string
	why              string
}

func (a *app) deadReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:     "replay [ID...]",
		Short:   "Send dead letters back to their stages",
		Long:    aboutReplay,
		Example: "  leat dead replay 17 18\n  leat dead replay --group 3f2a --rate 50/s --why \"the source file is fixed\"\n  leat dead replay --all --yes --detach",
	}
	cmd.RunE = a.letters(&f.letterFlags, func(ctx context.Context, c *client.Client, s deadletter.Store, filter deadletter.Filter) error {
		rate, err := parseRate(f.rate)
		if err != nil {
			return err
		}
		ids, err := a.meant(ctx, s, filter, f.all, f.yes, "sent back to their stages")
		if err != nil {
			return err
		}
		r, err := s.Start(ctx, deadletter.Plan{IDs: ids, Rate: rate, By: c.By(), Why: f.why})
		if err != nil {
			return err
		}
		if r.Total < len(ids) {
			a.note(fmt.Sprintf("%d of them cannot be replayed: somebody else has, or they have no stage to go back to", len(ids)-r.Total))
		}
		if f.detach {
			return a.show(r, func(w io.Writer) {
				fmt.Fprintf(w, "replay %d of %d letters\nhow far it is: leat dead follow %d\n", r.ID, r.Total, r.ID)
			})
		}
		return a.follow(ctx, c, r.ID)
	})
	f.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "all that are dead")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.detach, "detach", false, "do not wait for the end")
	flags.StringVar(&f.rate, "rate", "", "at most so many a second, `N/s` (default: as fast as it goes)")
	flags.StringVar(&f.why, "why", "", "the reason, for audit and for the messages' header replay_why")
	return cmd
}

func parseRate(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "/s"))
	if err != nil || n < 1 {
		return 0, usage("--rate: found %q; a number of messages a second such as 50/s is allowed", text)
	}
	return n, nil
}

// meant returns the ids of the letters that are meant, after it has said how
// many and, unless yes, was told to go on.
func (a *app) meant(ctx context.Context, s deadletter.Store, f deadletter.Filter, all, yes bool, what string) ([]int64, error) {
	if f.Empty() && !all {
		return nil, usage("say which: ids, flags such as --group, or --all")
	}
	ids, err := s.IDs(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errors.New("no dead letter is meant by that: see `leat dead list`, and --state")
	}
	text := fmt.Sprintf("dead letters to be %s: %d", what, len(ids))
	if yes {
		a.note(text)
		return ids, nil
	}
	fmt.Fprintf(a.err, "%s. Go on? [y/N] ", text)
	answer, _ := bufio.NewReader(a.in).ReadString('\n') // none is no
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return nil, errors.New("nothing was done")
	}
	return ids, nil
}

// follow shows how far a replay is until it is over.
func (a *app) follow(ctx context.Context, c *client.Client, id int64) error {
	var last string
	next := time.Time{}
	r, err := c.FollowReplay(ctx, id, func(r deadletter.Replay) {
		if text := replayLine(r); text != last && time.Now().After(next) && r.State == deadletter.Running {
			a.note(text)
			last, next = text, time.Now().Add(lineEvery)
		}
	}, a.note)
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("no longer waiting; replay %d goes on: leat dead follow %d", id, id)
	case err != nil:
		return err
	}
	if err := a.show(r, func(w io.Writer) { showReplays(w, []deadletter.Replay{r}) }); err != nil {
		return err
	}
	if r.State != deadletter.Done {
		return exit{status: exitFailed}
	}
	return nil
}

func replayLine(r deadletter.Replay) string {
	return fmt.Sprintf("replay %d: %s, %d of %d sent, %d died again", r.ID, r.State, r.Sent, r.Total, r.DiedAgain)
}

func showReplays(w io.Writer, replays []deadletter.Replay) {
	if len(replays) == 0 {
		fmt.Fprintln(w, "no replays")
		return
	}
	rows := []string{"REPLAY\tSTATE\tSENT\tOF\tDIED AGAIN\tRATE\tBEGUN\tWHO\tWHY"}
	for _, r := range replays {
		rate := "-"
		if r.Rate > 0 {
			rate = fmt.Sprintf("%d/s", r.Rate)
		}
		why := r.Why
		if r.Error != "" {
			why = "paused by itself: " + r.Error
		}
		rows = append(rows, fmt.Sprintf("%d\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s", r.ID, r.State, r.Sent, r.Total, r.DiedAgain, rate, at(&r.CreatedAt), r.Who, short(why)))
	}
	table(w, rows...)
}

func (a *app) deadReplays() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "replays",
		Short: "List replays, the newest first",
		Args:  nothing,
		RunE: a.letters(&letterFlags{}, func(ctx context.Context, _ *client.Client, s deadletter.Store, _ deadletter.Filter) error {
			if limit < 1 {
				return usage("--limit: found %d; at least 1 is allowed", limit)
			}
			replays, err := s.Replays(ctx, limit)
			if err != nil {
				return err
			}
			return a.show(replays, func(w io.Writer) { showReplays(w, replays) })
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many")
	return cmd
}

func (a *app) deadFollow() *cobra.Command {
	return &cobra.Command{
		Use:   "follow REPLAY",
		Short: "Show how far a replay is, until it is over or paused",
		Args:  one("the id of a replay"),
		RunE: a.letters(&letterFlags{}, func(ctx context.Context, c *client.Client, _ deadletter.Store, f deadletter.Filter) error {
			return a.follow(ctx, c, f.IDs[0])
		}),
	}
}

var replayControls = []struct{ action, about string }{
	{audit.Pause, "Pause a replay: when the command returns, nothing more is sent"},
	{audit.Resume, "Let a paused replay go on"},
	{audit.Cancel, "End a replay: what it has not sent is dead again"},
}

func (a *app) deadControl(action, about string) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   action + " REPLAY",
		Short: about,
		Args:  one("the id of a replay"),
		RunE: a.letters(&letterFlags{}, func(ctx context.Context, c *client.Client, s deadletter.Store, f deadletter.Filter) error {
			r, err := s.Control(ctx, f.IDs[0], action, c.By(), why)
			if err != nil {
				return err
			}
			return a.show(r, func(w io.Writer) { fmt.Fprintln(w, replayLine(r)) })
		}),
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for audit")
	return cmd
}
