package rabbit

import (
	"fmt"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

const (
	compressAbove = 16 << 10
	largestBody   = 64 << 20 // decompressed; a message that claims more is left as it is
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
	for name, s := range map[string]string{"message_id": e.ID, "type": e.Kind, "correlation_id": e.Job, "routing key": e.Queue} {
		if len(s) > shortString {
			return amqp.Publishing{}, pipeline.Permanent(fmt.Errorf("%s: %d bytes, AMQP allows %d", name, len(s), shortString))
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
	if len(e.Body) > compressAbove {
		p.ContentEncoding = "zstd"
		p.Body = encoder.EncodeAll(e.Body, make([]byte, 0, len(e.Body)/4))
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
		if plain, err := decoder.DecodeAll(d.Body, nil); err == nil {
			e.Body = plain // else the body fails to decode where it is read, and dies there
		}
	}
	if parent := text(d.Headers, "traceparent"); parent != "" {
		e.Headers = map[string]string{"traceparent": parent}
	}
	return e
}

func text(h amqp.Table, name string) string {
	s, _ := h[name].(string)
	return strings.ToValidUTF8(s, "�")
}

// number reads a header that a client may have written in any integer type.
func number(h amqp.Table, name string) int {
	switch n := h[name].(type) {
	case int64:
		return int(n)
	case int32:
		return int(n)
	case int16:
		return int(n)
	case int8:
		return int(n)
	case byte:
		return int(n)
	case int:
		return n
	}
	return 0
}
