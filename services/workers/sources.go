package workers

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leatflow/leat/pkg/daemon"
)

// brokenSources says in metrics and in /readyz which source files are broken. A
// worker is ready all the same: others' jobs go on, and so do those of the file
// that was sound once.
func brokenSources(d *daemon.Daemon) func(map[string]string) {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "leat_source_broken", Help: "1 for each source whose file is broken; its jobs go on under the version that was used last.",
	}, []string{"source"})
	d.Metrics.MustRegister(gauge)
	return func(broken map[string]string) {
		gauge.Reset()
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(broken)) {
			gauge.WithLabelValues(name).Set(1)
			lines = append(lines, fmt.Sprintf("%s: %s", name, broken[name]))
		}
		d.Health.Note("sources", strings.Join(lines, "\n"))
	}
}

// hostname tells the hosts of fetch apart, each with its folder of source files.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
