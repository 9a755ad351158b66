package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutCursor = `cursor shows where the refreshes of each account go on, and lets a person say
where. A cursor moves by itself when all that a job asked for is in PostgreSQL and
MongoDB. Set it back to fetch again what came since; reset it, and the next
refresh is as the first. Jobs that run at that moment do not move it any more.`

func (a *app) cursor() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cursor",
		Short:   "Look at cursors, set them and reset them",
		Long:    aboutCursor,
		Example: "  leat cursor list\n  leat cursor show ads --account acme\n  leat cursor set covid 2026-11-01\n  leat cursor reset ads --account acme",
		Args:    cobra.ArbitraryArgs,
		RunE:    onlyGroup,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(a.cursorList(), a.cursorShow(), a.cursorSet(), a.cursorReset())
	return cmd
}

// ofCursor adds the flags that say which cursors are meant.
func ofCursor(cmd *cobra.Command, which *client.CursorWhich) *cobra.Command {
	cmd.Flags().StringVar(&which.Account, "account", "", "only this account's")
	cmd.Flags().StringVar(&which.Stream, "stream", "", "only this `stream`: report, changes")
	return cmd
}

func (a *app) cursorList() *cobra.Command {
	var which client.CursorWhich
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List cursors",
		Args:  nothing,
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			cursors, err := c.Cursors(ctx, which)
			if err != nil {
				return err
			}
			return a.show(cursors, func(w io.Writer) { showCursors(w, cursors) })
		}),
	}
	cmd.Flags().StringVar(&which.Source, "source", "", "only those of this source")
	return ofCursor(cmd, &which)
}

func showCursors(w io.Writer, cursors []client.CursorRow) {
	if len(cursors) == 0 {
		fmt.Fprintln(w, "no cursors: nothing was refreshed yet")
		return
	}
	rows := []string{"SOURCE\tACCOUNT\tSTREAM\tVALUE\tSINCE\tNEXT\tWHEN DONE"}
	for _, r := range cursors {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", r.Source, dash(r.Account), r.Stream, dash(r.Value), at(&r.At), dash(r.Next), dash(r.Job)))
	}
	table(w, rows...)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func (a *app) cursorShow() *cobra.Command {
	var which client.CursorWhich
	limit := 20
	cmd := &cobra.Command{
		Use:   "show SOURCE",
		Short: "Show a source's cursors, with the values that they had in the last 30 days",
		Args:  one("the name of a source"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			which.Source = args[0]
			cursors, err := c.Cursors(ctx, which)
			if err != nil {
				return err
			}
			moves, err := c.CursorHistory(ctx, which, limit)
			if err != nil {
				return err
			}
			all := map[string]any{"cursors": cursors, "history": moves}
			return a.show(all, func(w io.Writer) { showCursors(w, cursors); showMoves(w, moves) })
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many values")
	return ofCursor(cmd, &which)
}

func showMoves(w io.Writer, moves []client.CursorMove) {
	if len(moves) == 0 {
		return
	}
	rows := []string{"\nAT\tACCOUNT\tSTREAM\tVALUE\tBY"}
	for _, m := range moves {
		by := "job " + m.Job
		if m.Job == "" {
			by = "a person"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", at(&m.At), dash(m.Account), m.Stream, dash(m.Value), by))
	}
	table(w, rows...)
}

func (a *app) cursorSet() *cobra.Command {
	var which client.CursorWhich
	cmd := &cobra.Command{
		Use:   "set SOURCE VALUE",
		Short: "Have the next refresh go on at a value: what the source calls a cursor, or a day",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("`%s` takes the name of a source and a value: %d given; try `%s --help`", cmd.CommandPath(), len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			which.Source = args[0]
			if err := c.SetCursor(ctx, which, args[1]); err != nil {
				return err
			}
			return a.showAfter(ctx, c, which)
		}),
	}
	return ofCursor(cmd, &which)
}

func (a *app) cursorReset() *cobra.Command {
	var which client.CursorWhich
	cmd := &cobra.Command{
		Use:   "reset SOURCE",
		Short: "Have the next refresh be as the first",
		Args:  one("the name of a source"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			which.Source = args[0]
			if _, err := c.ResetCursors(ctx, which); err != nil {
				return err
			}
			return a.showAfter(ctx, c, which)
		}),
	}
	return ofCursor(cmd, &which)
}

// showAfter shows the cursors as they are now.
func (a *app) showAfter(ctx context.Context, c *client.Client, which client.CursorWhich) error {
	cursors, err := c.Cursors(ctx, which)
	if err != nil {
		return err
	}
	return a.show(cursors, func(w io.Writer) { showCursors(w, cursors) })
}
