package rabbit

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// delivered is what the broker makes of a publishing.
func delivered(p amqp.Publishing, queue string) amqp.Delivery {
	return amqp.Delivery{
		MessageId: p.MessageId, Type: p.Type, CorrelationId: p.CorrelationId, Timestamp: p.Timestamp, Priority: p.Priority,
		ContentType: p.ContentType, ContentEncoding: p.ContentEncoding, Headers: p.Headers, Body: p.Body, RoutingKey: queue,
	}
}

func TestTheWireGivesBackWhatWentIn(t *testing.T) {
	full := pipeline.Envelope{
		ID: "id", Kind: event.KindPart, Queue: Delta, Key: "ad/ä", Cause: "cause", Job: "job", At: time.Unix(1_700_000_000, 0), Priority: 5,
		Attempt: 2, Waited: 40, Replay: 1, Headers: map[string]string{"traceparent": "00-1-2-03"}, Body: json.RawMessage(`{"a":1}`),
	}
	with := func(change func(*pipeline.Envelope)) pipeline.Envelope {
		e := full
		change(&e)
		return e
	}
	tests := []struct {
		name     string
		e        pipeline.Envelope
		encoding string
	}{
		{"every field", full, ""},
		{"nothing but what must be", pipeline.Envelope{Kind: event.KindJob, At: full.At, Body: json.RawMessage("{}")}, ""},
		{"a dead letter", with(func(e *pipeline.Envelope) {
			e.Queue = Dead
			e.Headers = map[string]string{"error": "why", "error_class": "permanent", "died_at": "now", "stage": "delta", "attempts": "1", "origin_queue": Delta}
		}), ""},
		{"16 KiB go as they are", with(func(e *pipeline.Envelope) { e.Body = bytes.Repeat([]byte("ab"), 8<<10) }), ""},
		{"more is compressed", with(func(e *pipeline.Envelope) { e.Body = bytes.Repeat([]byte("ab"), 8<<10+1) }), "zstd"},
		{"10 MiB of zeros", with(func(e *pipeline.Envelope) { e.Body = make([]byte, 10<<20) }), "zstd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := toWire(tt.e, "app")
			if err != nil {
				t.Fatal(err)
			}
			if p.ContentEncoding != tt.encoding {
				t.Errorf("content_encoding %q, want %q", p.ContentEncoding, tt.encoding)
			}
			if err := p.Headers.Validate(); err != nil {
				t.Error(err)
			}
			if got := fromWire(delivered(p, tt.e.Queue)); !reflect.DeepEqual(got, tt.e) {
				t.Errorf("got  %.300v,\nwant %.300v", got, tt.e)
			}
		})
	}
}

func TestTheBrokersOwnHeadersStayBehind(t *testing.T) {
	got := fromWire(amqp.Delivery{Headers: amqp.Table{
		"x-delivery-count": int64(3), "x-death": []any{}, "x-first-death-queue": "leat.wait.10s", "traceparent": "p", "attempt": int64(1), "odd": int64(7),
	}})
	if want := map[string]string{"traceparent": "p"}; !reflect.DeepEqual(got.Headers, want) {
		t.Errorf("carried %v, want %v", got.Headers, want)
	}
}

// What a shovel or a person moves keeps its properties and headers.
func TestADeadLetterThatWasMovedByHandIsAReplay(t *testing.T) {
	letter := pipeline.Envelope{
		ID: "id", Kind: event.KindPart, Queue: Dead, Job: "job", At: time.Unix(1_700_000_000, 0), Attempt: 4, Waited: 2, Replay: 1, Body: json.RawMessage("{}"),
		Headers: map[string]string{
			"error": "why", "error_class": "permanent", "died_at": "now", "stage": "delta", "attempts": "5", "origin_queue": Delta, "traceparent": "p",
		},
	}
	want := letter
	want.Queue, want.Attempt, want.Waited, want.Replay, want.Headers = Delta, 0, 0, 2, map[string]string{"traceparent": "p"}
	p, err := toWire(letter, "app")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is redelivered
		if got := fromWire(delivered(p, Delta)); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v,\nwant %+v", got, want)
		}
	}
}

func TestTheBrokersDeadLettersSayWhereTheyDied(t *testing.T) {
	got := fromWire(amqp.Delivery{RoutingKey: Dead, MessageId: "id", Headers: amqp.Table{
		"x-death": []any{amqp.Table{"queue": Delta, "reason": "delivery_limit", "time": time.Unix(1_700_000_000, 0)}, amqp.Table{"queue": "leat.wait.10s"}},
	}})
	want := map[string]string{
		"error": "the broker gave it up: delivery_limit", "error_class": "crashed", "stage": "delta", "attempts": "1",
		"died_at": "2023-11-14T22:13:20Z", "origin_queue": Delta,
	}
	if !reflect.DeepEqual(got.Headers, want) {
		t.Errorf("headers %v, want %v", got.Headers, want)
	}
	waited := fromWire(amqp.Delivery{RoutingKey: Dead, Headers: amqp.Table{"x-death": []any{amqp.Table{"queue": "leat.wait.10m"}}}})
	if waited.Headers != nil {
		t.Errorf("a letter that waited has headers %v", waited.Headers)
	}
}

