// Package rabbit is the pipeline's Source and Sink on RabbitMQ, and the one
// place where its queues are written down.
package rabbit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/certs"
	"github.com/leatflow/leat/pkg/pipeline"
)

// Config says where the broker is.
type Config struct {
	URL           string `mapstructure:"url"`
	ManagementURL string `mapstructure:"management_url"` // of the management plugin; for `leat status` only
	App           string `mapstructure:"-"`              // daemon and version, AMQP's app_id
	Prefetch      int    `mapstructure:"-"`              // the worker's

	certs.Files `mapstructure:",squash"` // for amqps:// and https://
}

// TLS is what amqps:// and https:// need; nil where no file is named, and the
// system's authorities or the URL's own parameters hold.
func (c Config) TLS() (*tls.Config, error) {
	if c.Files == (certs.Files{}) {
		return nil, nil
	}
	return c.Files.Config("rabbitmq")
}

// Explain adds to the error of a connection which setting is at fault.
func Explain(err error) error {
	err, _ = certs.Explain(err, certs.Names{CA: "rabbitmq.ca_file", Cert: "rabbitmq.cert_file", URL: "rabbitmq.url"})
	return err
}

// DefaultConfig is a broker on this machine.
func DefaultConfig() Config {
	return Config{URL: "amqp://leat:leat@127.0.0.1:5672/", ManagementURL: "http://leat:leat@127.0.0.1:15672"}
}

const (
	window       = 256              // publishes whose confirms are outstanding: beyond it the rate grows no more
	confirmLimit = 30 * time.Second // after it the session is dropped, and all is published again under the same ids
	consumerTag  = "worker"         // one a channel
)

// A Broker is a Source and a Sink. Publishing and consuming have a connection
// each: a broker in alarm stops reading one that publishes, acknowledgements
// included.
type Broker struct {
	cfg    Config
	health func(component string, err error)

	consuming sync.Mutex
	in        *session

	publishing sync.Mutex // guards what follows
	out        *session
	blocked    string // why the broker does not take messages now
}

// New returns a Broker that dials on first use. It tells health what becomes of
// its components "consumer" and "publisher".
func New(cfg Config, health func(component string, err error)) *Broker {
	return &Broker{cfg: cfg, health: health}
}

// Close closes both connections. Unacknowledged deliveries go back to their queue.
func (b *Broker) Close() {
	b.Release()
	b.publishing.Lock()
	defer b.publishing.Unlock()
	b.drop()
}

// Release implements pipeline.Source.
func (b *Broker) Release() {
	b.consuming.Lock()
	defer b.consuming.Unlock()
	b.in.close()
	b.in = nil
	b.health("consumer", errors.New("not registered"))
}

// Consume implements pipeline.Source.
func (b *Broker) Consume(ctx context.Context, queue string) (<-chan pipeline.Delivery, error) {
	if err := Declare(ctx, b.cfg); err != nil && !errors.Is(err, ErrMayNotConfigure) {
		return nil, err
	}
	b.consuming.Lock()
	defer b.consuming.Unlock()
	b.in.close()
	s, err := dial(ctx, b.cfg, "consume "+queue)
	if err != nil {
		return nil, err
	}
	b.in = s
	var deliveries <-chan amqp.Delivery
	err = s.within(ctx, func() (err error) {
		if err := s.channel.Qos(b.cfg.Prefetch, 0, false); err != nil {
			return fmt.Errorf("qos: %w", err)
		}
		deliveries, err = s.channel.Consume(queue, consumerTag, false, false, false, false, nil)
		return err
	})
	if err != nil {
		return nil, pipeline.Unavailable(fmt.Errorf("consume %s: %w", queue, err))
	}
	b.health("consumer", nil)
	out := make(chan pipeline.Delivery, b.cfg.Prefetch)
	go b.forward(ctx, s, deliveries, out)
	return out, nil
}

// forward hands deliveries on until they end: by a stop, after which no more
// are taken, or by the loss of the consumer, which nothing else announces.
func (b *Broker) forward(ctx context.Context, s *session, in <-chan amqp.Delivery, out chan<- pipeline.Delivery) {
	defer close(out) // has room for the whole prefetch: sending never blocks
	for {
		select {
		case <-ctx.Done():
			_ = s.channel.Cancel(consumerTag, false) // the channel stays, for the acknowledgements of what is in hand
			for range in {                           // until the session ends: the client must not block on these
			}
			return
		case d, ok := <-in:
			if !ok {
				b.health("consumer", errors.New("lost"))
				return
			}
			out <- pipeline.Delivery{Envelope: fromWire(d), Acknowledger: ticket{d}, Deliveries: number(d.Headers, "x-delivery-count")}
		}
	}
}

