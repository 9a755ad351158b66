package rabbit_test

import (
	"testing"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/rabbit"
)

// The lengths of queues are read by a user who may not configure them; a queue that is not there costs the answer alone, and no consumer.
func TestTheLongestQueueIsFound(t *testing.T) {
	address := pipetest.Rabbit(t)
	owner, _ := open(t, address)
	var letters []pipeline.Envelope
	for i, queue := range []string{rabbit.Delta, rabbit.Rollup, rabbit.Rollup} {
		letters = append(letters, pipeline.Envelope{ID: string(rune('a' + i)), Kind: event.KindJob, Queue: queue, Body: []byte("{}")})
	}
	if err := owner.Publish(t.Context(), letters); err != nil {
		t.Fatal(err)
	}
	b := rabbit.New(rabbit.Config{URL: pipetest.RabbitUser(t, address, "^$"), App: "test", Prefetch: 1}, func(string, error) {})
	t.Cleanup(b.Close)
	if _, _, err := b.Longest(t.Context(), rabbit.Delta); !pipeline.IsUnavailable(err) {
		t.Errorf("without a connection: %v", err)
	}
	deliveries := consume(t.Context(), t, b, rabbit.Fetch)
	if queue, n, err := b.Longest(t.Context(), rabbit.Delta, rabbit.Annotate, rabbit.Rollup); queue != rabbit.Rollup || n != 2 || err != nil {
		t.Errorf("%s holds %d, %v", queue, n, err)
	}
	if _, _, err := b.Longest(t.Context(), "leat.nowhere", rabbit.Delta); !pipeline.IsUnavailable(err) {
		t.Errorf("a queue that is not there: %v", err)
	}
	if err := owner.Publish(t.Context(), []pipeline.Envelope{{ID: "j", Kind: event.KindJob, Queue: rabbit.Fetch, Body: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	if d, ok := <-deliveries; !ok || d.ID != "j" {
		t.Errorf("the consumer was lost: %+v", d)
	}
}
