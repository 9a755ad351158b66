package main

import (
	"fmt"
	"html"
	"strings"
)

// Sizes of the plot, in pixels.
const (
	plotWidth = 760
	barsLeft  = 110
	barsWidth = 410
	barHeight = 16
	barPitch  = 22
	groupGap  = 34
)

// The colours are read on white and on black: a plot in a README is shown on either.
const plotHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" font-family="system-ui, sans-serif" font-size="13">
<style>
text { fill: #24292f } .faint { fill: #57606a } .floor { fill: #8c959f } .leat { fill: #1f6feb } .range { stroke: #24292f }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .faint { fill: #9198a1 } .floor { fill: #7d8590 } .leat { fill: #4493f8 } .range { stroke: #e6edf3 } }
</style>
`

// plot draws the seconds of the floor and of Leat as bars, a group for each
// scenario, with a line from the least to the most.
func (r *results) plot() string {
	var b strings.Builder
	groups, longest := r.groups()
	y := 24
	text(&b, 0, y, "", fmt.Sprintf("Seconds for a report of %s: less is better; the line is from the least to the most of %d", r.Size, r.Rounds))
	for _, g := range groups {
		y += groupGap
		text(&b, 0, y, "", scenarioTitle(g[0].Scenario))
		for _, s := range g {
			y += barPitch
			s.bar(&b, y, longest)
		}
	}
	y += groupGap
	m := r.Machine
	text(&b, 0, y, "faint", fmt.Sprintf("%d × %s, PostgreSQL %s, RabbitMQ %s, %s", m.Cores, m.Processor, m.Postgres, m.RabbitMQ, m.Documents))
	return fmt.Sprintf(plotHead, plotWidth, y+12) + b.String() + "</svg>\n"
}

// groups are the summaries that are drawn, by scenario, and the longest time.
func (r *results) groups() (groups [][]summary, longest float64) {
	place := map[string]int{}
	for _, s := range r.Medians {
		if s.class() == "" || s.Scenario == "load "+memorySize {
			continue
		}
		i, ok := place[s.Scenario]
		if !ok {
			i = len(groups)
			place[s.Scenario] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], s)
		longest = max(longest, s.Most)
	}
	return groups, longest
}

// class is how the bar looks; nothing for what is not drawn.
func (s summary) class() string {
	switch {
	case s.Contestant == "floor":
		return "floor"
	case strings.HasPrefix(s.Contestant, "leat-"):
		return "leat"
	}
	return ""
}

func scenarioTitle(name string) string {
	share, changed := strings.CutPrefix(name, "changed ")
	switch {
	case changed:
		return "again, a share of " + share + " changed"
	case name == "load":
		return "first load"
	}
	return "the same report again"
}

func contestantTitle(name string) string {
	if n, ok := strings.CutPrefix(name, "leat-"); ok {
		return "Leat, " + n + " each"
	}
	return name
}

// bar draws one bar whose text stands on the line y.
func (s summary) bar(b *strings.Builder, y int, longest float64) {
	at := func(seconds float64) float64 { return barsLeft + barsWidth*seconds/longest }
	middle := y - barHeight/4
	text(b, 8, y, "", contestantTitle(s.Contestant))
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`+"\n", s.class(), barsLeft, y-barHeight*3/4, at(s.Seconds)-barsLeft, barHeight)
	fmt.Fprintf(b, `<line class="range" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", at(s.Least), middle, at(s.Most), middle)
	label := fmt.Sprintf("%.2f s", s.Seconds)
	if s.Speed > 0 {
		label += fmt.Sprintf(" (%.2f of the floor's speed)", s.Speed)
	}
	text(b, int(at(s.Most))+6, y, "faint", label)
}

func text(b *strings.Builder, x, y int, class, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%d" y="%d">%s</text>`+"\n", class, x, y, html.EscapeString(s))
}
