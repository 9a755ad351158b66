package daemon

import (
	"context"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// notifySystemd tells systemd, if it asked to be told, when the daemon is ready
// for the first time, what keeps it from being ready, that it is alive, and that
// it stops. The function it returns ends that and waits for it.
func notifySystemd(health *Health, log *zap.Logger) (end func()) {
	n := notifier{health: health, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { n.run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

type notifier struct {
	health *Health
	log    *zap.Logger

	started bool   // READY=1 has been sent
	stopped bool   // STOPPING=1 has been sent
	status  string // what was sent last
}

func (n *notifier) run(ctx context.Context) {
	var tick <-chan time.Time
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("systemd's watchdog settings are unusable", zap.Error(err))
	}
	if interval > 0 {
		t := time.NewTicker(interval / 2)
		defer t.Stop()
		tick = t.C
	}
	for {
		n.report()
		select {
		case <-ctx.Done():
			n.report() // the last change may not have woken us yet
			return
		case <-n.health.changed:
		case <-tick:
			n.watchdog(ctx)
		}
	}
}

// report sends what has changed since the last report.
func (n *notifier) report() {
	ready, reasons := n.health.Ready()
	var message string
	if ready && !n.started {
		n.started = true
		message += "READY=1\n"
	}
	if !n.stopped && n.health.isStopping() {
		n.stopped = true
		message += "STOPPING=1\n"
	}
	status := "ready"
	if !ready {
		status = sentence(reasons)
	}
	if status != n.status {
		n.status = status
		message += "STATUS=" + status + "\n"
	}
	if message != "" {
		n.send(message)
	}
}

func (n *notifier) watchdog(ctx context.Context) {
	alive, reasons := n.health.Alive(ctx)
	if ctx.Err() != nil {
		return
	}
	if !alive {
		n.log.Error("stuck", zap.Any("reasons", reasons))
		return // systemd's patience ends, and it restarts us
	}
	n.send("WATCHDOG=1\n")
}

func (n *notifier) send(message string) {
	if _, err := sd.SdNotify(false, message); err != nil {
		n.log.Warn("systemd was not told", zap.Error(err))
	}
}
