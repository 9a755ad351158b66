package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Usage is seconds of the processors, by who spent them: stages, floor, rows,
// source, rabbitmq, postgres, documents.
type usage map[string]float64

func (u usage) minus(before usage) usage {
	d := usage{}
	for name, s := range u {
		d[name] = rounded(s-before[name], ticks)
	}
	return d
}

func (u usage) total() (sum float64) {
	for _, s := range u {
		sum += s
	}
	return sum
}

// A proc is a process as the kernel describes it.
type proc struct {
	pid, parent   int
	comm          string
	title         string  // its command line
	own, children float64 // seconds; of those children that have ended
}

// usageNow adds up what all processes of interest have spent since they began.
// A process of the servers that has ended is in what its parent spent.
func usageNow(database string, started ...*process) (usage, error) {
	all, err := readProcs("/proc")
	if err != nil {
		return nil, err
	}
	return usageOf(all, database, namesOf(started)), nil
}

func namesOf(started []*process) map[int]string {
	names := map[int]string{}
	for _, p := range started {
		names[p.cmd.Process.Pid] = stageOf(p.name)
	}
	return names
}

func usageOf(all []proc, database string, names map[int]string) usage {
	u := usage{}
	clusters := clustersOf(all, database)
	for _, p := range all {
		switch {
		case names[p.pid] != "":
			u[names[p.pid]] += p.own
		case p.comm == "beam.smp":
			u["rabbitmq"] += p.own + p.children
		case documentServers[p.comm]:
			u["documents"] += p.own
		case clusters[p.pid] != "":
			u[clusters[p.pid]] += p.own + p.children
		case clusters[p.parent] != "":
			u[clusters[p.parent]] += p.own
		}
	}
	return u
}

// documentServers are MongoDB, and what stands in for it in development.
var documentServers = map[string]bool{"mongod": true, "ferretdb": true, "documentdb": true}

// clustersOf tells the PostgreSQL that holds the database from the one below the
// document server, by the titles of what runs in them.
func clustersOf(all []proc, database string) map[int]string {
	clusters := map[int]string{}
	for _, p := range all {
		title, ok := strings.CutPrefix(p.title, "postgres: ")
		switch {
		case !ok:
		case strings.Contains(title, " "+database+" "):
			clusters[p.parent] = "postgres"
		case strings.Contains(title, "documentdb") && clusters[p.parent] == "":
			clusters[p.parent] = "documents"
		}
	}
	return clusters
}

func readProcs(root string) ([]proc, error) {
	folders, err := filepath.Glob(filepath.Join(root, "[0-9]*"))
	if err != nil {
		return nil, err
	}
	var all []proc
	for _, folder := range folders {
		stat, err := os.ReadFile(filepath.Join(folder, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		p, err := parseStat(string(stat))
		if err != nil {
			return nil, err
		}
		title, _ := os.ReadFile(filepath.Join(folder, "cmdline")) // of one that has ended: none
		p.title = strings.ReplaceAll(string(title), "\x00", " ")
		all = append(all, p)
	}
	return all, nil
}

const ticks = 100 // a second, as the kernel shows them on all machines

// parseStat reads /proc/PID/stat.
func parseStat(text string) (p proc, err error) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return p, fmt.Errorf("%.60q is not what /proc/PID/stat looks like", text)
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 15 {
		return p, fmt.Errorf("%.60q has too few fields", text)
	}
	numbers := make([]int, 0, 6)
	for _, field := range slices.Concat([]string{strings.TrimSpace(text[:open])}, fields[1:2], fields[11:15]) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return p, err
		}
		numbers = append(numbers, n)
	}
	p.pid, p.parent, p.comm = numbers[0], numbers[1], text[open+1:end]
	p.own, p.children = float64(numbers[2]+numbers[3])/ticks, float64(numbers[4]+numbers[5])/ticks
	return p, nil
}

// forgetPeak has the peak begin anew, where the kernel can do that.
func (p *process) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0) // else it is that of all runs so far
}

// peak returns the most memory that the process has held, in MB.
func (p *process) peak() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return peakOf(string(status))
}

func peakOf(status string) (float64, error) {
	for line := range strings.Lines(status) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
			return float64(kib) / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in %.60q", status)
}

// peaks returns the peak of each process, by name.
func peaks(all []*process) (map[string]float64, error) {
	found := map[string]float64{}
	for _, p := range all {
		mb, err := p.peak()
		if err != nil {
			return nil, err
		}
		found[p.name] = rounded(mb, 10)
	}
	return found, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
