package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// The short form of scripts/torture, with the faults that harm nobody else who
// uses the servers: processes, connections, queues of its own.
func TestShort(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-tags", "torture", "-o", bin,
		"../cmd/leat-fetch", "../cmd/leat-delta", "../cmd/leat-annotate", "../cmd/leat-rollup")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var out bytes.Buffer
	err := run(t.Context(), plan{seed: 1, minutes: 10, faults: 50, round: 25, each: 2, bin: bin, sources: "../../config/sources"}, &out)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
}

// A stat that is lost, one that is doubled, and one with another number are
// each told.
func TestDifferences(t *testing.T) {
	same := []string{"stat [1]", "stat [2]", "stat [3]"}
	tests := []struct {
		name string
		got  []string
		want string
	}{
		{"nothing", []string{"stat [3]", "stat [1]", "stat [2]"}, ""},
		{"one is lost", same[:2], "should: stat [3]"},
		{"one is too much", append(same[:3:3], "stat [4]"), "is:     stat [4]"},
		{"one is twice", append(same[:3:3], "stat [3]"), "is:     stat [3]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := differences(tt.got, same)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Nothing of the points is in a worker that is built as users build it.
func TestPointsAreOnlyInTorture(t *testing.T) {
	for _, tt := range []struct {
		tags string
		want bool
	}{{"", false}, {"torture", true}} {
		path := t.TempDir() + "/leat-delta"
		if out, err := exec.Command("go", "build", "-tags", tt.tags, "-o", path, "../cmd/leat-delta").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		found := exec.Command("grep", "-q", "LEAT_TORTURE", path).Run() == nil
		if found != tt.want {
			t.Errorf("with the tag %q: LEAT_TORTURE in the program: %v", tt.tags, found)
		}
	}
}
