package rabbit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

const (
	compressAbove = 16 << 10
	largestBody   = 64 << 20 // decompressed; a message that claims more is left as it is
	largestWire   = 16 << 20 // RabbitMQ's limit: it closes the channel on more
	largestHeader = 8 << 10  // all headers of a message have to fit into one frame
	largestNumber = 1 << 20  // of attempts and the like; a person's header may say anything
	shortString   = 255      // AMQP's limit for ids, types and routing keys
)

// The encoder and the decoder keep no state between calls.
var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(largestBody), zstd.WithDecoderConcurrency(2))
)

// toWire maps an envelope to AMQP's own properties, so that any AMQP tool can
// read them. It is the inverse of fromWire.
func toWire(e pipeline.Envelope, app string) (amqp.Publishing, error) {
	for _, s := range [...]struct{ name, text string }{{"message_id", e.ID}, {"type", e.Kind}, {"correlation_id", e.Job}, {"routing key", e.Queue}} {
		if len(s.text) > shortString {
			return amqp.Publishing{}, pipeline.Permanent(fmt.Errorf("%s: %d bytes, AMQP allows %d", s.name, len(s.text), shortString))
		}
	}
	p := amqp.Publishing{
		MessageId: e.ID, Type: e.Kind, CorrelationId: e.Job, Timestamp: e.At, Priority: e.Priority,
		AppId: app, ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: e.Body,
		Headers: amqp.Table{},
	}
	for k, v := range e.Headers {
		p.Headers[k] = v
	}
	set := func(name string, n int) {
		if n > 0 {
			p.Headers[name] = int64(n)
		}
	}
	set("attempt", e.Attempt)
	set("wait", e.Waited)
	set("replay", e.Replay)
	if e.Cause != "" {
		p.Headers["cause"] = e.Cause
	}
	if e.Key != "" {
		p.Headers["key"] = e.Key
	}
	if len(e.Body) > compressAbove && e.Kind != event.KindJob { // what a person wrote stays as it was written
		p.ContentEncoding = "zstd"
		p.Body = encoder.EncodeAll(e.Body, make([]byte, 0, len(e.Body)/2)) // even random digits shrink to less
	}
	if len(e.Body) > largestBody || len(p.Body) > largestWire {
		return amqp.Publishing{}, pipeline.Permanent(fmt.Errorf("body: %d bytes (compressed %d); a message holds %d (compressed %d)",
			len(e.Body), len(p.Body), largestBody, largestWire))
	}
	return p, nil
}

// fromWire maps a delivery to an envelope. What a person publishes by hand has
// none of the properties. The broker's own x- headers stay behind.
func fromWire(d amqp.Delivery) pipeline.Envelope {
	e := pipeline.Envelope{
		ID: d.MessageId, Kind: d.Type, Queue: d.RoutingKey, Job: d.CorrelationId, At: d.Timestamp,
		Priority: d.Priority, Body: d.Body,
		Cause: text(d.Headers, "cause"), Key: text(d.Headers, "key"),
		Attempt: number(d.Headers, "attempt"), Waited: number(d.Headers, "wait"), Replay: number(d.Headers, "replay"),
	}
	if e.Kind == "" {
		e.Kind = event.KindJob
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if d.ContentEncoding == "zstd" {
		if plain, err := decoder.DecodeAll(d.Body, nil); err == nil { // the frame says its size: room is made once
			e.Body = plain // else the body fails to decode where it is read, and dies there
		}
	}
	for name, value := range d.Headers {
		if _, ok := value.(string); ok && !ours[name] && !strings.HasPrefix(name, "x-") {
			if e.Headers == nil {
				e.Headers = map[string]string{}
			}
			e.Headers[name] = text(d.Headers, name)
		}
	}
	if e.Queue == Dead {
		buriedByBroker(&e, d.Headers)
	} else {
		broughtBack(&e)
	}
	return e
}

// broughtBack makes a replay of a dead letter that a person moved to a queue as
// it was, in the management UI or with any other tool: the stage that gave it up
// takes it again, as often as it is delivered, and knows a second copy.
func broughtBack(e *pipeline.Envelope) {
	if e.Headers[pipeline.HeaderDiedAt] == "" {
		return
	}
	e.Replay++
	e.Attempt, e.Waited = 0, 0
	for _, name := range pipeline.DeathHeaders {
		delete(e.Headers, name)
	}
	if len(e.Headers) == 0 {
		e.Headers = nil
	}
}

// buriedByBroker says in our words what the broker says of a message that it
// gave up itself, after deliveryLimit.
func buriedByBroker(e *pipeline.Envelope, h amqp.Table) {
	deaths, _ := h["x-death"].([]any)
	if len(deaths) == 0 || e.Headers[pipeline.HeaderDiedAt] != "" {
		return
	}
	last, _ := deaths[0].(amqp.Table)
	queue := text(last, "queue")
	if !slices.Contains(Stages, queue) { // it waited, which is no death
		return
	}
	died, _ := last["time"].(time.Time)
	if died.IsZero() {
		died = e.At
	}
	if e.Headers == nil {
		e.Headers = map[string]string{}
	}
	maps.Copy(e.Headers, map[string]string{
		pipeline.HeaderError: "the broker gave it up: " + text(last, "reason"), pipeline.HeaderClass: "crashed",
		pipeline.HeaderStage: strings.TrimPrefix(queue, "leat."), pipeline.HeaderAttempts: strconv.Itoa(e.Attempt + 1),
		pipeline.HeaderDiedAt: died.UTC().Format(time.RFC3339Nano), pipeline.HeaderOrigin: queue,
	})
}

// ours are the headers that an envelope has fields for.
var ours = map[string]bool{"attempt": true, "wait": true, "replay": true, "cause": true, "key": true}

// text reads a header as valid text that is not too long: read again it is the same.
func text(h amqp.Table, name string) string {
	s, _ := h[name].(string)
	s = strings.ToValidUTF8(s[:min(len(s), largestHeader)], "�") // which may be longer than what it stands for
	end := min(len(s), largestHeader)
	for end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// number reads a header that a client may have written in any integer type.
func number(h amqp.Table, name string) int {
	var n int64
	switch v := h[name].(type) {
	case int64:
		n = v
	case int32:
		n = int64(v)
	case int16:
		n = int64(v)
	case int8:
		n = int64(v)
	case byte:
		n = int64(v)
	case uint16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case int:
		n = int64(v)
	}
	return int(min(max(n, 0), largestNumber))
}
