package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

const aboutShow = `show prints the documents of one object as MongoDB holds them: its name, path,
attributes and tags, and the newest of its days with their hours and breakdown.

The object is named TYPE/KEY, as in the first part of a document's _id.`

func (a *app) showObject() *cobra.Command {
	var source string
	var days int
	cmd := &cobra.Command{
		Use:     "show TYPE/KEY",
		Short:   "Show the documents of an object",
		Long:    aboutShow,
		Example: "  leat show campaign/acme-c1\n  leat show province/Germany/Bavaria --source covid --days 0",
		Args:    one("an object, TYPE/KEY"),
		RunE: a.connected(func(ctx context.Context, c *client.Client, args []string) error {
			switch typ, key, _ := strings.Cut(args[0], "/"); {
			case typ == "" || key == "":
				return usage("found %q; an object is named TYPE/KEY, such as campaign/acme-c1", args[0])
			case days < 0:
				return usage("--days: found %d; 0, for all, or more is allowed", days)
			}
			s, err := c.Show(ctx, args[0], source)
			if err != nil {
				return err
			}
			documents := make([]shownDocument, len(s.Documents))
			for i, text := range s.Documents {
				if err := json.Unmarshal(text, &documents[i]); err != nil {
					return fmt.Errorf("a document of %s is not as rollup writes it: %w; --json shows it", args[0], err)
				}
			}
			return a.show(s, func(w io.Writer) { showDocuments(w, s, documents, days) })
		}),
	}
	cmd.Flags().StringVar(&source, "source", "", "the source that it is of, where several have one of that name")
	cmd.Flags().IntVar(&days, "days", 1, "so many of the newest days; 0 for all")
	return cmd
}

// A shownDocument is a document of MongoDB.
type shownDocument struct {
	ID    string              `json:"_id"`
	Rev   int64               `json:"rev"`
	Name  string              `json:"name"`
	Path  []string            `json:"path"`
	Attrs values              `json:"attrs"`
	Tags  values              `json:"tags"`
	Days  map[string]shownDay `json:"days"`
}

type shownDay struct {
	Metrics values            `json:"m"`
	Hours   map[string]values `json:"h"`
	By      []struct {
		Dimensions values `json:"d"`
		Metrics    values `json:"m"`
	} `json:"by"`
	More bool `json:"by_more"`
}

// Values are by name, which MongoDB keeps in no order.
type values map[string]json.RawMessage

// String writes the values as JSON, sorted by name.
func (v values) String() string {
	if len(v) == 0 {
		return "{}"
	}
	text, err := json.Marshal(map[string]json.RawMessage(v))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func showDocuments(w io.Writer, s client.Shown, documents []shownDocument, days int) {
	fmt.Fprintf(w, "%s/%s of source %s; rows of stats of its own: %d; documents: %d\n", s.Type, s.Key, s.Source, s.Stats, len(documents))
	var feeds values
	_ = json.Unmarshal(s.Feeds, &feeds) // it came as jsonb
	for _, feed := range slices.Sorted(maps.Keys(feeds)) {
		fmt.Fprintf(w, "said by %s  %s\n", feed, feeds[feed])
	}
	for _, d := range documents {
		fmt.Fprintf(w, "\n_id    %s\nrev    %d\nname   %s\npath   [%s]\nattrs  %s\ntags   %s\n",
			d.ID, d.Rev, d.Name, strings.Join(d.Path, ", "), d.Attrs, d.Tags)
		all := slices.Sorted(maps.Keys(d.Days))
		if left := len(all) - days; days > 0 && left > 0 {
			fmt.Fprintf(w, "days   %d, the first %s; --days 0 shows all\n", len(all), all[0])
			all = all[left:]
		}
		for _, day := range all {
			showDay(w, day, d.Days[day])
		}
	}
}

func showDay(w io.Writer, day string, d shownDay) {
	fmt.Fprintf(w, "%s  %s\n", day, d.Metrics)
	for _, hour := range slices.SortedFunc(maps.Keys(d.Hours), byNumber) {
		fmt.Fprintf(w, "  hour %2s  %s\n", hour, d.Hours[hour])
	}
	for _, b := range d.By {
		fmt.Fprintf(w, "  by %s  %s\n", b.Dimensions, b.Metrics)
	}
	if d.More {
		fmt.Fprintln(w, "  by more than are kept")
	}
}

func byNumber(a, b string) int {
	x, _ := strconv.Atoi(a) // an hour is a number
	y, _ := strconv.Atoi(b)
	return x - y
}
