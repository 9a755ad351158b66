package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// The tests of Main run this binary again, as a daemon that behaves as the
// variable says.
const behaviour = "DAEMON_TEST_BEHAVIOUR"

func TestMain(m *testing.M) {
	if b := os.Getenv(behaviour); b != "" {
		Main("leat-test", defaults(), func(c *config) *Shell { return &c.Shell }, behaviours[b])
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "LEAT_") {
			_ = os.Unsetenv(name) // the servers of other tests are no part of these configurations
		}
	}
	os.Exit(m.Run())
}

var behaviours = map[string]func(context.Context, config, *Daemon) error{
	"good": func(ctx context.Context, _ config, d *Daemon) error {
		d.Health.Expect("consumer")
		d.Health.Set("consumer", nil)
		fmt.Println("running", d.Addr)
		<-ctx.Done()
		fmt.Println("finishing")
		return ctx.Err()
	},
	"done": func(context.Context, config, *Daemon) error { return nil },
	"deaf": func(ctx context.Context, _ config, _ *Daemon) error {
		fmt.Println("running")
		<-ctx.Done()
		fmt.Println("finishing")
		select {}
	},
	"broken": func(context.Context, config, *Daemon) error {
		return errors.New("dial amqp://u:s3cret@h/: refused")
	},
	"outage": func(ctx context.Context, _ config, d *Daemon) error {
		d.Health.Expect("consumer", "postgres")
		d.Health.Set("consumer", nil)
		d.Health.Set("postgres", errors.New("away\nfor now"))
		<-ctx.Done()
		return nil
	},
}

// A child is a daemon in a process of its own.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Scanner
	stderr *bytes.Buffer
}

func start(t *testing.T, does string, env []string, args ...string) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a child that hangs fails its test
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), behaviour+"="+does, "LEAT_CONFIG=", "LEAT_HTTP_LISTEN=127.0.0.1:0", "NOTIFY_SOCKET=",
		"GORACE=atexit_sleep_ms=0") // a race detector would wait for a second at each exit
	cmd.Env = append(cmd.Env, env...)
	cmd.Dir = t.TempDir()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, stdout: bufio.NewScanner(out), stderr: &bytes.Buffer{}}
	cmd.Stderr = c.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// says waits for a line that begins so, and returns the rest of it.
