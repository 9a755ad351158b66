package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A stack is the servers of a scripts/stack, which are ours to break.
type stack struct{ script, run string }

func newStack(script string) *stack {
	return &stack{script, filepath.Join(os.Getenv("LEAT_STACK_DIR"), "run")}
}

func (s *stack) call(args ...string) error {
	out, err := exec.Command(s.script, args...).CombinedOutput() //nolint:noctx // a server that is half up helps nobody
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", s.script, args, err, out)
	}
	return nil
}

// signal sends a signal to all processes of a server.
func (s *stack) signal(server string, sig syscall.Signal) error {
	var pids []int
	for _, name := range map[string][]string{"rabbitmq": {"rabbitmq"}, "postgres": {"postgres"}, "mongodb": {"ferretdb", "documentdb"}}[server] {
		text, err := os.ReadFile(filepath.Join(s.run, name+".pid"))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.Fields(string(text))[0])
		if err != nil {
			return err
		}
		pids = append(pids, pid)
	}
	for _, pid := range withChildren(pids) {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s, pid %d: %w", server, pid, err)
		}
	}
	return nil
}

// withChildren returns processes with all that descend from them.
func withChildren(pids []int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}
