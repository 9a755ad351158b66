package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

var serverFaults = []fault{
	{kind: "restart-server", lane: "server", weight: 2, server: true, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.downtime(ctx, r, func(server string) error { return h.stack.call("stop", server) })
	}},
	{kind: "kill-server", lane: "server", weight: 2, server: true, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.downtime(ctx, r, func(server string) error { return h.stack.signal(server, syscall.SIGKILL) })
	}},
	{kind: "freeze-server", lane: "server", weight: 5, server: true, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		server := anyServer(r)
		err := h.stack.signal(server, syscall.SIGSTOP)
		pause(ctx, between(r, 200*time.Millisecond, 6*time.Second))
		return firstError(err, h.stack.signal(server, syscall.SIGCONT))
	}},
	{kind: "memory-alarm", lane: "server", weight: 2, server: true, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		err := h.stack.call("rabbitmqctl", "set_vm_memory_high_watermark", "absolute", "1MB")
		pause(ctx, between(r, 500*time.Millisecond, 5*time.Second))
		return firstError(err, h.mend(ctx, "rabbitmqctl", "set_vm_memory_high_watermark", "0.6"))
	}},
}

func anyServer(r *rand.Rand) string { return []string{"rabbitmq", "postgres", "mongodb"}[r.IntN(3)] }

// downtime takes a server down for a while.
func (h *harness) downtime(ctx context.Context, r *rand.Rand, down func(string) error) error {
	server := anyServer(r)
	err := down(server)
	pause(ctx, between(r, 0, 3*time.Second))
	return firstError(err, h.mend(ctx, "start", server))
}

// mend has scripts/stack set right what a fault did to a server, when the round
// ends too.
func (h *harness) mend(ctx context.Context, args ...string) error {
	return h.insist(context.WithoutCancel(ctx), "mend a server", func() error { return h.stack.call(args...) })
}
