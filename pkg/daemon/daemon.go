// Package daemon is the shell that every service runs in: configuration,
// logger, signals, health, metrics, systemd and exit status. It knows no service.
//
// In: a YAML file, the environment, signals. Out: log lines on stderr, three
// pages over HTTP (/healthz, /readyz, /metrics), messages to systemd and an exit
// status that says why the process ended.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/redact"
)

// Shell is the part of the configuration that every daemon has.
type Shell struct {
	Log  LogConfig  `mapstructure:"log"`
	HTTP HTTPConfig `mapstructure:"http"`

	// StopTimeout is how long run may take to return after the first signal.
	// More than the longest batch takes; less than what systemd or Docker waits
	// before it kills.
	StopTimeout time.Duration `mapstructure:"stop_timeout"`
}

// HTTPConfig says where a daemon serves its health and metrics.
type HTTPConfig struct {
	// Listen is host:port, or host:first-last to take the first port that is
	// free, so that many workers on one host need no port each. Empty or "off":
	// no HTTP. Profiles are served too, on loopback addresses only.
	Listen string `mapstructure:"listen"`
}

// DefaultShell returns what a daemon does if nobody says otherwise.
func DefaultShell() Shell {
	return Shell{
		Log:         LogConfig{Level: "info"},
		HTTP:        HTTPConfig{Listen: "127.0.0.1:9180-9279"},
		StopTimeout: 25 * time.Second,
	}
}

// Validate says what is wrong with the shell's part of the configuration.
func (s Shell) Validate() error {
	var problems []error
	if err := s.Log.validate(); err != nil {
		problems = append(problems, err)
	}
	if _, err := parseListen(s.HTTP.Listen); err != nil {
		problems = append(problems, fmt.Errorf("http.listen: %w", err))
	}
	if s.StopTimeout <= 0 {
		problems = append(problems, errors.New("stop_timeout must be above zero"))
	}
	return errors.Join(problems...)
}

// A Daemon is what run is given besides its configuration.
type Daemon struct {
	Name    string
	Version string
	Addr    string // where health and metrics are served; empty if they are not
	Log     *zap.Logger
	Metrics prometheus.Registerer // what is registered here carries the label service
	Health  *Health
}

// The statuses a daemon exits with, besides 128+n after the second signal n.
const (
	exitOK     = 0
	exitFailed = 1 // run failed, or did not stop in time; also an unhealthy --healthcheck
	exitUsage  = 2 // a bad flag or configuration
)

// Main is the whole main function of a daemon. It loads the configuration over
// the defaults, calls run with a context that SIGTERM or SIGINT cancels, and
// exits: 0 when run returns nil or the cancellation, 1 when it fails or does not
// return within StopTimeout, 2 on a bad flag or configuration. A second signal
// ends the process at once.
//
// The shell function says where in the configuration the Shell lies.
func Main[C any](name string, defaults C, shell func(*C) *Shell, run func(ctx context.Context, cfg C, d *Daemon) error) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	cfg := defaults
	p := process{
		name:  name,
		cfg:   &cfg,
		shell: func() *Shell { return shell(&cfg) },
		run:   func(ctx context.Context, d *Daemon) error { return run(ctx, cfg, d) },
	}
	os.Exit(p.main(os.Args[1:]))
}

// The garbage collector lets the heap grow to three times what is in use, which
// is little, and works harder from softMemory on. GOGC and GOMEMLIMIT set others.
const (
	gcPercent  = 200
	softMemory = 72 << 20
)

// A process is Main without its type parameter.
type process struct {
	name  string
	cfg   any
	shell func() *Shell
	run   func(context.Context, *Daemon) error
}

// main does what the flags ask for and returns the exit status.
func (p process) main(args []string) int {
	flags := flag.NewFlagSet(p.name, flag.ContinueOnError)
	file := flags.String("config", "", "the configuration `file` (default $LEAT_CONFIG, else ./config/leat.yaml, else /etc/leat/leat.yaml)")
	showVersion := flags.Bool("version", false, "print the version and exit")
	checkConfig := flags.Bool("check-config", false, "load the configuration, say what is wrong with it, and exit")
	healthcheck := flags.Bool("healthcheck", false, "ask the daemon that listens at http.listen whether it is ready, and exit")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage // flag has said why
	case flags.NArg() > 0:
		return p.usage(fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	if *showVersion {
		fmt.Printf("%s %s (%s)\n", p.name, Version(), runtime.Version())
		return exitOK
	}

	found := FindFile(*file)
	if err := p.load(found); err != nil {
		return p.usage(err)
	}
	switch {
	case *checkConfig:
		fmt.Printf("%s: the configuration is fine\n", orNone(found))
		return exitOK
	case *healthcheck:
		return p.healthcheck()
	}
	return p.serve(found)
}

func (p process) load(file string) error {
	if err := Load(file, p.cfg); err != nil {
		return err
	}
	return p.shell().Validate()
}

func (p process) usage(err error) int {
	fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, redact.Text(err.Error()))
	return exitUsage
}

func (p process) healthcheck() int {
	if err := askReady(p.shell().HTTP.Listen); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, err)
		return exitFailed
	}
	return exitOK
}

// serve runs the daemon with everything around it.
func (p process) serve(file string) int {
	shell := p.shell()
	log := newLogger(p.name, shell.Log, os.Stderr)
	defer log.Sync() //nolint:errcheck // a terminal and a pipe cannot be synced, and say so

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	health := NewHealth()
	metrics := newMetrics(p.name, health)
	server, err := listenAndServe(shell.HTTP.Listen, health, metrics.gatherer)
	if err != nil {
		log.Error("failed", zap.Error(err))
		return exitFailed
	}
	defer closeQuietly(server)
	defer notifySystemd(health, log)()

	log.Info("starting",
		zap.String("config", orNone(file)),
		zap.String("listen", server.addr),
		zap.Duration("stop_timeout", shell.StopTimeout),
		zap.String("go", runtime.Version()))
	d := &Daemon{
		Name:    p.name,
		Version: Version(),
		Addr:    server.addr,
		Log:     log,
		Metrics: metrics.registerer,
		Health:  health,
	}
	return supervise(d, shell.StopTimeout, signals, p.run)
}

// supervise runs run until it returns, a second signal arrives or the time to
// stop is over, and returns the exit status. In the last two cases run is still
// running, and ends with the process.
func supervise(d *Daemon, timeout time.Duration, signals <-chan os.Signal, run func(context.Context, *Daemon) error) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx, d) }()

	var late <-chan time.Time // nil until the first signal
	for {
		select {
		case err := <-done:
			d.Health.stop()
			if err != nil && !errors.Is(err, context.Canceled) {
				d.Log.Error("failed", zap.Error(err))
				return exitFailed
			}
			d.Log.Info("stopped")
			return exitOK
		case sig := <-signals:
			if late != nil {
				d.Log.Warn("exiting at once", zap.Stringer("signal", sig))
				return exitSignal(sig)
			}
			d.Log.Info("stopping", zap.Stringer("signal", sig))
			d.Health.stop()
			cancel()
			late = time.After(timeout)
		case <-late:
			d.Log.Error("not stopped in time", zap.Duration("stop_timeout", timeout))
			return exitFailed
		}
	}
}

// exitSignal is the status a shell reports for a process that sig has killed.
func exitSignal(sig os.Signal) int {
	if n, ok := sig.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitFailed
}

func orNone(file string) string {
	if file == "" {
		return "no file, defaults"
	}
	return file
}

// closeQuietly closes what there is nobody left to tell about.
func closeQuietly(c io.Closer) { _ = c.Close() }
