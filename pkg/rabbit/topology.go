package rabbit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/pipeline"
)

// Exchange is the one direct exchange: a message's routing key is its queue.
const Exchange = "leat"

// The queues.
const (
	Fetch    = "leat.fetch"
	Delta    = "leat.delta"
	Annotate = "leat.annotate"
	Rollup   = "leat.rollup"
	Dead     = "leat.dead"
	Feed     = "leat.feed" // a stream
)

// Stages are the queues that workers take from.
var Stages = []string{Fetch, Delta, Annotate, Rollup}

// deliveryLimit is the last resort against a message that kills its workers: the
// broker counts it for everything that a killed worker held, so the worker
// itself finds out the one that kills long before.
const deliveryLimit = 200

// A waiting queue's messages expire to the exchange with the routing key that
// they were published with, which names the stage's queue. They must come
// through a fanout exchange: through the direct one under its own key a message
// would expire to itself, which the broker takes for a cycle and drops.
func waitName(wait time.Duration) string {
	if wait < time.Minute {
		return fmt.Sprintf("leat.wait.%ds", int(wait.Seconds()))
	}
	return fmt.Sprintf("leat.wait.%dm", int(wait.Minutes()))
}

type queue struct {
	name string
	args amqp.Table
}

// queues is the topology, written down once, for a broker of a version.
func queues(version string) []queue {
	safe := func(args amqp.Table) amqp.Table {
		args[amqp.QueueTypeArg] = amqp.QueueTypeQuorum
		args["x-dead-letter-exchange"] = Exchange
		args["x-dead-letter-strategy"] = "at-least-once"
		args["x-overflow"] = amqp.QueueOverflowRejectPublish
		return args
	}
	var all []queue
	for _, name := range Stages {
		all = append(all, queue{name, safe(amqp.Table{"x-dead-letter-routing-key": Dead, "x-delivery-limit": deliveryLimit})})
	}
	for _, wait := range pipeline.Waits {
		all = append(all, queue{waitName(wait), safe(amqp.Table{"x-message-ttl": wait.Milliseconds()})})
	}
	return append(all,
		queue{Dead, unlimited(version)},
		queue{Feed, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeStream, "x-max-age": "7D", "x-max-length-bytes": int64(2 << 30)}},
	)
}

// unlimited are the arguments of a queue whose messages may come back however
// often: people look at dead letters, and put them back. From 4.0 on there is a
// limit unless it is said to be -1. Before, there is none unless one is said, and
// -1 is one that every message is above: it would be dropped when it comes back.
func unlimited(version string) amqp.Table {
	args := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	if !strings.HasPrefix(version, "3.") {
		args["x-delivery-limit"] = -1
	}
	return args
}

// Declare makes the exchanges and queues that are missing. A queue that exists
// with other arguments is an error that says what differs. A user who may not
// configure gets ErrMayNotConfigure.
func Declare(ctx context.Context, cfg Config) error {
	s, err := dial(ctx, cfg, "declare")
	if err != nil {
		return err
	}
	defer s.close()
	version, _ := s.conn.Properties["version"].(string)
	return s.within(ctx, func() error { return declare(s.channel, version) })
}

// ErrMayNotConfigure says that the broker's user may not declare queues: let
// one that may run `leat migrate`.
var ErrMayNotConfigure = errors.New("this RabbitMQ user may not declare queues: run `leat migrate` as one that may")

func declare(ch *amqp.Channel, version string) error {
	err := ch.ExchangeDeclare(Exchange, amqp.ExchangeDirect, true, false, false, false, nil)
	for _, wait := range pipeline.Waits {
		if err == nil {
			err = ch.ExchangeDeclare(waitName(wait), amqp.ExchangeFanout, true, false, false, false, nil)
		}
	}
	if err != nil {
		return explain("exchange", err)
	}
	for _, q := range queues(version) {
		if _, err := ch.QueueDeclare(q.name, true, false, false, false, q.args); err != nil {
			return explain("queue "+q.name, err)
		}
		if err := ch.QueueBind(q.name, q.name, exchangeOf(q.name), false, nil); err != nil {
			return explain("binding of "+q.name, err)
		}
	}
	return nil
}

// Queues returns the names of all queues.
func Queues() []string {
	var names []string
	for _, q := range queues("") {
		names = append(names, q.name)
	}
	return names
}

func exchangeOf(queue string) string {
	for _, wait := range pipeline.Waits {
		if queue == waitName(wait) {
			return queue
		}
	}
	return Exchange
}

func explain(what string, err error) error {
	if refused, ok := errors.AsType[*amqp.Error](err); ok {
		switch refused.Code {
		case amqp.AccessRefused:
			return ErrMayNotConfigure
		case amqp.PreconditionFailed:
			return fmt.Errorf("%s exists with other arguments: %s; delete it when it is empty, and start again", what, refused.Reason)
		}
	}
	return pipeline.Unavailable(fmt.Errorf("declare %s: %w", what, err))
}
