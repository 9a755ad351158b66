// Command leat-annotate runs a worker of the annotate stage: changes in, tags written, changes out.
package main

import (
	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

func main() {
	daemon.Main("leat-annotate", settings.Default(), settings.ShellOf, workers.Annotate)
}
