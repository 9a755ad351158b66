package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/deadletter"
)

func (a *app) deadDrop() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "drop [ID...]",
		Short: "Mark dead letters as not worth a replay",
		Long: `drop marks dead letters: those with the ids that are named, or all that the flags
mean. Nothing is deleted: leat dead list --state dropped shows them, and leat dead
replay --state dropped sends them back all the same. Their jobs stay incomplete.`,
		Example: "  leat dead drop 17 --why \"a test\"\n  leat dead drop --group 3f2a --why \"fetched again by job 0198\" --yes",
	}
	cmd.RunE = a.letters(&f.letterFlags, func(ctx context.Context, c *client.Client, s deadletter.Store, filter deadletter.Filter) error {
		if f.why == "" {
			return usage("--why is missing: say why they are dropped")
		}
		ids, err := a.meant(ctx, s, filter, f.all, f.yes, "marked as dropped")
		if err != nil {
			return err
		}
		n, err := s.Drop(ctx, ids, c.By(), f.why)
		if err != nil {
			return err
		}
		return a.show(map[string]int{"dropped": n}, func(w io.Writer) { fmt.Fprintf(w, "%d dropped\n", n) })
	})
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all that are dead")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&f.why, "why", "", "the reason; it must be given")
	return cmd
}

const aboutEdit = `edit replaces the body of a dead letter: by that of --file (- is stdin), or by what
is saved in $EDITOR. A body that its stage could not read is refused. The message
has a new id when it is replayed, for it is another; its job goes on with it.`

func (a *app) deadEdit() *cobra.Command {
	var file, why string
	cmd := &cobra.Command{
		Use:     "edit ID",
		Short:   "Replace the body of a dead letter",
		Long:    aboutEdit,
		Example: "  leat dead edit 17\n  leat dead edit 17 --file job.json --why \"the source was misspelt\"\n  echo '{\"source\":\"ads\"}' | leat dead edit 17 --file -",
		Args:    one("the id of a dead letter"),
		RunE: a.oneLetter(func(ctx context.Context, c *client.Client, d deadletter.Shown) error {
			body, err := a.newBody(ctx, d, file)
			if err != nil {
				return err
			}
			edited, err := c.EditDead(ctx, d, body, why)
			if err != nil {
				return exit{exitUsage, err}
			}
			return a.show(edited, func(w io.Writer) {
				fmt.Fprintf(w, "dead letter %d is edited: it goes back as message %s\nsend it back: leat dead replay %d\n", d.ID, edited.EditedID, d.ID)
			})
		}),
	}
	cmd.Flags().StringVar(&file, "file", "", "the `file` with the new body; - is stdin")
	cmd.Flags().StringVar(&why, "why", "", "the reason, for audit")
	return cmd
}

func (a *app) newBody(ctx context.Context, d deadletter.Shown, file string) ([]byte, error) {
	switch {
	case file == "-":
		return io.ReadAll(a.in)
	case file != "":
		return os.ReadFile(file)
	}
	return a.inEditor(ctx, d)
}

// inEditor has the user edit the body, which is laid out for reading unless a
// person wrote it.
func (a *app) inEditor(ctx context.Context, d deadletter.Shown) ([]byte, error) {
	editor := os.Getenv("EDITOR")
	if editor == "" {
		return nil, usage("$EDITOR is not set: set it, or give the new body by --file")
	}
	text := []byte(pretty(d.Raw()))
	if d.Type == event.KindJob {
		text = d.Raw()
	}
	temp, err := os.CreateTemp("", fmt.Sprintf("leat-dead-%d-*.json", d.ID)) // for this user alone
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // it is temporary
	if _, err := temp.Write(text); err != nil {
		return nil, err
	}
	if err := temp.Close(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", temp.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("$EDITOR (%s): %w; nothing was done", editor, err)
	}
	return os.ReadFile(temp.Name())
}
