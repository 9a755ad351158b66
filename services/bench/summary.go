package main

import (
	"slices"
)

// Results are what the program measured: the JSON file.
type results struct {
	Machine machine   `json:"machine"`
	Size    string    `json:"size"`
	Rounds  int       `json:"rounds"`
	Medians []summary `json:"medians"`
	Latency []latency `json:"latency,omitempty"`
	Scale   []scaled  `json:"scale,omitempty"`
	Lookups []asking  `json:"lookups,omitempty"`
	Growth  []grown   `json:"growth,omitempty"`
	Runs    []run     `json:"runs"`
}

// A summary is all rounds of one contestant doing one thing.
type summary struct {
	Contestant string             `json:"contestant"`
	Scenario   string             `json:"scenario"`
	Seconds    float64            `json:"seconds"` // the median, as all others here
	Least      float64            `json:"least"`
	Most       float64            `json:"most"`
	Speed      float64            `json:"speed,omitempty"` // as a share of the floor's
	PerSecond  float64            `json:"rows_per_second,omitempty"`
	CPU        usage              `json:"cpu_seconds"`
	Peak       map[string]float64 `json:"peak_mb"` // the most of all rounds, by process
	Documents  int64              `json:"documents_written"`
	Servers    *serverCounts      `json:"servers,omitempty"`
}

// summarize makes a summary of each contestant and scenario, in the order in
// which they were first run.
func summarize(runs []run) []summary {
	var all []summary
	for i, r := range runs {
		if !slices.ContainsFunc(runs[:i], r.like) {
			all = append(all, summaryOf(r, runs))
		}
	}
	for i := range all {
		j := slices.IndexFunc(all, func(s summary) bool { return s.Contestant == "floor" && s.Scenario == all[i].Scenario })
		if j >= 0 && all[i].Contestant != "floor" {
			all[i].Speed = rounded(all[j].Seconds/all[i].Seconds, 1000)
		}
	}
	return all
}

// like reports whether another run did the same.
func (r run) like(other run) bool {
	return r.Contestant == other.Contestant && r.Scenario == other.Scenario
}

func summaryOf(first run, runs []run) summary {
	s := summary{
		Contestant: first.Contestant, Scenario: first.Scenario, Servers: first.Servers, Documents: first.Documents,
		CPU: usage{}, Peak: map[string]float64{},
	}
	var seconds []float64
	used := map[string][]float64{}
	for _, r := range runs {
		if !r.like(first) {
			continue
		}
		seconds = append(seconds, r.Seconds)
		for name, u := range r.CPU {
			used[name] = append(used[name], u)
		}
		for name, mb := range r.Peak {
			s.Peak[name] = max(s.Peak[name], mb)
		}
	}
	for name, list := range used {
		s.CPU[name] = rounded(quantile(list, 0.5), ticks)
	}
	s.Seconds, s.Least, s.Most = rounded(quantile(seconds, 0.5), 1000), slices.Min(seconds), slices.Max(seconds)
	if first.Rows > 0 {
		s.PerSecond = rounded(float64(first.Rows)/s.Seconds, 1)
	}
	return s
}

// quantile returns the value that a share of all does not exceed; of an even
// number of values the median is the mean of two.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := share * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}
