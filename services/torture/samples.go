package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A sample is what a worker takes up at a moment.
type sample struct {
	seconds    float64
	worker     string
	resident   float64 // MB
	goroutines float64
}

const sampleEvery = 10 * time.Second

// sampling asks the workers what they take up, until ctx ends, and keeps it in
// the file that the plan names, with a picture beside it.
func (h *harness) sampling(ctx context.Context) error {
	var all []sample
	for pause(ctx, sampleEvery); ctx.Err() == nil; pause(ctx, sampleEvery) {
		for _, w := range h.workers {
			s := sample{seconds: time.Since(h.began).Seconds(), worker: w.name}
			if s.read(ctx, w.http) == nil { // one that just died has nothing to say
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		return errors.New("no worker said what it takes up")
	}
	var csv strings.Builder
	csv.WriteString("seconds,worker,resident_mb,goroutines\n")
	for _, s := range all {
		fmt.Fprintf(&csv, "%.0f,%s,%.1f,%.0f\n", s.seconds, s.worker, s.resident, s.goroutines)
	}
	if err := os.WriteFile(h.samples, []byte(csv.String()), 0o644); err != nil { //nolint:gosec // figures for all to read
		return err
	}
	return os.WriteFile(strings.TrimSuffix(h.samples, ".csv")+".svg", []byte(plotSamples(all)), 0o644) //nolint:gosec // as above
}

// read takes a sample from a worker's page of metrics.
func (s *sample) read(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		line := lines.Text() // go_goroutines{service="leat-delta"} 22
		name := line[:max(strings.IndexAny(line, "{ "), 0)]
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		switch {
		case err != nil:
		case name == "go_goroutines":
			s.goroutines = value
		case name == "process_resident_memory_bytes":
			s.resident = value / (1 << 20)
		}
	}
	if s.resident == 0 || s.goroutines == 0 {
		return fmt.Errorf("%s: no memory or no goroutines among the metrics", address)
	}
	return nil
}
