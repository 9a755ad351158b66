// Command leat-fetch runs a worker of the fetch stage: jobs in, parts out.
package main

import (
	"github.com/leatflow/leat/pkg/daemon"
	_ "github.com/leatflow/leat/services/archive/cloud" // s3:// and gs://
	"github.com/leatflow/leat/services/settings"
	"github.com/leatflow/leat/services/workers"
)

func main() {
	daemon.Main("leat-fetch", settings.Default(), settings.ShellOf, workers.Fetch)
}
