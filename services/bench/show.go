package main

import (
	"fmt"
	"strings"
)

// String is one line about a run, for who waits.
func (r run) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d  %-8s %-14s %7.2f s  documents %-6d cpu %.2f:", r.Round, r.Contestant, r.Scenario, r.Seconds, r.Documents, r.CPU.total())
	for _, name := range sortedKeys(r.CPU) {
		if s := r.CPU[name]; s >= 0.01 {
			fmt.Fprintf(&b, " %s %.2f", name, s)
		}
	}
	b.WriteString("  MB:")
	for _, name := range sortedKeys(r.Peak) {
		fmt.Fprintf(&b, " %s %.0f", name, r.Peak[name])
	}
	return b.String()
}
