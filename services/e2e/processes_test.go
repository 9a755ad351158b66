package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leatflow/leat/services/demosource"
)

// built is the folder of the binaries, if a test needed them.
var built string

// binaries builds the workers once and returns their folder.
var binaries = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "leat-e2e-")
	if err != nil {
		return "", err
	}
	built = folder
	build := exec.Command("go", "build", "-o", folder, "../cmd/leat-fetch", "../cmd/leat-delta", "../cmd/leat-annotate", "../cmd/leat-rollup", "../cmd/leat-console", "../cmd/leat-scheduler", "../cmd/leat-demosource")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return folder, nil
})

func TestMain(m *testing.M) {
	if os.Getenv(poisonous) != "" {
		os.Exit(runPoisoned())
	}
	status := m.Run()
	_ = os.RemoveAll(built) // temporary anyway
	os.Exit(status)
}

// A process is a worker as users run it, which is started again when it ends.
type process struct {
	stage string
	mu    sync.Mutex
	cmd   *exec.Cmd
	peak  int // KiB of memory, over all its lives
	log   lockedBuffer
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// launch starts one process of every stage.
func (s *system) launch() []*process {
	s.t.Helper()
	var all []*process
	for _, stage := range []string{"fetch", "delta", "annotate", "rollup"} {
		all = append(all, s.run(stage))
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			for _, p := range all {
				text := p.log.String()
				s.t.Logf("%s said last:\n%s", p.stage, text[max(0, len(text)-3000):])
			}
		}
	})
	return all
}

// run starts a daemon, which is kept running until the test ends.
func (s *system) run(name string) *process {
	s.t.Helper()
	folder, err := binaries()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{stage: name}
	s.t.Cleanup(p.keepRunning(s, filepath.Join(folder, "leat-"+name)))
	return p
}

// keepRunning starts the process, and again whenever it ends, as systemd does.
func (p *process) keepRunning(s *system, path string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	begin := func() *exec.Cmd {
		cmd := exec.Command(path)
		cmd.Dir = s.cfg.Archive // where there is no configuration file
		cmd.Env = append(os.Environ(),
			"LEAT_POSTGRES_URL="+s.cfg.Postgres.URL, "LEAT_RABBITMQ_URL="+s.cfg.RabbitMQ.URL,
			"LEAT_MONGODB_URL="+s.cfg.MongoDB.URL, "LEAT_MONGODB_DATABASE="+s.cfg.MongoDB.Database,
			"LEAT_SOURCES="+s.cfg.Sources, "LEAT_ARCHIVE="+s.cfg.Archive, "LEAT_HTTP_LISTEN=off", "LEAT_CONSOLE_LISTEN=off", "LEAT_LOG_LEVEL=warn",
			"LEAT_FETCH_FILES="+strings.Join(s.cfg.Fetch.Files, ","), "LEAT_FETCH_ALLOW_NETWORKS="+strings.Join(s.cfg.Fetch.AllowNetworks, ","))
		if s.env != nil {
			cmd.Env = append(cmd.Env, s.env(p.stage)...)
		}
		cmd.Stderr = &p.log
		if err := cmd.Start(); err != nil {
			s.t.Error(err)
			return nil
		}
		p.mu.Lock()
		p.cmd = cmd
		p.mu.Unlock()
		return cmd
	}
	go func() {
		defer close(ended)
		for cmd := begin(); cmd != nil; cmd = begin() {
			_ = cmd.Wait() // killed, most often
			if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
				p.peak = max(p.peak, int(usage.Maxrss))
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		p.signal(syscall.SIGTERM)
		<-ended
	})
}

func (p *process) signal(sig os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
}

// ads serves the make-believe platform and returns a system with the shipped
// source ads, pointed at it.
func ads(t *testing.T, size int64) (*system, *httptest.Server) {
	t.Helper()
	cfg := demosource.DefaultConfig()
	cfg.Size = size
	cfg.Now = func() time.Time { return time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC) }
	platform := httptest.NewServer(demosource.New(cfg))
	t.Cleanup(platform.Close)
	s := newSystem(t)
	s.adsFrom(platform.URL)
	return s, platform
}

// adsFrom writes the shipped source ads with another address.
func (s *system) adsFrom(address string) {
	s.t.Helper()
	for _, name := range []string{"ads.yaml", "markets.csv"} {
		text, err := os.ReadFile("../../config/sources/" + name)
		if err != nil {
			s.t.Fatal(err)
		}
		s.source(name, strings.ReplaceAll(string(text), "http://127.0.0.1:8090", address))
	}
}

const adsJob = `{"source":"ads","mode":"backfill","from":"2026-03-01","to":"2026-03-14"}`

