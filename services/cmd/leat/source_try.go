package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutTry = `try asks a source what a backfill would ask first, for real: with the credentials that its
file names (leat needs the same environment as leat-fetch) and out of the same budgets,
since the source counts the request whoever makes it. It prints the first records with
their tags, and what PostgreSQL and MongoDB would hold other than now if a job brought
them. It writes nothing: no job, answer, version, row or document. (A token of OAuth 2 that
had to be renewed is kept, for all.)

The stages themselves compare, in a transaction that is undone. Hosts that annotators
ask by http() are not asked. Of an answer with more records than --limit the rest is
neither read nor compared.`

func (a *app) sourceTry() *cobra.Command {
	r := client.TryRequest{}
	cmd := &cobra.Command{
		Use:   "try NAME|FILE.yaml",
		Short: "Ask a source for real, and say what a job would change, without changing it",
		Long:  aboutTry,
		Example: "  leat source try ads --account acme --from 2026-11-19 --to 2026-11-19\n" +
			"  leat source try ./shop.yaml                 # a file that is not in the folder yet\n" +
			"  leat source try gigs --feed tickets --url https://files.example.com/2026-11-20.json.gz",
		Args: func(cmd *cobra.Command, args []string) error {
			if r.Limit < 1 || r.Limit > client.MaxTried {
				return usage("--limit: found %d; from 1 to %d are allowed", r.Limit, client.MaxTried)
			}
			return one("the name of a source, or a file")(cmd, args)
		},
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			r.Source = args[0]
			t, err := c.Try(ctx, r)
			if err != nil {
				return err
			}
			text, err := t.FirstText()
			if err != nil {
				return err
			}
			return a.show(t, func(w io.Writer) { showTrial(w, t, text) })
		}),
	}
	cmd.Flags().StringVar(&r.Account, "account", "", "one of the source's accounts (default the first)")
	cmd.Flags().StringVar(&r.Feed, "feed", "", "one of the source's feeds (default the first)")
	cmd.Flags().StringVar(&r.From, "from", "", "the first `day` (default the source's lookback)")
	cmd.Flags().StringVar(&r.To, "to", "", "the last `day` (default today)")
	cmd.Flags().StringVar(&r.URL, "url", "", "this document in place of the source's own address")
	cmd.Flags().IntVar(&r.Limit, "limit", 1000, "`records` to read and compare, and the rest of the object that is the last")
	return cmd
}

func showTrial(w io.Writer, t client.Trial, first string) {
	showAsked(w, t)
	fmt.Fprintf(w, "\nthe first records, with the tags that they have by themselves (http() was not asked):\n\n%s\n", indented(first))
	e := t.Effect
	fmt.Fprintln(w, "\na job would change, by the rows that are there now:")
	fmt.Fprintf(w, "\nobjects: %d new, %d changed, %d unchanged\n", e.Counts["objects.new"], e.Counts["objects.changed"], e.Counts["objects.unchanged"])
	some(w, e.Objects, objectLine)
	fmt.Fprintf(w, "\nstats: %d new, %d changed, %d unchanged\n", e.Counts["stats.new"], e.Counts["stats.changed"], e.Counts["stats.unchanged"])
	some(w, e.Stats, statLine)
	fmt.Fprintf(w, "\ntags of %d objects%s\n", len(e.Tags), waiting(e.Waiting))
	some(w, e.Tags, tagLine)
	fmt.Fprintf(w, "\ndocuments: %d\n", len(e.Documents))
	some(w, e.Documents, documentLine)
}

// showAsked says what was asked, and what came.
func showAsked(w io.Writer, t client.Trial) {
	what := t.Source
	if t.Account != "" {
		what += ", account " + t.Account
	}
	if t.Feed != "" {
		what += ", feed " + t.Feed
	}
	if t.From != "" {
		what += ", " + t.From + " to " + t.To
	}
	fmt.Fprintf(w, "%s (version %.8s), request 1 of the %d that a job begins with%s\n", what, t.Version, t.Requests, map[bool]string{true: ", each with its pages"}[t.Pages])
	fmt.Fprintf(w, "%s\n", t.URL)
	status := ""
	if t.Status > 0 {
		status = fmt.Sprintf("status %d, ", t.Status)
	}
	fmt.Fprintf(w, "%s%s, %d bytes; %d records, %d rejects%s\n", status, t.Format, t.Bytes, t.Records, t.Rejected, map[bool]string{true: "; there is more, which was not read (--limit)"}[t.More])
}

// shownLines is how many lines of a list are shown.
const shownLines = 20

// some writes the first lines of a list.
func some[T any](w io.Writer, all []T, line func(T) string) {
	for _, one := range all[:min(len(all), shownLines)] {
		fmt.Fprintln(w, "  "+line(one))
	}
	if more := len(all) - shownLines; more > 0 {
		fmt.Fprintf(w, "  and %d more (--json has all)\n", more)
	}
}

func objectLine(o client.ObjectDifference) string {
	switch {
	case o.Named:
		return o.Object + ": new, only named as a parent"
	case o.New:
		return o.Object + ": new, " + changes(o.Fields)
	case len(o.Fields) == 0:
		return o.Object + ": what its feed says of it alone"
	}
	return o.Object + ": " + changes(o.Fields)
}

func statLine(s client.StatDifference) string {
	where := strings.Join(slices.DeleteFunc([]string{s.Object, s.Day, s.Rule, s.Dims}, func(part string) bool { return part == "" }), " ")
	what := map[bool]string{true: "new, "}[s.New]
	if s.Removed {
		what = "removed, "
	}
	hours := make([]string, len(s.Hours))
	for i, h := range s.Hours {
		hours[i] = fmt.Sprint(h)
	}
	return fmt.Sprintf("%s: %s%s (hour %s)", where, what, changes(s.Metrics), strings.Join(hours, ", "))
}

func tagLine(t client.TagDifference) string {
	all := []string{t.Object + ": " + changes(t.Tags)}
	for _, tag := range slices.Sorted(maps.Keys(t.Failed)) {
		all = append(all, tag+" failed: "+t.Failed[tag])
	}
	return strings.Join(all, "; ")
}

func documentLine(d client.DocumentDifference) string {
	what := map[bool]string{true: "new, "}[d.New]
	switch {
	case d.All:
		return d.ID + ": " + what + "all its days"
	case len(d.Days) == 0:
		return d.ID + ": " + what + "its fields"
	}
	return d.ID + ": " + what + daysText(d.Days)
}

// daysText names a few days, and of many the first and the last.
func daysText(days []string) string {
	if len(days) <= 5 {
		return strings.Join(days, " ")
	}
	return fmt.Sprintf("%d days, %s to %s", len(days), days[0], days[len(days)-1])
}

func waiting(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d more wait for http(), which was not asked", n)
}

// changes writes fields that differ: clicks 3 → 5, and of new ones their values.
func changes(fields []client.Field) string {
	all := make([]string, len(fields))
	for i, f := range fields {
		switch {
		case f.Before == nil:
			all[i] = fmt.Sprintf("%s %s", f.Name, f.After)
		case f.After == nil:
			all[i] = fmt.Sprintf("%s %s → none", f.Name, f.Before)
		default:
			all[i] = fmt.Sprintf("%s %s → %s", f.Name, f.Before, f.After)
		}
	}
	return strings.Join(all, ", ")
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}
