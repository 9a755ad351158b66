package rabbit

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatflow/leat/pkg/pipeline"
)

// Longest returns which of some queues holds the most messages that no worker has
// in hand, and how many. It asks on a throw-away channel, which the broker closes
// when a queue is not there, beside the one that consumes.
func (b *Broker) Longest(ctx context.Context, queues ...string) (longest string, messages int, err error) {
	b.consuming.Lock()
	s := b.in
	b.consuming.Unlock()
	if s == nil {
		return "", 0, pipeline.Unavailable(errors.New("length of queues: not connected"))
	}
	err = s.within(ctx, func() error {
		ch, err := s.conn.Channel()
		if err != nil {
			return err
		}
		defer ch.Close() //nolint:errcheck // it has told all it was asked
		for _, name := range queues {
			q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if longest == "" || q.Messages > messages {
				longest, messages = name, q.Messages
			}
		}
		return nil
	})
	if err != nil {
		return "", 0, pipeline.Unavailable(fmt.Errorf("length of queues: %w", err))
	}
	return longest, messages, nil
}