func (c *child) says(prefix string) string {
	c.t.Helper()
	for c.stdout.Scan() {
		if rest, ok := strings.CutPrefix(c.stdout.Text(), prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	_ = c.cmd.Wait()
	c.t.Fatalf("it never said %q; stderr:\n%s", prefix, c.stderr)
	return ""
}

func (c *child) signal(sig syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// exits waits for the end, and compares the status and what was logged.
func (c *child) exits(status int, logged ...string) {
	c.t.Helper()
	for c.stdout.Scan() { // Wait must not come before the pipe is read
	}
	_ = c.cmd.Wait() // the status says it all
	if got := c.cmd.ProcessState.ExitCode(); got != status {
		c.t.Errorf("exit status %d, want %d", got, status)
	}
	for _, want := range logged {
		if !strings.Contains(c.stderr.String(), want) {
			c.t.Errorf("%q is not on stderr", want)
		}
	}
	if c.t.Failed() {
		c.t.Logf("stderr:\n%s", c.stderr)
	}
}

func TestSIGTERMStopsItWithStatus0(t *testing.T) {
	c := start(t, "good", nil)
	c.says("running")
	c.signal(syscall.SIGTERM)
	c.says("finishing")
	c.exits(0, `"msg":"stopping"`, `"msg":"stopped"`, `"service":"leat-test"`)
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	for sig, status := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		c := start(t, "deaf", nil)
		c.says("running")
		c.signal(syscall.SIGTERM)
		c.says("finishing")
		c.signal(sig)
		c.exits(status, "exiting at once")
	}
}

func TestARunThatDoesNotStopInTimeEndsWithStatus1(t *testing.T) {
	c := start(t, "deaf", []string{"LEAT_STOP_TIMEOUT=10ms"})
	c.says("running")
	c.signal(syscall.SIGTERM)
	c.exits(1, "not stopped in time")
}

func TestARunThatReturnsEndsWithStatus0(t *testing.T) {
	start(t, "done", nil).exits(0, `"msg":"stopped"`)
}

func TestARunThatFailsEndsWithStatus1AndOneLine(t *testing.T) {
	c := start(t, "broken", nil)
	c.exits(1, `"level":"error"`, `dial amqp://u:xxxxx@h/: refused`)
	if n := strings.Count(c.stderr.String(), "refused"); n != 1 {
		t.Errorf("the error is told %d times", n)
	}
}

func TestABadFlagOrConfigurationEndsWithStatus2(t *testing.T) {
	start(t, "good", nil, "--nonsense").exits(2, "nonsense")
	start(t, "good", nil, "surplus").exits(2, `leat-test: unexpected argument "surplus"`)
	start(t, "good", nil, "--config", "none.yaml").exits(2, "leat-test: open none.yaml")
	start(t, "good", nil, "--config", write(t, "lgo: {}\n")).exits(2, "did you mean log?")
	start(t, "good", []string{"LEAT_LOG_LEVEL=loud"}).exits(2, `log.level is "loud"`)
}

func TestCheckConfigLoadsAndEnds(t *testing.T) {
	file := write(t, "sources: x\n")
	c := start(t, "deaf", nil, "--check-config", "--config", file)
	c.says(file + ": the configuration is fine")
	c.exits(0)
	start(t, "deaf", []string{"LEAT_CONFIG=" + write(t, "nonsense: 1\n")}, "--check-config").exits(2, "unknown key nonsense")
}

func TestVersionAndHelp(t *testing.T) {
	c := start(t, "deaf", nil, "--version")
	c.says("leat-test " + Version() + " (go1.")
	c.exits(0)
	start(t, "deaf", nil, "--help").exits(0, "check-config", "healthcheck", "LEAT_CONFIG")
}

func TestHealthcheckOfARunningDaemon(t *testing.T) {
	listen := "LEAT_HTTP_LISTEN=127.0.0.1:" + strconv.Itoa(freePort(t))
	start(t, "good", []string{listen}, "--healthcheck").exits(1, "connection refused")
	c := start(t, "good", []string{listen})
	c.says("running")
	start(t, "good", []string{listen}, "--healthcheck").exits(0)
	c.signal(syscall.SIGINT)
	c.exits(0)
}

func TestAPortThatIsTakenEndsWithStatus1(t *testing.T) {
	c := start(t, "good", nil)
	addr := c.says("running")
	start(t, "good", []string{"LEAT_HTTP_LISTEN=" + addr}).exits(1, "in use")
	c.signal(syscall.SIGTERM)
	c.exits(0)
}

// A systemd listens for what daemons tell it.
type systemd struct {
	t     *testing.T
	conn  *net.UnixConn
	path  string
	heard []string // and not yet asked for
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &systemd{t: t, conn: conn, path: path}
}

func (s *systemd) env(more ...string) []string {
	return append(more, "NOTIFY_SOCKET="+s.path, "WATCHDOG_PID=")
}

// hears waits for the line, and returns the lines before it.
func (s *systemd) hears(line string) (before []string) {
	s.t.Helper()
	buf := make([]byte, 4096)
	for {
		for len(s.heard) > 0 {
			next := s.heard[0]
			s.heard = s.heard[1:]
			if next == line {
				return before
			}
			before = append(before, next)
		}
		n, err := s.conn.Read(buf)
		if err != nil {
			s.t.Fatalf("systemd never heard %q, but %d lines, among them %q: %v", line, len(before), slices.Compact(before), err)
		}
		s.heard = strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	}
}

func TestSystemdHearsOfReadinessLifeAndTheEnd(t *testing.T) {
	s := newSystemd(t)
	c := start(t, "good", s.env("WATCHDOG_USEC=20000"))
	s.hears("READY=1")
	s.hears("STATUS=ready")
	s.hears("WATCHDOG=1")
	s.hears("WATCHDOG=1")
	c.signal(syscall.SIGTERM)
	s.hears("STOPPING=1")
	s.hears("STATUS=daemon: stopping")
	c.exits(0)
}

func TestSystemdHearsWhyItIsNotReady(t *testing.T) {
	s := newSystemd(t)
	c := start(t, "outage", s.env())
	before := s.hears("STATUS=postgres: away for now")
	c.signal(syscall.SIGTERM)
	before = append(before, s.hears("STOPPING=1")...)
	c.exits(0)
	if slices.Contains(before, "READY=1") {
		t.Errorf("it heard %q from a daemon that was never ready", before)
	}
}

func TestTheWatchdogOfADaemonThatIsStuckSaysNothing(t *testing.T) {
	s := newSystemd(t)
	t.Setenv("NOTIFY_SOCKET", s.path)
	h := NewHealth()
	n := notifier{health: h, log: zap.NewNop()}
	h.Watch("worker", func() error { return errors.New("stuck") })
	n.watchdog(t.Context())
	h.Watch("worker", func() error { return nil })
	n.watchdog(t.Context())
	h.stop()
	n.report()
	if before := s.hears("STOPPING=1"); len(before) != 1 || before[0] != "WATCHDOG=1" {
		t.Errorf("systemd heard %q, want one sign of life, of when it was not stuck", before)
	}
}
