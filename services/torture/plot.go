package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sizes of the picture, in pixels.
const (
	plotWidth  = 760
	plotLeft   = 60
	plotRight  = 110
	panel      = 180
	panelPitch = 230
)

// The colours are read on white and on black.
const plotHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" font-family="system-ui, sans-serif" font-size="12">
<style>
text { fill: #24292f } .axis { stroke: #8c959f } polyline { fill: none; stroke-width: 1.2 }
.fetch { stroke: #1f6feb } .delta { stroke: #1a7f37 } .annotate { stroke: #9a6700 } .rollup { stroke: #cf222e }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .fetch { stroke: #4493f8 } .delta { stroke: #3fb950 } .annotate { stroke: #d29922 } .rollup { stroke: #f85149 } }
</style>
`

// plotSamples draws memory and goroutines over time, a line for each worker.
func plotSamples(samples []sample) string {
	var b strings.Builder
	fmt.Fprintf(&b, plotHead, plotWidth, 2*panelPitch)
	drawPanel(&b, 0, "memory of each worker, MB", samples, func(s sample) float64 { return s.resident })
	drawPanel(&b, panelPitch, "goroutines of each worker", samples, func(s sample) float64 { return s.goroutines })
	return b.String() + "</svg>\n"
}

func drawPanel(b *strings.Builder, top int, title string, samples []sample, of func(sample) float64) {
	lines := map[string][]sample{}
	var longest, most float64
	for _, s := range samples {
		lines[s.worker] = append(lines[s.worker], s)
		longest, most = max(longest, s.seconds), max(most, of(s))
	}
	if len(lines) == 0 {
		return
	}
	bottom := float64(top + 30 + panel)
	x := func(seconds float64) float64 {
		return plotLeft + (plotWidth-plotLeft-plotRight)*seconds/longest
	}
	y := func(value float64) float64 { return bottom - panel*value/most }
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", plotLeft, top+20, title)
	fmt.Fprintf(b, `<path class="axis" d="M%d %d V%.0f H%d" fill="none"/>`+"\n", plotLeft, top+30, bottom, plotWidth-plotRight)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%.0f</text><text x="%d" y="%.0f" text-anchor="end">0</text>`+"\n", plotLeft-6, top+36, most, plotLeft-6, bottom)
	fmt.Fprintf(b, `<text x="%d" y="%.0f" text-anchor="end">%.0f minutes</text>`+"\n", plotWidth-plotRight, bottom+14, longest/60)
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		stage, _, _ := strings.Cut(name, "-")
		var points strings.Builder
		for _, s := range lines[name] {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(s.seconds), y(of(s)))
		}
		fmt.Fprintf(b, `<polyline class="%s" points="%s"/>`+"\n", stage, strings.TrimSpace(points.String()))
	}
	for i, stage := range stages {
		at := top + 46 + 18*i
		fmt.Fprintf(b, `<path class="%s" d="M%d %d h20" stroke-width="2"/><text x="%d" y="%d">%s</text>`+"\n", stage, plotWidth-plotRight+10, at-4, plotWidth-plotRight+34, at, stage)
	}
}
