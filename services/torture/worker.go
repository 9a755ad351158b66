package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/leatflow/leat/services/lab"
)

var stages = []string{"fetch", "delta", "annotate", "rollup"}

// A worker is a process of a stage, started again whenever it ends, with ways of
// its own to the servers.
type worker struct {
	stage, name string
	path        string
	env         []string
	log         *os.File
	http        string // where it says what it takes up; "off": nowhere
	links       map[string]link

	mu      sync.Mutex
	cmd     *exec.Cmd
	armed   string // LEAT_TORTURE of the next life
	ended   chan struct{}
	stopped bool
	over    chan struct{}

	Deaths  int      // by a signal
	Unasked []string // ends by itself, which no fault explains
}

// newWorker prepares a worker of a lab whose environment is env. Direct workers
// have no proxies.
func (h *harness) newWorker(stage string, n int, folder string, env []string) (*worker, error) {
	w := &worker{
		stage: stage, name: fmt.Sprintf("%s-%d", stage, n), path: filepath.Join(h.folderOf(n), "leat-"+stage),
		env: append(os.Environ(), env...), over: make(chan struct{}),
	}
	w.http = "off"
	if h.samples != "" {
		var err error
		if w.http, err = lab.FreeAddress(); err != nil {
			return nil, err
		}
	}
	w.env = append(w.env, "LEAT_HTTP_LISTEN="+w.http, "LEAT_LOG_LEVEL=warn", "LEAT_ROLLUP_WITHIN=2s",
		"LEAT_FETCH_MAX_ATTEMPTS=50") // sources that lie cost attempts, and more of them than in life
	var err error
	w.log, err = os.OpenFile(filepath.Join(folder, w.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return w, err
}

// folderOf is where the n-th worker of a stage comes from. The one alone, which
// sees no faults, is of this version.
func (h *harness) folderOf(n int) string {
	if h.before != "" && n > 0 && n%2 == 0 {
		return h.before
	}
	return h.bin
}

// proxied gives the worker ways of its own to the servers.
func (w *worker) proxied(rabbit, postgres, mongo string) error {
	w.links = map[string]link{}
	for _, way := range []struct{ to, variable, address string }{
		{"rabbitmq", "LEAT_RABBITMQ_URL", rabbit}, {"postgres", "LEAT_POSTGRES_URL", postgres}, {"mongodb", "LEAT_MONGODB_URL", mongo},
	} {
		l, through, err := newLink(way.to, way.address)
		if err != nil {
			return err
		}
		w.links[way.to] = l
		w.env = append(w.env, way.variable+"="+through)
	}
	return nil
}

// run keeps the process running until stop.
func (w *worker) run() error {
	if err := w.begin(); err != nil {
		return err
	}
	go func() {
		defer close(w.over)
		for {
			w.mu.Lock()
			cmd, ended := w.cmd, w.ended
			w.mu.Unlock()
			_ = cmd.Wait() // its state says how
			w.mu.Lock()
			w.note(cmd.ProcessState)
			close(ended)
			last := w.stopped
			w.mu.Unlock()
			if last {
				return
			}
			time.Sleep(50 * time.Millisecond) // as systemd would
			if err := w.begin(); err != nil {
				w.mu.Lock()
				w.Unasked = append(w.Unasked, err.Error())
				w.mu.Unlock()
				return
			}
		}
	}()
	return nil
}

func (w *worker) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cmd = exec.Command(w.path)                                                //nolint:noctx // it is killed before it is told to stop
	w.cmd.Env, w.cmd.Dir = append(w.env, "LEAT_TORTURE="+w.armed), os.TempDir() // where there is no configuration file
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a harness that dies leaves nobody behind
	w.armed, w.ended = "", make(chan struct{})
	return w.cmd.Start()
}

func (w *worker) note(state *os.ProcessState) {
	status, _ := state.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && (status.Signal() == syscall.SIGKILL || status.Signal() == syscall.SIGTERM): // TERM: before it was ready for that
		w.Deaths++
	case state.ExitCode() != 0:
		w.Unasked = append(w.Unasked, state.String())
	}
}

func (w *worker) signal(sig syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.cmd.Process.Signal(sig) // it may have ended by itself
}

// arm kills the process; the next one gets a signal at a point. It returns that one.
func (w *worker) arm(point string) (life *exec.Cmd, ended <-chan struct{}) {
	w.mu.Lock()
	w.armed = point
	old, gone := w.cmd, w.ended
	w.mu.Unlock()
	_ = old.Process.Kill() // it may have ended by itself
	<-gone
	for {
		w.mu.Lock()
		life, ended = w.cmd, w.ended
		w.mu.Unlock()
		if life != old {
			return life, ended
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const awake = 30 * time.Second // for a worker to go on, as far as it gets

// wake lets a process go on that stood still, and waits until it has done what it
// had in hand, and found that its session is over.
func (w *worker) wake(ctx context.Context) {
	before, _ := os.ReadFile(w.log.Name()) // it was opened
	w.signal(syscall.SIGCONT)
	for deadline := time.Now().Add(awake); time.Now().Before(deadline) && ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
		now, _ := os.ReadFile(w.log.Name()) // as above
		if bytes.Contains(now[min(len(before), len(now)):], []byte("session ended")) {
			return
		}
	}
}

// stop ends the process and what belongs to it.
func (w *worker) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.signal(syscall.SIGCONT)
	w.signal(syscall.SIGTERM)
	select {
	case <-w.over:
	case <-time.After(30 * time.Second):
		w.signal(syscall.SIGKILL)
		<-w.over
	}
	for _, l := range w.links {
		l.Stop()
	}
	_ = w.log.Close() // it was written
}
