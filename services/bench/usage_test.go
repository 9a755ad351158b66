package main

import (
	"maps"
	"testing"
)

func TestParseStat(t *testing.T) {
	p, err := parseStat("42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 1000 25 20 0 1 0 5 6 7\n")
	if want := (proc{pid: 42, parent: 7, comm: "a (b) c", own: 2, children: 10.25}); err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	for _, broken := range []string{"", "42 sleep S 7", "42 (sleep) S 7 1", "42 (sleep) S x 42 42 0 -1 0 1 2 3 4 150 50 1000 25"} {
		if _, err := parseStat(broken); err == nil {
			t.Errorf("%q is taken for a process", broken)
		}
	}
}

func TestPeakOf(t *testing.T) {
	if mb, err := peakOf("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"); err != nil || mb != 2 {
		t.Errorf("got %v, %v, want 2", mb, err)
	}
	if _, err := peakOf("Name:\tx\n"); err == nil {
		t.Error("no peak is taken for one")
	}
}

// Two PostgreSQLs run: the one with the database, and the one below the document
// server. What has ended in them is in what their first process spent.
func TestUsageOf(t *testing.T) {
	all := []proc{
		{pid: 1, comm: "init", own: 100},
		{pid: 10, comm: "postgres", title: "/usr/bin/postgres -D a", own: 1, children: 2},
		{pid: 11, parent: 10, comm: "postgres", title: "postgres: leat leat_bench_x 127.0.0.1(5) idle", own: 4},
		{pid: 12, parent: 10, comm: "postgres", title: "postgres: walwriter ", own: 8},
		{pid: 20, comm: "postgres", title: "/usr/bin/postgres -D b", own: 16},
		{pid: 21, parent: 20, comm: "postgres", title: "postgres: documentdb bg worker leader ", own: 32},
		{pid: 30, comm: "documentdb", own: 64},
		{pid: 40, comm: "beam.smp", own: 3, children: 4},
		{pid: 50, comm: "leat-delta", own: 5},
		{pid: 51, comm: "leat-delta", own: 6},
		{pid: 52, comm: "leat-delta", own: 7}, // another's
		{pid: 60, comm: "postgres", title: "/usr/bin/postgres -D c", own: 9},
	}
	got := usageOf(all, "leat_bench_x", map[int]string{50: "delta", 51: "delta"})
	want := usage{"postgres": 15, "documents": 112, "rabbitmq": 7, "delta": 11}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUsageMinus(t *testing.T) {
	got := usage{"delta": 3, "floor": 1}.minus(usage{"delta": 1})
	if !maps.Equal(got, usage{"delta": 2, "floor": 1}) || got.total() != 3 {
		t.Errorf("got %v", got)
	}
}
