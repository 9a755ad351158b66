// Command leat-rollup runs a worker of the rollup stage: changes in, documents written.
package main

import (
	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

func main() {
	daemon.Main("leat-rollup", settings.Default(), settings.ShellOf, workers.Rollup)
}
