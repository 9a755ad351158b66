package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/leatflow/leat/pkg/daemon"
)

// A whole main function: the configuration holds the Shell and what the service
// needs besides.
func ExampleMain() {
	type config struct {
		daemon.Shell `mapstructure:",squash"`
		Archive      string `mapstructure:"archive"`
	}
	defaults := config{Shell: daemon.DefaultShell(), Archive: "/var/lib/leat/archive"}
	shell := func(c *config) *daemon.Shell { return &c.Shell }

	daemon.Main("leat-example", defaults, shell, func(ctx context.Context, cfg config, d *daemon.Daemon) error {
		d.Health.Expect("archive")
		if _, err := os.Stat(cfg.Archive); err != nil {
			return err
		}
		d.Health.Set("archive", nil)
		<-ctx.Done()
		return nil
	})
}

func ExampleHealth() {
	h := daemon.NewHealth()
	h.Expect("consumer", "postgres")
	h.Set("consumer", nil)
	h.Set("postgres", errors.New("dial postgres://leat:s3cret@db/leat: connection refused"))
	ready, reasons := h.Ready()
	fmt.Println(ready, reasons)
	// Output: false map[postgres:dial postgres://leat:xxxxx@db/leat: connection refused]
}
