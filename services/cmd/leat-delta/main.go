// Command leat-delta runs a worker of the delta stage: parts in, changes out.
package main

import (
	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

func main() {
	daemon.Main("leat-delta", settings.Default(), settings.ShellOf, workers.Delta)
}
