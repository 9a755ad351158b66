package pipetest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

// A Broker is a Source and a Sink that speak of the same two queues.
type Broker struct {
	pipeline.Source
	pipeline.Sink
	Queue, Other string
}

// TestSourceAndSink checks what a worker relies on. Open returns a broker of its
// own for each test, whose prefetch is at least 10.
func TestSourceAndSink(t *testing.T, open func(t *testing.T) Broker) {
	tests := []struct {
		name string
		test func(t *testing.T, b Broker)
	}{
		{"What is published is delivered with all its properties", keepsProperties},
		{"A body comes through byte for byte", keepsBodies},
		{"Deliveries come in the order of publishing", keepsOrder},
		{"What is not acknowledged comes again after Release and says so", redelivers},
		{"What is acknowledged does not come again", forgets},
		{"An acknowledgement after Release is an error", refusesStaleAcks},
		{"A message that no queue takes is an error and the others go through", refusesUnroutable},
		{"A stop closes the channel after what was delivered and acknowledgements still count", drains},
		{"A lost session closes the channel and Consume begins another", beginsAgain},
		{"A message that waits comes to its own queue, later", waits},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, open(t))
		})
	}
}

func keepsProperties(t *testing.T, b Broker) {
	want := pipeline.Envelope{
		ID: "id", Kind: "leat.part.v1", Queue: b.Queue, Key: "ad/ä 1", Cause: "cause", Job: "job",
		At: time.Date(2026, 11, 20, 12, 30, 1, 0, time.UTC), Priority: 5, Attempt: 2, Waited: 3, Replay: 4,
		Headers: map[string]string{"traceparent": "00-1-2-03", "error": "why"}, Body: json.RawMessage(`{"a":1}`),
	}
	publish(t, b, want)
	got := receive(t, consume(t.Context(), t, b, b.Queue))
	got.At = got.At.UTC()
	if !reflect.DeepEqual(got.Envelope, want) || got.Deliveries != 0 {
		t.Errorf("got  %+v, delivered %d times before,\nwant %+v, never", got.Envelope, got.Deliveries, want)
	}
}

func keepsBodies(t *testing.T, b Broker) {
	binary := make([]byte, 1<<20)
	for i := range binary {
		binary[i] = byte(i * i >> 7)
	}
	bodies := []json.RawMessage{{}, []byte("{}"), binary[:255], make([]byte, 10<<20), binary}
	for i, body := range bodies {
		publish(t, b, pipeline.Envelope{ID: fmt.Sprint(i), Queue: b.Queue, Body: body})
	}
	deliveries := consume(t.Context(), t, b, b.Queue)
	for i, body := range bodies {
		if got := receive(t, deliveries); !slices.Equal(got.Body, body) {
			t.Errorf("body %d: %d bytes came, other than the %d that went", i, len(got.Body), len(body))
		}
	}
}

func keepsOrder(t *testing.T, b Broker) {
	const n = 600 // more than a window of confirms
	var all []pipeline.Envelope
	for i := range n {
		all = append(all, pipeline.Envelope{ID: fmt.Sprint(i), Queue: b.Queue, Body: []byte("{}")})
	}
	publish(t, b, all...)
	deliveries := consume(t.Context(), t, b, b.Queue)
	for i := range n {
		d := receive(t, deliveries)
		if d.ID != fmt.Sprint(i) {
			t.Fatalf("message %s came as number %d", d.ID, i)
		}
		ack(t, d)
	}
}

func redelivers(t *testing.T, b Broker) {
	publish(t, b, small(b.Queue, "a", "b")...)
	for times := range 3 {
		deliveries := consume(t.Context(), t, b, b.Queue)
		for _, id := range []string{"a", "b"} {
			if d := receive(t, deliveries); d.ID != id || d.Deliveries != times {
				t.Errorf("got %s, delivered %d times before, want %s and %d", d.ID, d.Deliveries, id, times)
			}
		}
		b.Release()
	}
}

func forgets(t *testing.T, b Broker) {
	publish(t, b, small(b.Queue, "a", "b", "c")...)
	deliveries := consume(t.Context(), t, b, b.Queue)
	receive(t, deliveries)
	ack(t, receive(t, deliveries))
	b.Release()
	deliveries = consume(t.Context(), t, b, b.Queue)
	publish(t, b, small(b.Queue, "end")...)
	var ids []string
	for range 3 {
		ids = append(ids, receive(t, deliveries).ID)
	}
	if want := []string{"a", "c", "end"}; !slices.Equal(ids, want) {
		t.Errorf("after b was acknowledged: got %v, want %v", ids, want)
	}
}

