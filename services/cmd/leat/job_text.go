package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leatflow/leat/services/client"
)

// showJob writes a job for a person.
func showJob(w io.Writer, j client.Job) {
	rows := []string{
		"job\t" + j.ID,
		"source\t" + j.Source,
		"state\t" + j.Standing(),
		"asked\t" + string(j.Params),
		"created\t" + at(&j.CreatedAt),
		"started\t" + at(j.StartedAt),
		"finished\t" + at(j.FinishedAt),
		"took\t" + took(j.JobRow),
	}
	for name, text := range map[string]string{"error": j.Error, "note": j.Note, "sender's id": j.SenderID, "parent": j.ParentID} {
		if text != "" {
			rows = append(rows, name+"\t"+text)
		}
	}
	slices.Sort(rows[8:])
	table(w, rows...)
	showProgress(w, j.Progress)
	showSlices(w, j.Progress.Slices)
	showCounts(w, j.Counts)
	showPhases(w, j)
	if j.Rejects.Count > 0 {
		fmt.Fprintf(w, "\n%d records were refused (leat rejects %s shows them)\n", j.Rejects.Count, j.ID)
		showReasons(w, j.Rejects)
	}
	showDeadLetters(w, j)
	showWaiting(w, j)
}

func showProgress(w io.Writer, p client.Progress) {
	fmt.Fprintln(w)
	table(w,
		"slices\t"+slicesLine(p.Slices),
		fmt.Sprintf("answers\t%d fetched, %s", p.Answers.Fetched, size(p.Answers.Bytes)),
		fmt.Sprintf("parts\t%d fetched, %d done by delta", p.Parts.Fetched, p.Parts.Done),
		fmt.Sprintf("changes\t%d messages annotated, %d marked by rollup", p.Annotated, p.Marked),
		fmt.Sprintf("documents\t%d written, those of %d objects waiting", p.Documents.Written, p.Documents.Waiting),
		fmt.Sprintf("messages\t%d known, %d done, %d dead", p.Messages.Known, p.Messages.Done, p.Messages.Dead))
}

// slicesLine says how many slices are done, and what became of the others.
func slicesLine(s client.Slices) string {
	texts := []string{fmt.Sprintf("%d of %d done", s.Done, s.Planned)}
	for _, some := range []struct {
		n    int64
		what string
	}{{s.Waiting, "waiting"}, {s.Cancelled, "cancelled"}, {s.Dead, "dead"}} {
		if some.n > 0 {
			texts = append(texts, fmt.Sprint(some.n, " ", some.what))
		}
	}
	return strings.Join(texts, ", ")
}

// fewSlices is how many slices that are not done are shown.
const fewSlices = 10

func showSlices(w io.Writer, s client.Slices) {
	if len(s.Rest) == 0 {
		return
	}
	rows := []string{"SLICE NOT DONE\tACCOUNT\tDAYS\tWHY"}
	for _, one := range s.Rest[:min(fewSlices, len(s.Rest))] {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", one.State, dash(one.Account), dash(days(one)), short(one.Error)))
	}
	fmt.Fprintln(w)
	table(w, rows...)
	if more := s.Planned - s.Done - fewSlices; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
}

// days are those of a slice, which has none where it asks for all.
func days(s client.Slice) string {
	if s.From == s.To {
		return s.From
	}
	return s.From + " to " + s.To
}

// showCounts writes the counts that are not zero.
func showCounts(w io.Writer, counts client.Counts) {
	var rows []string
	for _, thing := range slices.Sorted(maps.Keys(counts)) {
		var some []string
		for _, name := range slices.Sorted(maps.Keys(counts[thing])) {
			if n := counts[thing][name]; n != 0 {
				some = append(some, fmt.Sprintf("%d %s", n, name))
			}
		}
		if len(some) > 0 {
			rows = append(rows, thing+"\t"+strings.Join(some, ", "))
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		table(w, append([]string{"THING\tCOUNTS"}, rows...)...)
	}
}

func showPhases(w io.Writer, j client.Job) {
	rows := []string{"PHASE\tMESSAGES\tFIRST DONE\tLAST DONE"}
	for _, name := range client.Stages {
		if p := j.Phases[name]; p.Messages > 0 {
			rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t%s", name, p.Messages, clock(p.First), clock(p.Last)))
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, rows...)
	}
}

func showDeadLetters(w io.Writer, j client.Job) {
	if len(j.DeadLetters) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%d messages were given up (leat dead list --job %s shows them, leat dead replay --job %s sends them back)\n", j.Progress.Messages.Dead, j.ID, j.ID)
	rows := []string{"STAGE\tMESSAGE\tDIED\tCLASS\tATTEMPTS\tREASON"}
	for _, d := range j.DeadLetters {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s", d.Stage, d.MessageID, at(&d.DiedAt), d.Class, d.Attempts, d.Error))
	}
	table(w, rows...)
}

func showWaiting(w io.Writer, j client.Job) {
	if len(j.Waiting) == 0 || !j.Open() {
		return
	}
	fmt.Fprintln(w, "\nwhat waits, and is tried again:")
	rows := []string{"STAGE\tMESSAGE\tSINCE\tCLASS\tATTEMPTS\tREASON"}
	for _, m := range j.Waiting {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s", m.Stage, m.MessageID, at(&m.Since), m.Class, m.Attempts, m.Error))
	}
	table(w, rows...)
}

func at(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("15:04:05.000")
}

// took says how long a job has been at work.
func took(j client.JobRow) string {
	switch {
	case j.StartedAt == nil:
		return "-"
	case j.FinishedAt == nil:
		return time.Since(*j.StartedAt).Round(time.Second).String() + " so far"
	}
	return j.FinishedAt.Sub(*j.StartedAt).Round(time.Millisecond).String()
}

// short cuts a text to what a column bears.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 100 {
		return string(r[:99]) + "…"
	}
	return text
}

func size(bytes int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	n, i := float64(bytes), 0
	for n >= 1024 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d %s", bytes, units[0])
	}
	return fmt.Sprintf("%.1f %s", n, units[i])
}
