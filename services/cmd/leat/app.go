package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/settings"
)

// The statuses that leat exits with.
const (
	exitOK     = 0
	exitFailed = 1 // it could not be done; of check: there are differences
	exitUsage  = 2 // a bad flag, argument or configuration; of check: it could not look
)

// An exit ends the program with a status. Without an error all has been said.
type exit struct {
	status int
	err    error
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return exit{exitUsage, fmt.Errorf(format, args...)}
}

// An app is one call of leat.
type app struct {
	in       io.Reader
	out, err io.Writer
	raw      io.Writer // out, for bytes that are nobody's to change
	file     string    // --config
	json     bool      // --json
}

// run does what the arguments ask for and returns the exit status.
func run(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: redacted{out}, err: err, raw: out}
	root := a.root()
	root.SetArgs(args)
	return a.status(root.ExecuteContext(ctx))
}

// A redacted writer takes the passwords out of addresses: jobs, errors and
// source files may quote them. Whoever writes to it writes an address at once.
type redacted struct{ io.Writer }

func (r redacted) Write(b []byte) (int, error) {
	if _, err := io.WriteString(r.Writer, redact.Text(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// status says what went wrong, in one line, and returns the exit status. What is
// not an exit is cobra's, and so about flags and arguments.
func (a *app) status(err error) int {
	if err == nil {
		return exitOK
	}
	e := exit{exitUsage, err}
	if errors.As(err, &e) && e.err == nil {
		return e.status
	}
	a.complain(err)
	return e.status
}

// complain writes a line to stderr, without passwords.
func (a *app) complain(err error) {
	text := strings.ReplaceAll(err.Error(), "\n\nDid you mean this?\n\t", "; did you mean ")
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	fmt.Fprintln(a.err, "leat: "+redact.Text(strings.Join(lines, "; ")))
}

// note writes a line to stderr that is no error.
func (a *app) note(text string) { fmt.Fprintln(a.err, redact.Text(text)) }

// do makes a command of f. Its errors are failures, unless they say otherwise.
func do(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), args)
		if err == nil || errors.As(err, &exit{}) {
			return err
		}
		return exit{exitFailed, err}
	}
}

// connected is do with a client.
func (a *app) connected(f func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return do(func(ctx context.Context, args []string) error {
		cfg, err := a.settings()
		if err != nil {
			return err
		}
		c, err := client.Open(ctx, cfg)
		if err != nil {
			return exit{exitUsage, err}
		}
		defer c.Close()
		return f(ctx, c, args)
	})
}

func (a *app) settings() (settings.Settings, error) {
	cfg := settings.Default()
	if err := daemon.Load(daemon.FindFile(a.file), &cfg); err != nil {
		return cfg, exit{exitUsage, err}
	}
	return cfg, nil
}

// show writes v as JSON where that is wanted, else as text.
func (a *app) show(v any, text func(w io.Writer)) error {
	if !a.json {
		text(a.out)
		return nil
	}
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows with their columns aligned; the cells of a row are
// separated by tabs.
func table(w io.Writer, rows ...string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, row)
	}
	_ = t.Flush() // to a terminal or a buffer: there is nobody left to tell
}
