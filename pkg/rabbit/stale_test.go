package rabbit_test

import (
	"context"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/rabbit"
)

// After a cut, messages have the delivery tags that others had before. With the
// client's own recovery, acknowledging a delivery from before it acknowledges
// another one, which nobody has handled, and says that all is well.
func TestAStaleAckAcknowledgesNoOtherMessage(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	publisher, h := open(t, address)
	if err := publisher.Publish(t.Context(), small(rabbit.Delta, "a", "b", "c", "d")); err != nil {
		t.Fatal(err)
	}
	publisher.Close() // the cut is of the consumer's connection
	b := rabbit.New(rabbit.Config{URL: address, App: "test", Prefetch: 3}, h.tell)
	t.Cleanup(b.Close)
	deliveries := consume(t.Context(), t, b, rabbit.Delta)
	first, stale := receive(t, deliveries), receive(t, deliveries)
	if err := first.Ack(); err != nil {
		t.Fatal(err)
	}
	receive(t, deliveries)
	if last := receive(t, deliveries); first.ID != "a" || stale.ID != "b" || last.ID != "d" { // which comes when the broker has a's
		t.Fatalf("got %s, %s and at last %s", first.ID, stale.ID, last.ID)
	}
	pipetest.CloseConnections(t, address)
	deliveries = goOn(t, b, deliveries)
	again, other := receive(t, deliveries), receive(t, deliveries)
	receive(t, deliveries)
	if again.ID != "b" || other.ID != "c" { // b under a's tag, c under b's
		t.Fatalf("again came %s and %s", again.ID, other.ID)
	}
	if err := stale.Ack(); err == nil {
		t.Error("the delivery from before the cut was acknowledged")
	}
	b.Release()
	deliveries = consume(t.Context(), t, b, rabbit.Delta)
	if again, other := receive(t, deliveries), receive(t, deliveries); again.ID != "b" || other.ID != "c" {
		t.Errorf("left are %s and %s; nobody has handled b and c", again.ID, other.ID)
	}
}

// goOn returns the deliveries after a cut: those of another session, unless the
// client has gone on by itself.
func goOn(t *testing.T, b *rabbit.Broker, deliveries <-chan pipeline.Delivery) <-chan pipeline.Delivery {
	t.Helper()
	select {
	case d, ok := <-deliveries:
		if !ok {
			break
		}
		all := make(chan pipeline.Delivery, 100)
		all <- d
		go func() {
			for d := range deliveries {
				all <- d
			}
			close(all)
		}()
		return all
	case <-time.After(limit):
		t.Fatal("nothing came of the cut")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	for {
		again, err := b.Consume(ctx, rabbit.Delta)
		if err == nil {
			return again
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
