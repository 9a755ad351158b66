package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A process is a program that the benchmark started.
type process struct {
	name   string
	listen string // where it serves HTTP, if it does
	cmd    *exec.Cmd
	log    *os.File
	ended  chan struct{}
	err    error // how it ended
}

// start starts a program whose output goes to a file of the folder.
func start(folder, name string, env []string, path string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(folder, name+".log"))
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(path, args...), log: log, ended: make(chan struct{})} //nolint:noctx // it is told to stop before it is killed
	p.cmd.Dir, p.cmd.Env = folder, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a benchmark that dies leaves nobody behind
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// wait waits until the process has ended by itself.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return p.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failure says how the process ended, with its last words.
func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	said, _ := os.ReadFile(p.log.Name()) // the error is about the process
	return fmt.Errorf("%s: %w: %s", p.name, p.err, said[max(0, len(said)-2000):])
}

const stopLimit = 30 * time.Second

// stop tells the process to end, waits, and kills it when it does not.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return errors.Join(p.failure(), p.log.Close())
}

func stopAll(all []*process) error {
	failed := make([]error, len(all))
	done := make(chan struct{})
	for i, p := range all {
		go func() {
			failed[i] = p.stop()
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
	return errors.Join(failed...)
}

// awaitListener waits until the process takes connections.
func (p *process) awaitListener(ctx context.Context) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.listen)
		if err == nil {
			return conn.Close()
		}
		if err := p.pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, but not for a process that has ended.
func (p *process) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ended:
		return fmt.Errorf("%s ended: %w", p.name, errors.Join(p.failure(), errors.New("it should go on")))
	case <-time.After(d):
		return nil
	}
}

// stageOf is the name without the number: delta of delta-2.
func stageOf(name string) string {
	stage, _, _ := strings.Cut(name, "-")
	return stage
}
