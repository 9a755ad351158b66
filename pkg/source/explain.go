package source

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Explain writes what the source does in plain words, for a person who checks a
// source file before it runs.
func (s *Source) Explain(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Source %s, version %s\n", s.Name, s.Hash)
	for _, view := range s.EachFeed() {
		view.explainFetch(&b)
	}
	s.explainObjects(&b)
	s.explainStats(&b)
	s.explainTags(&b)
	s.explainDocuments(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Source) explainFetch(b *strings.Builder) {
	r := s.Fetch.Report
	b.WriteString("\nAsks")
	if s.feed != "" {
		fmt.Fprintf(b, ", for its feed %s", s.feed)
	}
	b.WriteString("\n")
	switch {
	case r.Path == "" && s.Fetch.Stream == nil:
		fmt.Fprintf(b, "  nothing by itself: a job names the url; the answer is %s\n", r.Format)
	case r.Path != "":
		fmt.Fprintf(b, "  %s%s; the answer is %s\n", strings.TrimSuffix(s.HTTP.BaseURL, "/"), r.Path, r.Format)
		fmt.Fprintf(b, "  a backfill asks for the last %s%s\n", count(int(r.Lookback), "day"), slicing(r))
	}
	if r.Async != nil {
		fmt.Fprintf(b, "  %s\n", r.Async.explain())
	}
	if form := s.explainForm(); form != "" {
		fmt.Fprintf(b, "  %s\n", form)
	}
	if s.Fetch.Stream != nil {
		fmt.Fprintf(b, "  %s\n", s.Fetch.Stream.explain())
	}
	if s.Fetch.Poll != nil {
		fmt.Fprintf(b, "  %s\n", s.Fetch.Poll.explain())
	}
	for _, r := range s.Fetch.Errors {
		fmt.Fprintf(b, "  %s\n", r.explain())
	}
	fmt.Fprintf(b, "  raw answers are kept %s\n", s.Fetch.Keep.explain())
	if c := s.Fetch.Changes; c != nil {
		fmt.Fprintf(b, "  a refresh %s\n", c.explain())
		fmt.Fprintf(b, "  the first, and one whose cursor is too old (%s), asks for all\n", strings.Join(c.Expired, ", "))
	}
	if s.Fetch.Pages != nil {
		fmt.Fprintf(b, "  an answer is a page; the next is %s\n", s.Fetch.Pages.explain())
	}
	if s.HTTP.Auth != nil {
		fmt.Fprintf(b, "  it says who it is by %s\n", s.HTTP.Auth.explain())
	}
	if s.HTTP.Rate != nil {
		fmt.Fprintf(b, "  %s\n", s.HTTP.Rate.explain(s.HTTP.Auth.PerAccount()))
	}
	if len(s.Schedule) > 0 {
		fmt.Fprintf(b, "  %s\n", s.explainSchedule())
	}
	if len(s.Accounts) > 0 {
		fmt.Fprintf(b, "  accounts: %s\n", strings.Join(s.AccountNames(), ", "))
	}
	fmt.Fprintf(b, "  a day begins in %s", s.Timezone)
	for _, a := range s.Accounts {
		if a.Timezone != s.Timezone {
			fmt.Fprintf(b, ", for %s in %s", a.Name, a.Timezone)
		}
	}
	b.WriteString("\n")
}

// explainForm says how an answer is written, where that is not as usual.
func (s *Source) explainForm() string {
	r := s.Fetch.Report
	var parts []string
	add := func(there bool, format string, args ...any) {
		if there {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(r.Encoding != encodingUTF8, "in %s", r.Encoding)
	add(r.Table.Separator != "", "columns end with %q", r.Table.Separator)
	add(r.Table.Skip > 0, "the first %s skipped", count(r.Table.Skip, "line"))
	add(len(r.Table.Header) > 0, "the columns are %s", strings.Join(r.Table.Header, ", "))
	add(s.Numbers.Decimal != "." || s.Numbers.Group != "", "numbers as 1%s234%s5", s.Numbers.Group, s.Numbers.Decimal)
	add(len(s.Numbers.None) > 0, "no number is %s", strings.Join(s.Numbers.None, ", "))
	add(len(s.Dates) > 0, "dates as %s", strings.Join(s.Dates, ", "))
	if len(parts) == 0 {
		return ""
	}
	return "how it is written: " + strings.Join(parts, "; ")
}

// slicing says how a report is cut and where mode full begins.
func slicing(r Report) string {
	text := ""
	if r.Slice > 0 {
		text += ", " + count(int(r.Slice), "day") + " a request"
	}
	if r.Since != "" {
		text += "; mode full begins at " + r.Since
	}
	return text
}

func (k Keep) explain() string {
	if k == Forever {
		return "for ever"
	}
	return "for " + count(int(k), "day")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (s *Source) explainObjects(b *strings.Builder) {
	b.WriteString("\nObjects\n")
	for _, t := range s.types {
		fmt.Fprintf(b, "  %s", t.Name)
		if t.Parent != "" {
			fmt.Fprintf(b, ", below %s", t.Parent)
		}
		if !t.Described {
			b.WriteString(": only named as the parent of others; its name is its key\n")
			continue
		}
		for _, r := range t.rules {
			if r.feed != "" {
				fmt.Fprintf(b, "\n    %s", r.feed)
			}
			fmt.Fprintf(b, ": key %s, name %s", r.Key, orElse(r.Name, "as the key"))
			if len(r.Attributes) > 0 {
				fmt.Fprintf(b, ", attributes %s", strings.Join(unique(r.Attributes), ", "))
			}
		}
		b.WriteString("\n")
	}
	if names := s.FeedNames(); len(names) > 0 {
		fmt.Fprintf(b, "  where feeds differ, the first that says something wins: %s\n", strings.Join(names, ", "))
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// meanings of the kinds of stats.
var meanings = map[string]string{
	KindTotal: "a value is the day's total as known now, and replaces the one before",
	KindHour:  "a value is an hour's total as known now; the day is the sum of its hours",
	KindCount: "a value is added, once for each event",
}

func (s *Source) explainStats(b *strings.Builder) {
	fmt.Fprintf(b, "\nStats, of kind %s: %s\n", s.Stats.Kind, meanings[s.Stats.Kind])
	if s.Stats.Absent == AbsentZero {
		b.WriteString("  what is absent from an answer that has others of its object and day is zero\n")
	}
	found := false
	for _, t := range s.types {
		for _, r := range t.stats {
			found = true
			fmt.Fprintf(b, "  %s\n", strings.Join(statParts(t, r), ", "))
		}
	}
	if !found {
		b.WriteString("  none\n")
	}
}

func statParts(t *Type, r *StatRule) []string {
	parts := []string{t.Name + ": day " + r.Day}
	if r.Rule != "" {
		parts[0] = t.Name + " (" + r.Rule + "): day " + r.Day
	}
	if r.Hour != "" {
		parts = append(parts, "hour "+r.Hour)
	}
	if r.ID != "" {
		parts = append(parts, "an event is known by "+r.ID)
	}
	if len(r.Dimensions) > 0 {
		parts = append(parts, "by "+strings.Join(r.Dimensions, " and "))
	}
	if r.Metrics.All {
		return append(parts, "every other field with a number is a metric")
	}
	return append(parts, "metrics "+strings.Join(r.Metrics.Names, ", "))
}

func (s *Source) explainTags(b *strings.Builder) {
	b.WriteString("\nTags\n")
	for _, tag := range sortedKeys(s.Tags) {
		fmt.Fprintf(b, "  %s, of %s: %s\n", tag, strings.Join(s.tagged(tag), ", "), s.Tags[tag])
	}
	if len(s.Tags) == 0 {
		b.WriteString("  none\n")
	}
	for _, host := range sortedKeys(s.Lookups) {
		fmt.Fprintf(b, "  asks %s\n", s.Lookups[host].explain(host))
	}
}

// tagged returns the types that a tag applies to.
func (s *Source) tagged(tag string) []string {
	var names []string
	for _, t := range s.types {
		of := s.annotators[t.Name]
		if of != nil && slices.ContainsFunc(of.list, func(a *annotator) bool { return a.tag == tag }) {
			names = append(names, t.Name)
		}
	}
	return names
}

func (s *Source) explainDocuments(b *strings.Builder) {
	fmt.Fprintf(b, "\nDocuments, in the collection %s\n", s.Name)
	for _, t := range s.types {
		fmt.Fprintf(b, "  %s: %s\n", t.Name, s.document(t))
	}
	if len(s.Rollup.NotSummed) > 0 {
		fmt.Fprintf(b, "  not added up in parents: %s\n", strings.Join(s.Rollup.NotSummed, ", "))
	}
}

// document says what documents an object of type t has.
func (s *Source) document(t *Type) string {
	if !t.RollsUp {
		return "one for each, without days"
	}
	parts := []string{"one for each and half-year, by day"}
	if s.Rollup.Hours {
		parts[0] += " and hour"
	}
	for _, d := range s.Rollup.Dimensions {
		parts = append(parts, "by "+d)
	}
	text := strings.Join(parts, ", ")
	if !t.HasStats {
		text += "; the sums of what is below it"
	}
	return text
}
