package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/client"
)

var queueFaults = []fault{
	// Copies under the same ids, at once.
	{kind: "duplicate", lane: "server", weight: 4, do: intercepting(func(h *harness, ctx context.Context, r *rand.Rand, t *tap) error {
		for range 1 + r.IntN(3) {
			if err := t.publish(ctx, t.taken); err != nil {
				return err
			}
			h.copied(len(t.taken))
		}
		return t.giveBack()
	})},
	// Copies of what was done long ago.
	{kind: "echo", lane: "server", weight: 4, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.intercept(ctx, r, func(t *tap) error {
			h.atLast(func(ctx context.Context) {
				defer t.close()
				_ = h.insist(ctx, "echo", func() error { return h.republish(ctx, t.queue, t.taken) }) // a context that is over ends it
				h.copied(len(t.taken))
			})
			return t.giveBack()
		})
	}},
	// Messages that come long after those behind them.
	{kind: "late", lane: "server", weight: 6, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.intercept(ctx, r, func(t *tap) error {
			if r.IntN(2) == 0 {
				h.holdBack(t)
				return nil
			}
			defer t.close()
			pause(ctx, between(r, 500*time.Millisecond, 4*time.Second))
			return t.giveBack()
		})
	}},
	// The last comes first.
	{kind: "reorder", lane: "server", weight: 4, do: intercepting(func(h *harness, ctx context.Context, _ *rand.Rand, t *tap) error {
		slices.Reverse(t.taken)
		if err := t.publish(ctx, t.taken); err != nil {
			return err
		}
		return t.taken[0].Ack(true)
	})},
	{kind: "poison", lane: "server", weight: 2, do: (*harness).poison},
	{kind: "purge", lane: "server", weight: 1, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.rob(ctx, r, func(ch *amqp.Channel, queue string) error { _, err := ch.QueuePurge(queue, false); return err })
	}},
	{kind: "delete-queue", lane: "server", weight: 1, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.rob(ctx, r, func(ch *amqp.Channel, queue string) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		})
	}},
}

// holdBack keeps what a tap took until the round's last jobs are through.
func (h *harness) holdBack(t *tap) {
	h.mu.Lock()
	h.held += len(t.taken)
	h.mu.Unlock()
	h.atLast(func(context.Context) {
		if len(t.taken) > 0 {
			_ = t.giveBack() // by a session that is over it was given back already
		}
		t.close()
	})
}

// A tap is a consumer that goes before the workers, and what it took.
type tap struct {
	queue string
	conn  *amqp.Connection
	ch    *amqp.Channel
	taken []amqp.Delivery
}

const (
	tapFor  = 1500 * time.Millisecond
	tapMost = 12
)

// intercepting is a fault in which f does something to messages that were on
// their way.
func intercepting(f func(*harness, context.Context, *rand.Rand, *tap) error) func(*harness, context.Context, *rand.Rand) error {
	return func(h *harness, ctx context.Context, r *rand.Rand) error {
		return h.intercept(ctx, r, func(t *tap) error {
			defer t.close()
			return f(h, ctx, r, t)
		})
	}
}

// intercept takes some of the next messages of a stage before any worker does.
// A tap that f does not close holds them.
func (h *harness) intercept(ctx context.Context, r *rand.Rand, f func(*tap) error) error {
	queue := []string{rabbit.Fetch, rabbit.Delta, rabbit.Delta, rabbit.Annotate, rabbit.Rollup}[r.IntN(5)]
	t, err := h.tap(queue)
	if err != nil {
		return err
	}
	if err := t.take(ctx, 1+r.IntN(tapMost), tapFor); err != nil || len(t.taken) == 0 {
		t.close()
		return firstError(err, errNot)
	}
	return f(t)
}

func (h *harness) tap(queue string) (*tap, error) {
	conn, err := amqp.Dial(h.lab.Cfg.RabbitMQ.URL)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	t := &tap{queue: queue, conn: conn, ch: ch}
	if err != nil {
		t.close()
	}
	return t, err
}

func (t *tap) close() { _ = t.conn.Close() } // what it holds goes back to the queue