type ticket struct{ d amqp.Delivery }

func (t ticket) Ack() error { return t.d.Ack(false) }

// Publish implements pipeline.Sink: it returns nil once the broker has
// confirmed every envelope and sent none back.
func (b *Broker) Publish(ctx context.Context, out []pipeline.Envelope) error {
	for len(out) > 0 {
		n := min(len(out), window)
		if err := b.publish(ctx, out[:n]); err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

type confirmation struct {
	id string
	*amqp.DeferredConfirmation
}

// publish sends a window of envelopes and waits for their confirms. Several
// callers may wait side by side.
func (b *Broker) publish(ctx context.Context, out []pipeline.Envelope) error {
	s, sent, err := b.send(ctx, out)
	if err == nil {
		err = await(ctx, sent)
	}
	b.publishing.Lock()
	defer b.publishing.Unlock()
	if err != nil {
		if pipeline.IsPermanent(err) {
			return err
		}
		if b.out == s {
			b.drop()
		}
		b.health("publisher", err)
		return pipeline.Unavailable(fmt.Errorf("publish: %w", err))
	}
	b.health("publisher", nil)
	return s.cameBack(sent)
}

// send writes the envelopes to the publishing session, which it opens if need be.
func (b *Broker) send(ctx context.Context, out []pipeline.Envelope) (*session, []confirmation, error) {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	if err := b.open(ctx); err != nil {
		return b.out, nil, err
	}
	if err := b.alarm(); err != nil {
		return nil, nil, err // the session is sound: it will say when the alarm is over
	}
	sent := make([]confirmation, len(out))
	for i, e := range out {
		wire, err := toWire(e, b.cfg.App)
		if err != nil {
			return b.out, nil, err
		}
		exchange := Exchange
		if e.Wait > 0 {
			exchange = waitName(e.Wait)
		}
		c, err := b.out.channel.PublishWithDeferredConfirm(exchange, e.Queue, true, false, wire)
		if err != nil {
			return b.out, nil, err
		}
		sent[i] = confirmation{e.ID, c}
	}
	return b.out, sent, nil
}

// open makes sure that there is a publishing session in confirm mode.
func (b *Broker) open(ctx context.Context) error {
	if b.out != nil && !b.out.conn.IsClosed() && !b.out.channel.IsClosed() {
		return nil
	}
	b.drop()
	s, err := dial(ctx, b.cfg, "publish")
	if err != nil {
		return err
	}
	b.out = s
	s.unrouted = map[string]bool{}
	s.returns = s.channel.NotifyReturn(make(chan amqp.Return, 64*window))
	return s.within(ctx, func() error { return s.channel.Confirm(false) })
}

func (b *Broker) drop() {
	b.out.close()
	b.out, b.blocked = nil, ""
}

// alarm returns an error while the broker's memory or disk alarm lasts.
func (b *Broker) alarm() error {
	for {
		select {
		case s, ok := <-b.out.blocked:
			if !ok {
				return nil
			}
			b.blocked = ""
			if s.Active {
				b.blocked = s.Reason
			}
		default:
			if b.blocked != "" {
				return fmt.Errorf("the broker blocks publishers: %s", b.blocked)
			}
			return nil
		}
	}
}

// await waits until all are confirmed.
func await(ctx context.Context, sent []confirmation) error {
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	for _, c := range sent {
		switch acked, err := c.WaitContext(ctx); {
		case err != nil:
			return fmt.Errorf("%s not confirmed: %w", c.id, err)
		case !acked:
			return fmt.Errorf("%s refused by the broker (a queue is full or away)", c.id)
		}
	}
	return nil
}

// cameBack returns an error when one of the sent had no queue to go to. The
// broker sends a message back before it confirms it, so all returns of sent are
// there by now: on the session that they were sent on, whatever became of it since.
func (s *session) cameBack(sent []confirmation) error {
	for {
		select {
		case r, ok := <-s.returns:
			if ok {
				s.unrouted[r.MessageId] = true
				continue
			}
		default:
		}
		break
	}
	var lost error
	for _, c := range sent {
		if s.unrouted[c.id] {
			delete(s.unrouted, c.id)
			lost = pipeline.Unavailable(fmt.Errorf("no queue takes message %s: run `leat migrate`", c.id))
		}
	}
	return lost
}
