package workers

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is a worker's pipeline.Metrics in Prometheus.
type metrics struct {
	messages    prometheus.Counter
	batches     prometheus.Histogram
	phases      *prometheus.HistogramVec
	retries     *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	records     *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, stage string) *metrics {
	labels := prometheus.Labels{"stage": stage}
	m := &metrics{
		messages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leat_messages_total", Help: "Messages taken, redelivered ones too.", ConstLabels: labels}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "leat_batch_messages", Help: "Messages of a batch.", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(1, 2, 9)}),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "leat_phase_seconds", Help: "Seconds a batch spent in a phase.", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"phase"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_retries_total", Help: "Batches and messages tried again, by class: permanent, unavailable, rate-limited, failed, crashed.", ConstLabels: labels}, []string{"class"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_dead_letters_total", Help: "Messages given up, by class: permanent, failed, crashed.", ConstLabels: labels}, []string{"class"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_records_total", ConstLabels: labels,
			Help: "What was committed, by thing and outcome: stats new, changed, unchanged, rejected; documents written (one operation each); …"},
			[]string{"thing", "outcome"}),
	}
	r.MustRegister(m.messages, m.batches, m.phases, m.retries, m.deadLetters, m.records)
	return m
}

func (m *metrics) Batch(messages int) {
	m.messages.Add(float64(messages))
	m.batches.Observe(float64(messages))
}

func (m *metrics) Phase(name string, took time.Duration) {
	m.phases.WithLabelValues(name).Observe(took.Seconds())
}

func (m *metrics) Retry(class string) { m.retries.WithLabelValues(class).Inc() }

func (m *metrics) DeadLetter(class string) { m.deadLetters.WithLabelValues(class).Inc() }

func (m *metrics) Count(what string, n int) {
	thing, outcome, _ := strings.Cut(what, ".")
	m.records.WithLabelValues(thing, outcome).Add(float64(n))
}