// take takes up to n messages, for so long.
func (t *tap) take(ctx context.Context, n int, long time.Duration) error {
	if err := t.ch.Qos(n, 0, false); err != nil {
		return err
	}
	deliveries, err := t.ch.Consume(t.queue, "tap", false, false, false, false, amqp.Table{"x-priority": int32(10)})
	if err != nil {
		return err
	}
	for over := time.After(long); len(t.taken) < n; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			n = 0
		case d, ok := <-deliveries:
			if !ok {
				return fmt.Errorf("tap of %s: cancelled", t.queue)
			}
			t.taken = append(t.taken, d)
		}
	}
	if err := t.ch.Cancel("tap", false); err != nil {
		return err
	}
	for d := range deliveries { // those that were on their way
		t.taken = append(t.taken, d)
	}
	return nil
}

func (t *tap) giveBack() error { return t.taken[len(t.taken)-1].Nack(true, true) }

// publish publishes copies of what was taken, under the same ids.
func (t *tap) publish(ctx context.Context, taken []amqp.Delivery) error {
	for _, d := range taken {
		headers := maps.Clone(d.Headers)
		maps.DeleteFunc(headers, func(name string, _ any) bool { return strings.HasPrefix(name, "x-") })
		c, err := t.ch.PublishWithDeferredConfirm(rabbit.Exchange, t.queue, true, false, amqp.Publishing{
			Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent, Priority: d.Priority,
			CorrelationId: d.CorrelationId, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
		})
		if err != nil {
			return err
		}
		if ok, err := c.WaitContext(ctx); err != nil || !ok {
			return fmt.Errorf("copy of %s not confirmed: %w", d.MessageId, err)
		}
	}
	return nil
}

// republish publishes copies by a session of its own.
func (h *harness) republish(ctx context.Context, queue string, taken []amqp.Delivery) error {
	t, err := h.tap(queue)
	if err != nil {
		return err
	}
	defer t.close()
	return t.publish(ctx, taken)
}

// poison publishes a message that nobody can do anything with. It must become a
// dead letter, and nothing else.
func (h *harness) poison(ctx context.Context, r *rand.Rand) error {
	id := "poison-" + uuid.NewString()
	p := amqp.Delivery{MessageId: id, Type: "leat.job.v1", Body: []byte(`{"source":"nobody"}`)}
	queue := []string{rabbit.Fetch, rabbit.Delta, rabbit.Annotate, rabbit.Rollup}[r.IntN(4)]
	if queue != rabbit.Fetch {
		p.Type, p.Body, p.CorrelationId = map[string]string{
			rabbit.Delta: "leat.part.v2", rabbit.Annotate: "leat.changes.v2", rabbit.Rollup: "leat.changes.v2",
		}[queue], []byte(`{"no":`), uuid.NewString()
	}
	h.mu.Lock()
	h.poisons[id] = true
	h.mu.Unlock()
	return h.insist(ctx, "poison", func() error { return h.republish(ctx, queue, []amqp.Delivery{p}) })
}

// rob takes all messages out of a queue, or the queue itself, as a person may by
// mistake. What was in it is lost, and comes again with a resume of the jobs.
func (h *harness) rob(ctx context.Context, r *rand.Rand, take func(*amqp.Channel, string) error) error {
	queue := []string{rabbit.Fetch, rabbit.Delta, rabbit.Annotate, rabbit.Rollup}[r.IntN(4)]
	t, err := h.tap(queue)
	if err != nil {
		return err
	}
	defer t.close()
	if err := take(t.ch, queue); err != nil {
		return err
	}
	h.mu.Lock()
	for id := range h.poisons {
		h.poisons[id] = false
	}
	h.robbed = true
	h.mu.Unlock()
	return h.insist(ctx, "resume", func() error { return h.resume(ctx) })
}

// resume does what a person does after a queue was purged: jobs that never had a
// row are submitted again, under the same id, and the others resumed.
func (h *harness) resume(ctx context.Context) error {
	ids, err := h.unfinished(ctx)
	if err != nil {
		return err
	}
	c, err := client.Open(ctx, h.lab.Cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, id := range ids {
		h.mu.Lock()
		job, ours := h.jobs[id]
		h.mu.Unlock()
		known, err := c.FindJob(ctx, id)
		switch {
		case err != nil && !ours:
			return err
		case err != nil:
			err = h.broker.Publish(ctx, []pipeline.Envelope{job})
		case known.Open():
			_, err = c.Resume(ctx, id, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
