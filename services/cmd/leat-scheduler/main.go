// Command leat-scheduler publishes the jobs that source files say are due.
package main

import (
	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

func main() {
	daemon.Main("leat-scheduler", settings.Default(), settings.ShellOf, workers.Scheduler)
}
