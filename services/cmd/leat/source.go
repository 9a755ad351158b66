package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

func (a *app) source() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "source",
		Short:   "Look at source files",
		Long:    "source lists, checks, explains, tests, tries and drafts the files of the sources folder. But for try and reannotate it asks no server.",
		Example: "  leat source list\n  leat source lint config/sources/ads.yaml\n  leat source explain ads\n  leat source test ads\n  leat source try ads",
		Args:    cobra.ArbitraryArgs,
		RunE:    onlyGroup,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(a.sourceList(), a.sourceLint(), a.sourceExplain(), a.sourceTest(), a.sourceTry(), a.sourceNew(), a.sourceReannotate())
	return cmd
}

// inFolder is do with the folder of the source files.
func (a *app) inFolder(f func(folder string, args []string) error) func(*cobra.Command, []string) error {
	return do(func(_ context.Context, args []string) error {
		cfg, err := a.settings()
		if err != nil {
			return err
		}
		return f(cfg.Sources, args)
	})
}

func (a *app) sourceList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the sources",
		Args:  nothing,
		RunE: a.inFolder(func(folder string, _ []string) error {
			rows, broken := client.Sources(folder)
			if err := a.show(rows, func(w io.Writer) { showSources(w, rows) }); err != nil {
				return err
			}
			return broken
		}),
	}
}

func showSources(w io.Writer, sources []client.SourceRow) {
	rows := []string{"SOURCE\tVERSION\tSTATS\tTYPES\tACCOUNTS\tASKS"}
	for _, s := range sources {
		asks := s.Asks
		if s.Problem != "" {
			rows = append(rows, s.Name+"\tbroken\t\t\t\t")
			continue
		}
		if asks == "" {
			asks = "(a job names the url)"
		}
		rows = append(rows, fmt.Sprintf("%s\t%.8s\t%s\t%s\t%s\t%s", s.Name, s.Version, s.Kind, strings.Join(s.Types, " "), strings.Join(s.Accounts, " "), asks))
	}
	table(w, rows...)
}

func (a *app) sourceLint() *cobra.Command {
	return &cobra.Command{
		Use:     "lint [FILE...]",
		Short:   "Check source files, all of the folder if none is named",
		Long:    "lint prints what is wrong with source files as FILE:LINE:COLUMN: MESSAGE, and exits with 1 if anything is.",
		Example: "  leat source lint\n  leat source lint config/sources/ads.yaml",
		RunE: a.inFolder(func(folder string, files []string) error {
			checked, problems, err := client.Lint(folder, files)
			if err != nil {
				return err
			}
			if problems == nil {
				problems = []client.Problem{}
			}
			if err := a.show(problems, func(w io.Writer) { showProblems(w, checked, problems) }); err != nil || len(problems) == 0 {
				return err
			}
			return exit{status: exitFailed}
		}),
	}
}

func showProblems(w io.Writer, checked int, problems []client.Problem) {
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
	if len(problems) == 0 {
		fmt.Fprintf(w, "%d source files are fine\n", checked)
	}
}

func (a *app) sourceExplain() *cobra.Command {
	return &cobra.Command{
		Use:     "explain NAME",
		Short:   "Say in plain words what a source file does",
		Example: "  leat source explain ads",
		Args:    one("the name of a source"),
		RunE: a.inFolder(func(folder string, args []string) error {
			s, err := client.FindSource(folder, args[0])
			if err != nil {
				return err
			}
			var text strings.Builder
			if err := s.Explain(&text); err != nil {
				return err
			}
			explained := map[string]string{"name": s.Name, "version": s.Hash, "text": text.String()}
			return a.show(explained, func(w io.Writer) { fmt.Fprint(w, text.String()) })
		}),
	}
}

func (a *app) sourceTest() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use:   "test [NAME...]",
		Short: "Compare what comes of answers beside source files with what must",
		Long: `test takes the answers in the folder NAME.test beside NAME.yaml, makes objects, tags, stats and rejects of each, and compares
them with the file ANSWER.want.yaml. It exits with 1 if anything differs. It asks no server.`,
		Example: "  leat source test\n  leat source test ads --update      # writes what comes of the answers: read it, then keep it",
		Args:    cobra.ArbitraryArgs,
	}
	cmd.Flags().BoolVar(&update, "update", false, "write the files instead of comparing with them")
	cmd.RunE = a.inFolder(func(folder string, names []string) error {
		results, err := client.TestSources(cmd.Context(), folder, names, update)
		if err != nil {
			return err
		}
		if results == nil {
			results = []client.FixtureResult{}
		}
		if err := a.show(results, func(w io.Writer) { showFixtures(w, results) }); err != nil {
			return err
		}
		if slices.ContainsFunc(results, func(r client.FixtureResult) bool { return r.Diff != "" }) {
			return exit{status: exitFailed}
		}
		return nil
	})
	return cmd
}

func showFixtures(w io.Writer, results []client.FixtureResult) {
	same := 0
	for _, r := range results {
		switch {
		case r.Wrote != "":
			fmt.Fprintf(w, "wrote %s\n", r.Wrote)
		case r.Diff != "":
			fmt.Fprintf(w, "%s differs from what must come of it:\n%s\n", r.Answer, r.Diff)
		default:
			same++
		}
	}
	if same > 0 {
		fmt.Fprintf(w, "%d answers became what they must\n", same)
	}
	if len(results) == 0 {
		fmt.Fprintln(w, "no answers to test: put one into NAME.test beside NAME.yaml")
	}
}

func (a *app) sourceNew() *cobra.Command {
	var write bool
	cmd := &cobra.Command{
		Use:   "new NAME ANSWER",
		Short: "Guess a first source file from an answer of the source",
		Long: `new reads an answer (.json, .ndjson, .csv or .tsv), guesses what its fields mean, tries that on the answer, and prints the file.
It is a beginning: read it, put in the address, mend what is wrong, and see leat source explain NAME.`,
		Example: "  leat source new shop sales.csv\n  leat source new shop sales.csv --write      # into the sources folder, where no shop.yaml is yet",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("`%s` takes a name and an answer: %d given; try `%s --help`", cmd.CommandPath(), len(args), cmd.CommandPath())
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "write the file into the sources folder")
	cmd.RunE = a.inFolder(func(folder string, args []string) error {
		draft, err := client.DraftSource(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		if !write {
			return a.show(draft, func(w io.Writer) { fmt.Fprint(w, draft.Text); showDraft(a.err, draft) })
		}
		file := filepath.Join(folder, args[0]+".yaml")
		if err := writeNew(file, draft.Text); err != nil {
			return err
		}
		return a.show(draft, func(w io.Writer) { fmt.Fprintf(w, "wrote %s\n", file); showDraft(w, draft) })
	})
	return cmd
}

func showDraft(w io.Writer, d client.Draft) {
	fmt.Fprintf(w, "of the answer it makes %d objects, %d stats and %d rejects\n", d.Objects, d.Stats, d.Rejects)
	if d.First != "" {
		fmt.Fprintf(w, "the first reject is %s\n", d.First)
	}
}

// writeNew writes a file that must not be there yet.
func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // others read it: a source file has no secrets
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
