package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// String is one line about a run, for who waits.
func (r run) String() string {
	return fmt.Sprintf("%d  %-7s %-13s %7.2f s  %6d documents  CPU %s  MB %s",
		r.Round, r.Contestant, r.Scenario, r.Seconds, r.Documents, r.CPU, peakText(r.Peak))
}

// String lists who spent how many seconds, and all together.
func (u usage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.2f s:", u.total())
	for _, name := range sortedKeys(u) {
		if u[name] >= 0.005 {
			fmt.Fprintf(&b, " %s %.2f", name, u[name])
		}
	}
	return b.String()
}

func peakText(peak map[string]float64) string {
	var total float64
	names := make([]string, 0, len(peak))
	for _, name := range sortedKeys(peak) {
		total += peak[name]
		names = append(names, fmt.Sprintf("%s %.0f", name, peak[name]))
	}
	return fmt.Sprintf("%.0f: %s", total, strings.Join(names, " "))
}

// finish shows the results, and writes them if a file is named.
func (b *bench) finish() error {
	r := &b.results
	r.Size, r.Rounds, r.Medians = b.size, b.rounds, summarize(r.Runs)
	r.table(os.Stdout)
	if b.out == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	picture, ok := strings.CutSuffix(b.out, ".json")
	if !ok {
		return fmt.Errorf("out: %s does not end in .json", b.out)
	}
	return errors.Join(
		os.WriteFile(b.out, append(text, '\n'), 0o644),        //nolint:gosec // for all to read
		os.WriteFile(picture+".svg", []byte(r.plot()), 0o644)) //nolint:gosec // for all to read
}

// table writes the medians for people.
func (r *results) table(to io.Writer) {
	m := r.Machine
	fmt.Fprintf(to, "\n%d × %s, %.0f GB; PostgreSQL %s, RabbitMQ %s, %s, %s; a report of %s, medians of %d\n\n",
		m.Cores, m.Processor, m.MemoryGB, m.Postgres, m.RabbitMQ, m.Documents, m.Go, r.Size, r.Rounds)
	r.summaries(to)
	for _, l := range r.Latency {
		fmt.Fprintln(to, l)
	}
	for _, s := range r.Scale {
		fmt.Fprintln(to, s)
	}
	for _, a := range r.Lookups {
		fmt.Fprintln(to, a)
	}
	for _, g := range r.Growth {
		fmt.Fprintln(to, g)
	}
}

// summaries writes a row for each, and below what does not fit into it.
func (r *results) summaries(to io.Writer) {
	if len(r.Medians) == 0 {
		return
	}
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tseconds\tleast–most\tspeed, floor = 1\trows/s\tdocuments written\tCPU seconds\tpeak MB\tmost in one")
	for _, s := range r.Medians {
		speed := "–"
		if s.Speed > 0 {
			speed = fmt.Sprintf("%.2f", s.Speed)
		}
		total, most := sumAndMost(s.Peak)
		fmt.Fprintf(t, "%s, %s\t%.2f\t%.2f–%.2f\t%s\t%.0f\t%d\t%.1f\t%.0f\t%.0f\n",
			s.Contestant, s.Scenario, s.Seconds, s.Least, s.Most, speed, s.PerSecond, s.Documents, s.CPU.total(), total, most)
	}
	_ = t.Flush() // to where the rest went
	fmt.Fprintln(to, "\nCPU seconds; peak MB; done at the servers")
	for _, s := range r.Medians {
		fmt.Fprintf(to, "%s, %s: %s; %s", s.Contestant, s.Scenario, s.CPU, peakText(s.Peak))
		if s.Servers != nil {
			fmt.Fprintf(to, "; PostgreSQL %s; messages %s", countText(s.Servers.Postgres), countText(s.Servers.Messages))
		}
		fmt.Fprintln(to)
	}
}

func sumAndMost(peak map[string]float64) (sum, most float64) {
	for _, mb := range peak {
		sum, most = sum+mb, max(most, mb)
	}
	return sum, most
}

func countText(counts map[string]int64) string {
	parts := make([]string, 0, len(counts))
	if len(counts) == 0 {
		return "none"
	}
	for _, name := range sortedKeys(counts) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
