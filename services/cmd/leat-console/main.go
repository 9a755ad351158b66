// Command leat-console files dead letters, replays them, and serves both to
// operators over HTTP.
package main

import (
	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

func main() {
	daemon.Main("leat-console", settings.Default(), settings.ShellOf, workers.Console)
}