func TestNumbersInHeaders(t *testing.T) {
	tests := []struct {
		value any
		want  int
	}{
		{nil, 0}, {"3", 0}, {3.0, 0}, {true, 0},
		{int64(3), 3}, {int32(3), 3}, {int16(3), 3}, {int8(3), 3}, {byte(3), 3}, {3, 3}, {uint16(3), 3}, {uint32(3), 3},
		{int64(-7), 0}, {int64(math.MinInt64), 0}, {int64(math.MaxInt64), largestNumber},
	}
	for _, tt := range tests {
		if got := number(amqp.Table{"attempt": tt.value}, "attempt"); got != tt.want {
			t.Errorf("%T(%v) is %d, want %d", tt.value, tt.value, got, tt.want)
		}
	}
}

func TestABodyThatDoesNotDecompressIsLeftAsItIs(t *testing.T) {
	bomb := encoder.EncodeAll(make([]byte, largestBody+1), nil)
	for name, body := range map[string][]byte{"junk": []byte("junk"), "more than anyone sends": bomb} {
		if got := fromWire(amqp.Delivery{ContentEncoding: "zstd", Body: body}); !bytes.Equal(got.Body, body) {
			t.Errorf("%s: %d bytes of %d", name, len(got.Body), len(body))
		}
	}
}

func TestAnAlarmIsAnOutageThatEndsByItself(t *testing.T) {
	blocked := make(chan amqp.Blocking, 8)
	b := &Broker{out: &session{blocked: blocked}}
	say := func(active bool) { blocked <- amqp.Blocking{Active: active, Reason: "low on memory"} }

	for i, step := range []struct {
		say   []bool
		alarm bool
	}{
		{nil, false},
		{[]bool{true}, true},
		{nil, true}, // until it is said to be over
		{[]bool{false}, false},
		{[]bool{true, false}, false},
		{[]bool{true, false, true}, true},
	} {
		for _, active := range step.say {
			say(active)
		}
		err := b.alarm()
		if (err != nil) != step.alarm {
			t.Fatalf("step %d: alarm %v, want %v", i, err, step.alarm)
		}
		if err != nil && !strings.Contains(err.Error(), "low on memory") {
			t.Errorf("%v does not say why", err)
		}
	}
	close(blocked) // as the client does when the session ends
	if err := (&Broker{out: &session{blocked: blocked}}).alarm(); err != nil {
		t.Errorf("the next session begins with %v", err)
	}
}

func TestNamesOfWaitingQueues(t *testing.T) {
	want := []string{"leat.wait.1s", "leat.wait.10s", "leat.wait.1m", "leat.wait.10m"}
	for i, wait := range pipeline.Waits {
		if got := waitName(wait); got != want[i] {
			t.Errorf("%s waits in %s, want %s", wait, got, want[i])
		}
	}
}

func FuzzFromWire(f *testing.F) {
	f.Add("id", "leat.part.v1", "zstd", "leat.delta", "key", "why", int64(1), int64(0), []byte(`{"a":1}`))
	f.Add("", "", "", "", "", "", int64(-1), int64(math.MaxInt64), []byte{})
	f.Add("id", "x", "", "", "", "x"+strings.Repeat("ä", 9000), int64(1), int64(0), []byte{}) // cut within a letter
	f.Add("\xff\x00", "x", "zstd", "", "\xff", strings.Repeat("ä", 9000), int64(1<<40), int64(1), encoder.EncodeAll([]byte("{}"), nil))
	f.Fuzz(func(t *testing.T, id, kind, encoding, queue, key, reason string, attempt, deliveries int64, body []byte) {
		d := amqp.Delivery{
			MessageId: id, Type: kind, ContentEncoding: encoding, RoutingKey: queue, Body: body, Timestamp: time.Unix(1, 0),
			Headers: amqp.Table{"key": key, "error": reason, "attempt": attempt, "x-delivery-count": deliveries},
		}
		e := fromWire(d)
		if e.Attempt < 0 || e.Attempt > largestNumber {
			t.Errorf("attempt %d", e.Attempt)
		}
		p, err := toWire(e, "app")
		if err != nil {
			return // longer than AMQP takes: it did not come by AMQP
		}
		if again := fromWire(delivered(p, queue)); !reflect.DeepEqual(again, e) {
			t.Errorf("the way out and in again changed\n%+v to\n%+v", e, again)
		}
	})
}
