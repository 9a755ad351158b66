package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func TestASampleIsReadFromAWorkersMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"service": "leat-delta"}, registry) // as pkg/daemon has it
	labelled.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	worker := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer worker.Close()
	var s sample
	if err := s.read(t.Context(), strings.TrimPrefix(worker.URL, "http://")); err != nil || s.resident < 1 || s.goroutines < 1 {
		t.Errorf("%+v, %v", s, err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "up 1") }))
	defer other.Close()
	var none sample
	if none.read(t.Context(), strings.TrimPrefix(other.URL, "http://")) == nil {
		t.Error("a page without those metrics passes for a sample")
	}
}
