package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

var networkFaults = []fault{
	{kind: "cut", lane: "network", weight: 4, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.onLinks(r, func(l link) (func(), error) { l.Stop(); return func() { _ = l.Start() }, nil }, // it was stopped
			func() { pause(ctx, between(r, 10*time.Millisecond, 2*time.Second)) })
	}},
	{kind: "latency", lane: "network", weight: 2, do: toxic("latency", 2*time.Second, func(r *rand.Rand) string {
		return fmt.Sprintf(`{"latency":%d,"jitter":%d}`, 50+r.IntN(800), r.IntN(50))
	})},
	{kind: "bandwidth", lane: "network", weight: 2, do: toxic("bandwidth", 2*time.Second, func(r *rand.Rand) string {
		return fmt.Sprintf(`{"rate":%d}`, 1+r.IntN(20)) // KB/s
	})},
	// Nothing goes through, in both directions or in one, and nobody is told.
	{kind: "black-hole", lane: "network", weight: 2, do: blackHole},
	{kind: "half-open", lane: "network", weight: 2, do: toxic("timeout", 6*time.Second, func(*rand.Rand) string { return `{"timeout":0}` })},
	// The connection breaks in the middle of a message.
	{kind: "broken-message", lane: "network", weight: 4, do: toxic("limit_data", time.Second, func(r *rand.Rand) string {
		return fmt.Sprintf(`{"bytes":%d}`, r.IntN(60_000))
	})},
	{kind: "close-amqp", lane: "network", weight: 2, do: (*harness).closeConnections},
	{kind: "lying-source", lane: "network", weight: 1, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		lies := url.Values{}
		for _, name := range []string{"cut", "garbage", "fail-503", "fail-429"} {
			lies.Set(name, fmt.Sprint(0.1*r.Float64()))
		}
		err := h.sources.lie(lies)
		pause(ctx, between(r, 500*time.Millisecond, 2*time.Second))
		return firstError(err, h.sources.lie(nil))
	}},
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// toxic is a fault that one of toxiproxy's toxics makes, for at most so long.
func toxic(kind string, most time.Duration, attributes func(*rand.Rand) string) func(*harness, context.Context, *rand.Rand) error {
	return func(h *harness, ctx context.Context, r *rand.Rand) error {
		stream, with := []string{"upstream", "downstream"}[r.IntN(2)], attributes(r)
		return h.onLinks(r, func(l link) (func(), error) { return l.poison(kind, stream, with) },
			func() { pause(ctx, between(r, most/10, most)) })
	}
}

func blackHole(h *harness, ctx context.Context, r *rand.Rand) error {
	return h.onLinks(r, func(l link) (func(), error) {
		up, err := l.poison("timeout", "upstream", `{"timeout":0}`)
		if err != nil {
			return up, err
		}
		down, err := l.poison("timeout", "downstream", `{"timeout":0}`)
		return func() { up(); down() }, err
	}, func() { pause(ctx, between(r, 500*time.Millisecond, 6*time.Second)) })
}

// onLinks breaks the way to one server, of one worker or of all, for a while.
func (h *harness) onLinks(r *rand.Rand, breaks func(link) (mend func(), err error), last func()) error {
	to := []string{"rabbitmq", "postgres", "mongodb"}[r.IntN(3)]
	victims := h.workers
	if to == "mongodb" { // rollup's only
		victims = victims[len(victims)-h.each:]
	}
	if r.IntN(3) > 0 {
		n := r.IntN(len(victims))
		victims = victims[n : n+1]
	}
	var mended []func()
	defer func() {
		for _, mend := range mended {
			mend()
		}
	}()
	for _, w := range victims {
		if h.sleeps(w) {
			continue // its ways are shut already
		}
		mend, err := breaks(w.links[to])
		if err != nil {
			return err
		}
		mended = append(mended, mend)
	}
	if len(mended) == 0 {
		return errNot
	}
	last()
	return nil
}

func (h *harness) sleeps(w *worker) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sleeping[w.name]
}

// closeConnections closes the vhost's connections, all or some, as the
// management UI does. The management plugin learns of them some seconds late.
func (h *harness) closeConnections(ctx context.Context, r *rand.Rand) error {
	var connections []struct{ Name string }
	if err := h.lab.Manage(ctx, http.MethodGet, "/api/vhosts/"+h.lab.Name+"/connections", nil, &connections); err != nil {
		return err
	}
	share, closed := []float64{0.2, 1}[r.IntN(2)], 0
	for _, c := range connections {
		if r.Float64() < share && h.lab.Manage(ctx, http.MethodDelete, "/api/connections/"+url.PathEscape(c.Name), nil, nil) == nil {
			closed++
		}
	}
	if closed == 0 {
		return errNot
	}
	return nil
}