// revise restates a share of the platform's numbers.
func revise(t *testing.T, platform *httptest.Server, share string) {
	t.Helper()
	ask(t, platform, "revise?share="+share)
}

// ask asks the platform's administrator for something.
func ask(t *testing.T, platform *httptest.Server, what string) {
	t.Helper()
	r, err := platform.Client().Post(platform.URL+"/admin/"+what, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 200 {
		t.Fatalf("%s: %s", what, r.Status)
	}
}

// Workers are killed in the middle of jobs, twenty times at random moments: the
// jobs end by themselves, with the state of a run without kills.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	s, platform := ads(t, 2<<20)
	workers := s.launch()
	for killed := 0; killed < 20; {
		revise(t, platform, "0.05")
		job := s.submit(adsJob)
		for !s.ended(job) {
			time.Sleep(rand.N(300 * time.Millisecond)) // a random moment is the point
			if killed < 20 {
				killed++
				workers[rand.IntN(len(workers))].signal(syscall.SIGKILL)
			}
		}
		state, _ := s.await(job, patience)
		s.want("state", state, "done")
	}
	s.sameAsUndisturbed(platform)
}

// ended reports whether a job has ended.
func (s *system) ended(job string) bool {
	return len(s.query(`SELECT 1 FROM jobs WHERE id = $1 AND state NOT IN ('queued', 'running')`, job)) == 1
}

// sameAsUndisturbed compares with a fresh system that loads the platform as it is now.
func (s *system) sameAsUndisturbed(platform *httptest.Server) {
	s.t.Helper()
	other := newSystem(s.t)
	other.adsFrom(platform.URL)
	stop := other.start(1)
	state, _ := other.await(other.submit(adsJob), patience)
	stop()
	other.want("state of the undisturbed run", state, "done")
	s.sameLines("rows", s.rows(), other.rows())
	s.sameLines("documents", s.documentLines("ads"), other.documentLines("ads"))
}

// Each server is restarted once while jobs run: they end by themselves, with the
// state of a run without restarts.
func TestRestartedServers(t *testing.T) {
	if os.Getenv("LEAT_TEST_RESTARTS") == "" {
		t.Skip("LEAT_TEST_RESTARTS is not set: restarting the servers would disturb whoever else uses them; scripts/test sets it")
	}
	s, platform := ads(t, 4<<20)
	s.launch()
	for _, server := range []string{"rabbitmq", "postgres", "mongodb"} {
		revise(t, platform, "0.2")
		job := s.submit(adsJob)
		s.until(patience, "the job to begin", func() bool {
			return len(s.query(`SELECT 1 FROM ledger WHERE job_id = $1 AND stage = 'delta'`, job)) > 0
		})
		if out, err := exec.Command("../../scripts/stack", "restart", server).CombinedOutput(); err != nil {
			t.Fatalf("restart %s: %v\n%s", server, err, out)
		}
		state, _ := s.await(job, 2*patience)
		s.want("state after the restart of "+server, state, "done")
	}
	s.sameAsUndisturbed(platform)
}

// The memory of a worker does not grow with the input.
func TestMemory(t *testing.T) {
	for _, size := range []string{"100MB", "300MB"} {
		t.Run(size, func(t *testing.T) {
			s := newSystem(t)
			s.adsFrom(servePlatform(t, size))
			workers := s.launch()
			start := time.Now()
			state, counts := s.await(s.submit(adsJob), 5*time.Minute)
			s.want("state", state, "done")
			t.Logf("%d MB in %s: %v", counts["answers"]["bytes"]>>20, time.Since(start).Round(time.Millisecond), counts)
			for _, p := range workers {
				peak := p.peakNow(t)
				t.Logf("%s: at most %d MB", p.stage, peak>>10)
				if peak>>10 >= 150 {
					t.Errorf("%s took %d MB of memory, below 150 are allowed", p.stage, peak>>10)
				}
			}
		})
	}
}

// servePlatform runs the make-believe platform as a process of its own, and
// returns its address.
func servePlatform(t *testing.T, size string) string {
	t.Helper()
	folder, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	address := freePort(t)
	cmd := exec.Command(filepath.Join(folder, "leat-demosource"), "--listen", address, "--size", size, "--now", "2026-03-15T12:00:00Z")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	return "http://" + address // fetch waits for it
}

// peakNow returns the most memory the process has taken so far, in KiB.
func (p *process) peakNow(t *testing.T) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.Fields(text)[0])
			if err != nil {
				t.Fatal(err)
			}
			return max(n, p.peak)
		}
	}
	t.Fatal("no VmHWM in /proc/PID/status")
	return 0
}