func refusesStaleAcks(t *testing.T, b Broker) {
	publish(t, b, small(b.Queue, "a")...)
	d := receive(t, consume(t.Context(), t, b, b.Queue))
	b.Release()
	again := receive(t, consume(t.Context(), t, b, b.Queue))
	if err := d.Ack(); err == nil {
		t.Error("the delivery of a session that is over was acknowledged")
	}
	ack(t, again)
}

func refusesUnroutable(t *testing.T, b Broker) {
	out := append(small("leat.nowhere", "lost"), small(b.Queue, "good")...)
	if err := b.Publish(t.Context(), out); !pipeline.IsUnavailable(err) {
		t.Errorf("Publish to a queue that does not exist returned %v, want Unavailable", err)
	}
	publish(t, b, small(b.Queue, "after")...) // the session is sound
	deliveries := consume(t.Context(), t, b, b.Queue)
	for _, want := range []string{"good", "after"} {
		if d := receive(t, deliveries); d.ID != want {
			t.Errorf("got %s, want %s", d.ID, want)
		}
	}
}

func drains(t *testing.T, b Broker) {
	publish(t, b, small(b.Queue, "a", "b", "c")...)
	ctx, stop := context.WithCancel(t.Context())
	deliveries := consume(ctx, t, b, b.Queue)
	taken := receive(t, deliveries)
	stop()
	left := map[string]bool{"b": true, "c": true}
	for d := range deliveries { // what was on its way is in hand too, or goes back
		if !left[d.ID] {
			t.Errorf("%s came after the stop", d.ID)
		}
	}
	ack(t, taken)
	b.Release()
	deliveries = consume(t.Context(), t, b, b.Queue)
	for len(left) > 0 {
		d := receive(t, deliveries)
		if !left[d.ID] {
			t.Fatalf("%s came again, which was acknowledged after the stop", d.ID)
		}
		delete(left, d.ID)
	}
}

func beginsAgain(t *testing.T, b Broker) {
	publish(t, b, small(b.Queue, "a")...)
	first := consume(t.Context(), t, b, b.Queue)
	receive(t, first)
	b.Release()
	select {
	case d, open := <-first:
		if open {
			t.Errorf("%s came from a session that is over", d.ID)
		}
	case <-time.After(limit):
		t.Fatal("the channel of a session that is over stays open")
	}
	if d := receive(t, consume(t.Context(), t, b, b.Queue)); d.ID != "a" {
		t.Errorf("got %s, want a", d.ID)
	}
}

func waits(t *testing.T, b Broker) {
	start := time.Now()
	for _, queue := range []string{b.Queue, b.Other} {
		late := small(queue, "late for "+queue)
		late[0].Wait, late[0].Key = pipeline.Waits[0], "key"
		publish(t, b, late...)
		publish(t, b, small(queue, "at once")...)
	}
	for _, queue := range []string{b.Queue, b.Other} {
		deliveries := consume(t.Context(), t, b, queue)
		for _, want := range []string{"at once", "late for " + queue} {
			d := receive(t, deliveries)
			if d.ID != want || d.Queue != queue {
				t.Errorf("%q came to %s, want %q to %s", d.ID, d.Queue, want, queue)
			}
			ack(t, d)
			if d.ID != "at once" && (d.Key != "key" || d.Wait != 0 || d.Deliveries != 0) {
				t.Errorf("after waiting: %+v", d)
			}
		}
	}
	if took := time.Since(start); took < pipeline.Waits[0]-10*time.Millisecond {
		t.Errorf("it waited %s, want %s", took, pipeline.Waits[0])
	}
}

// limit is how long a test waits for what must come.
const limit = 30 * time.Second

func small(queue string, ids ...string) (out []pipeline.Envelope) {
	for _, id := range ids {
		out = append(out, pipeline.Envelope{ID: id, Queue: queue, Body: []byte("{}")})
	}
	return out
}

func publish(t *testing.T, b Broker, out ...pipeline.Envelope) {
	t.Helper()
	if err := b.Publish(t.Context(), out); err != nil {
		t.Fatal(err)
	}
}

func consume(ctx context.Context, t *testing.T, b Broker, queue string) <-chan pipeline.Delivery {
	t.Helper()
	deliveries, err := b.Consume(ctx, queue)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Release)
	return deliveries
}

func receive(t *testing.T, deliveries <-chan pipeline.Delivery) pipeline.Delivery {
	t.Helper()
	select {
	case d, ok := <-deliveries:
		if !ok {
			t.Fatal("the deliveries ended")
		}
		return d
	case <-time.After(limit):
		t.Fatal("no delivery came")
	}
	panic("unreachable")
}

func ack(t *testing.T, d pipeline.Delivery) {
	t.Helper()
	if err := d.Ack(); err != nil {
		t.Fatal(err)
	}
}
