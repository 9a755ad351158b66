package rabbit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/rabbit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

const limit = 60 * time.Second // for what must come

// A health remembers what a broker said of its components.
type health struct {
	mu sync.Mutex
	of map[string]error
}

func (h *health) tell(component string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[component] = err
}

func (h *health) get(component string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[component]
}

// open returns a broker of the vhost, in which the queues are declared.
func open(t *testing.T, address string) (*rabbit.Broker, *health) {
	t.Helper()
	cfg := rabbit.Config{URL: address, App: "test", Prefetch: 100}
	if err := rabbit.Declare(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	h := &health{of: map[string]error{}}
	b := rabbit.New(cfg, h.tell)
	t.Cleanup(b.Close)
	return b, h
}

// channel returns a channel of the client itself, for what the package does not do.
func channel(t *testing.T, address string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func consume(ctx context.Context, t *testing.T, b *rabbit.Broker, queue string) <-chan pipeline.Delivery {
	t.Helper()
	deliveries, err := b.Consume(ctx, queue)
	if err != nil {
		t.Fatal(err)
	}
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

func small(queue string, ids ...string) (out []pipeline.Envelope) {
	for _, id := range ids {
		out = append(out, pipeline.Envelope{ID: id, Queue: queue, Body: []byte("{}")})
	}
	return out
}

func TestABrokerIsASourceAndASink(t *testing.T) {
	t.Parallel()
	pipetest.TestSourceAndSink(t, func(t *testing.T) pipetest.Broker {
		b, _ := open(t, pipetest.Rabbit(t))
		return pipetest.Broker{Source: b, Sink: b, Queue: rabbit.Delta, Other: rabbit.Rollup}
	})
}

func TestWhatAPersonPublishesIsAJob(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	b, _ := open(t, address)
	// As the management UI does: the default exchange, no property at all.
	body := `{"source":"ads"}`
	if err := channel(t, address).PublishWithContext(t.Context(), "", rabbit.Fetch, false, false, amqp.Publishing{Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	d := receive(t, consume(t.Context(), t, b, rabbit.Fetch))
	if d.Kind != event.KindJob || d.Queue != rabbit.Fetch || d.ID != "" || d.Job != "" || string(d.Body) != body {
		t.Errorf("got %+v, want a job without an id", d.Envelope)
	}
	if age := time.Since(d.At); age < 0 || age > limit {
		t.Errorf("at %s, want now", d.At)
	}
}

func TestAMessageCanBeReadInAnyTool(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	b, _ := open(t, address)
	e := pipeline.Envelope{
		ID: "id", Kind: event.KindPart, Queue: rabbit.Delta, Key: "k", Cause: "c", Job: "job", At: time.Unix(1_700_000_000, 0), Priority: 1,
		Attempt: 2, Body: json.RawMessage(`{"pad":"` + strings.Repeat("x", 17<<10) + `"}`),
	}
	if err := b.Publish(t.Context(), []pipeline.Envelope{e}); err != nil {
		t.Fatal(err)
	}
	m, ok, err := channel(t, address).Get(rabbit.Delta, true)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	got := []any{
		m.MessageId, m.Type, m.CorrelationId, m.Timestamp.Unix(), m.ContentType, m.ContentEncoding, m.AppId, m.DeliveryMode, m.Priority,
		m.Exchange, m.RoutingKey, m.Headers["cause"], m.Headers["key"], m.Headers["attempt"],
	}
	want := []any{
		"id", event.KindPart, "job", int64(1_700_000_000), "application/json", "zstd", "test", amqp.Persistent, byte(1),
		"leat", rabbit.Delta, "c", "k", int64(2),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v,\nwant %v", got, want)
	}
}

func TestAnUnroutableMessageNamesTheCure(t *testing.T) {
	t.Parallel()
	b, h := open(t, pipetest.Rabbit(t))
	err := b.Publish(t.Context(), small("leat.nowhere", "lost"))
	if !pipeline.IsUnavailable(err) || !strings.Contains(err.Error(), "lost") || !strings.Contains(err.Error(), "leat migrate") {
		t.Errorf("got %v, want an outage that names the message and `leat migrate`", err)
	}
	if err := h.get("publisher"); err != nil {
		t.Errorf("the publisher is said to be unwell: %v", err)
	}
}

func TestWhatNoBrokerTakesIsPermanent(t *testing.T) {
	t.Parallel()
	b, _ := open(t, pipetest.Rabbit(t))
	noise := make([]byte, 17<<20)
	state := uint64(1)
	for i := range noise {
		state = state*6364136223846793005 + 1442695040888963407
		noise[i] = byte(state >> 56)
	}
	for name, e := range map[string]pipeline.Envelope{
		"an id of 256 bytes":                    {ID: strings.Repeat("x", 256), Queue: rabbit.Delta},
		"a kind of 256 bytes":                   {Kind: strings.Repeat("x", 256), Queue: rabbit.Delta},
		"17 MiB that do not compress":           {Body: noise, Queue: rabbit.Delta},
		"65 MiB, which nobody would decompress": {Body: make([]byte, 65<<20), Queue: rabbit.Delta},
	} {
		if err := b.Publish(t.Context(), []pipeline.Envelope{e}); !pipeline.IsPermanent(err) {
			t.Errorf("%s: %v, want Permanent", name, err)
		}
	}
	if err := b.Publish(t.Context(), small(rabbit.Delta, "after")); err != nil {
		t.Errorf("the session after them: %v", err)
	}
}

func TestPublishingThroughACutLosesNothing(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	b, _ := open(t, address)
	if err := b.Publish(t.Context(), small(rabbit.Rollup, "first")); err != nil { // there is a connection to cut
		t.Fatal(err)
	}

	var failures atomic.Int64
	left := map[string]bool{}
	var publisher sync.WaitGroup
	publisher.Go(func() { // the cut comes in the middle of it
		for failures.Load() == 0 || len(left) < 2000 {
			var ids []string
			for range 20 {
				ids = append(ids, fmt.Sprint("m", len(left)))
				left[ids[len(ids)-1]] = true
			}
			for b.Publish(t.Context(), small(rabbit.Delta, ids...)) != nil && t.Context().Err() == nil {
				failures.Add(1)
			}
		}
	})
	for failures.Load() == 0 {
		pipetest.CloseConnections(t, address)
	}
	publisher.Wait()
	t.Logf("%d messages, %d publishes failed", len(left), failures.Load())

	deliveries := consume(t.Context(), t, b, rabbit.Delta)
	for seen := map[string]bool{}; len(left) > 0; {
		d := receive(t, deliveries)
		if !left[d.ID] && !seen[d.ID] {
			t.Fatalf("message %q was never published", d.ID)
		}
		seen[d.ID] = true
		delete(left, d.ID)
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACutEndsTheSessionAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	b, h := open(t, address)
	if err := b.Publish(t.Context(), small(rabbit.Delta, "a")); err != nil {
		t.Fatal(err)
	}
	deliveries := consume(t.Context(), t, b, rabbit.Delta)
	d := receive(t, deliveries)
	if err := h.get("consumer"); err != nil {
		t.Errorf("a registered consumer is said to be unwell: %v", err)
	}
	untilClosed(t, deliveries, func() { pipetest.CloseConnections(t, address) })
	if h.get("consumer") == nil {
		t.Error("a consumer that lost its connection is said to be well")
	}
	if err := d.Ack(); err == nil {
		t.Error("a delivery of the lost session was acknowledged")
	}
	b.Release()
	if d := receive(t, consume(t.Context(), t, b, rabbit.Delta)); d.ID != "a" || d.Deliveries != 1 {
		t.Errorf("got %s, delivered %d times before, want a, once", d.ID, d.Deliveries)
	}
	if err := b.Publish(t.Context(), small(rabbit.Delta, "b")); err != nil && b.Publish(t.Context(), small(rabbit.Delta, "b")) != nil {
		t.Errorf("publishing after the cut: %v", err)
	}
}

// untilClosed does what ends a session, again if need be, until its deliveries end.
func untilClosed(t *testing.T, deliveries <-chan pipeline.Delivery, end func()) {
	t.Helper()
	end()
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return
			}
			t.Logf("%s was under way", d.ID)
		case <-time.After(5 * time.Second): // it cut another connection of the vhost
			end()
		}
	}
}

func TestAConsumerCancelledByTheBrokerEndsTheSession(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	b, h := open(t, address)
	deliveries := consume(t.Context(), t, b, rabbit.Delta)
	if _, err := channel(t, address).QueueDelete(rabbit.Delta, false, false, false); err != nil {
		t.Fatal(err)
	}
	select {
	case _, ok := <-deliveries:
		if ok {
			t.Fatal("a delivery of a queue that is gone")
		}
	case <-time.After(limit):
		t.Fatal("the channel stays open without a consumer")
	}
	if h.get("consumer") == nil {
		t.Error("a cancelled consumer is said to be well")
	}
	deliveries = consume(t.Context(), t, b, rabbit.Delta) // declares the queue again
	if err := b.Publish(t.Context(), small(rabbit.Delta, "a")); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, deliveries); d.ID != "a" {
		t.Errorf("got %s, want a", d.ID)
	}
}

func TestDeclareAgainIsFine(t *testing.T) {
	t.Parallel()
	cfg := rabbit.Config{URL: pipetest.Rabbit(t)}
	for range 2 {
		if err := rabbit.Declare(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAQueueWithOtherArgumentsIsAnErrorThatSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	args := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-delivery-limit": 7}
	if _, err := channel(t, address).QueueDeclare(rabbit.Dead, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
	err := rabbit.Declare(t.Context(), rabbit.Config{URL: address})
	if err == nil || !strings.Contains(err.Error(), rabbit.Dead) || !strings.Contains(err.Error(), "x-delivery-limit") {
		t.Errorf("got %v, want an error that names %s and x-delivery-limit", err, rabbit.Dead)
	}
	if pipeline.IsUnavailable(err) {
		t.Errorf("%v passes for an outage", err)
	}
}

func TestAUserWhoMayNotConfigureStillConsumesAndPublishes(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	open(t, address) // declared by one who may
	cfg := rabbit.Config{URL: pipetest.RabbitUser(t, address, "^$"), Prefetch: 1}
	if err := rabbit.Declare(t.Context(), cfg); !errors.Is(err, rabbit.ErrMayNotConfigure) {
		t.Errorf("Declare returned %v, want ErrMayNotConfigure", err)
	}
	b := rabbit.New(cfg, func(string, error) {})
	defer b.Close()
	if err := b.Publish(t.Context(), small(rabbit.Delta, "a")); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, consume(t.Context(), t, b, rabbit.Delta)); d.ID != "a" {
		t.Errorf("got %s, want a", d.ID)
	}
}

func TestABrokerThatIsAwayIsAnOutage(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(pipetest.Rabbit(t))
	if err != nil {
		t.Fatal(err)
	}
	wrong := *u
	wrong.User = url.UserPassword("nobody", "wrong")
	nowhere := *u
	nowhere.Host = "127.0.0.1:1"
	for name, address := range map[string]string{"nobody listens": nowhere.String(), "the password is wrong": wrong.String()} {
		h := &health{of: map[string]error{}}
		b := rabbit.New(rabbit.Config{URL: address, Prefetch: 1}, h.tell)
		if err := b.Publish(t.Context(), small(rabbit.Delta, "a")); !pipeline.IsUnavailable(err) {
			t.Errorf("%s: Publish returned %v, want Unavailable", name, err)
		}
		if h.get("publisher") == nil {
			t.Errorf("%s: the publisher is said to be well", name)
		}
		if _, err := b.Consume(t.Context(), rabbit.Delta); !pipeline.IsUnavailable(err) {
			t.Errorf("%s: Consume returned %v, want Unavailable", name, err)
		}
		b.Close()
	}
}

func TestSeveralPublishSideBySide(t *testing.T) {
	t.Parallel()
	b, _ := open(t, pipetest.Rabbit(t))
	var publishers sync.WaitGroup
	for i := range 8 {
		publishers.Go(func() {
			queue := rabbit.Delta
			if i%2 == 1 {
				queue = "leat.nowhere"
			}
			for j := range 20 {
				err := b.Publish(t.Context(), small(queue, fmt.Sprint(i, " ", j)))
				if routed := queue == rabbit.Delta; (err == nil) != routed {
					t.Errorf("to %s: %v", queue, err)
				}
			}
		})
	}
	publishers.Wait()
}
