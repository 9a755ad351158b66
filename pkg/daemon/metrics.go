package daemon

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics is one registry, seen from its two sides.
type metrics struct {
	registerer prometheus.Registerer
	gatherer   prometheus.Gatherer
}

// newMetrics returns a registry that labels everything with the service: the
// daemons of one host are scraped as one range of ports.
func newMetrics(name string, health *Health) metrics {
	registry := prometheus.NewRegistry()
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"service": name}, registry)
	labelled.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "leat_build_info",
			Help:        "Always 1; its labels say what is running.",
			ConstLabels: prometheus.Labels{"version": Version(), "go": runtime.Version()},
		}, func() float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "leat_ready",
			Help: "1 if /readyz says ready, else 0.",
		}, func() float64 {
			if ready, _ := health.Ready(); ready {
				return 1
			}
			return 0
		}),
	)
	return metrics{registerer: labelled, gatherer: registry}
}
