package rabbit

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/pipeline"
)

const (
	buildLimit = 20 * time.Second // to dial, open a channel and declare: each of these can block for ever on a dead network
	writeLimit = 30 * time.Second
	heartbeat  = 10 * time.Second
)

// A session is a connection with one channel. When any part of it breaks, all
// of it is thrown away: no delivery tag or confirmation outlives its channel.
// The client's own recovery stays off; after it, acknowledging an old delivery
// acknowledges another one.
type session struct {
	conn    *amqp.Connection
	channel *amqp.Channel
	socket  net.Conn
	blocked chan amqp.Blocking

	// of one that publishes
	returns  chan amqp.Return
	unrouted map[string]bool // ids that came back
}

// dial builds a session within buildLimit.
func dial(ctx context.Context, cfg Config, name string) (*session, error) {
	s := &session{blocked: make(chan amqp.Blocking, 8)}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(cfg.App + " " + name)
	conn, err := amqp.DialConfig(cfg.URL, amqp.Config{
		Heartbeat: heartbeat, Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: buildLimit}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			// The handshake has to end in time too; the client clears the deadline when it has.
			if err := c.SetDeadline(time.Now().Add(buildLimit)); err != nil {
				return nil, err
			}
			s.socket = &deadlineConn{Conn: c}
			return s.socket, nil
		},
	})
	if err != nil {
		return nil, pipeline.Unavailable(fmt.Errorf("rabbitmq: %w", err))
	}
	s.conn = conn
	conn.NotifyBlocked(s.blocked)
	if err := s.within(ctx, func() (err error) {
		s.channel, err = conn.Channel()
		return err
	}); err != nil {
		s.close()
		return nil, pipeline.Unavailable(fmt.Errorf("rabbitmq: open a channel: %w", err))
	}
	return s, nil
}

// within calls f, and closes the socket under it when it takes longer than
// buildLimit or ctx ends.
func (s *session) within(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = s.socket.Close() })()
	return f()
}

// close drops the connection; the broker takes back what was not acknowledged.
func (s *session) close() {
	if s == nil {
		return
	}
	_ = s.conn.CloseDeadline(time.Now().Add(2 * time.Second)) // it may be broken already, which is as good
	_ = s.socket.Close()
}

// A deadlineConn gives up a write that the network does not take.
type deadlineConn struct {
	net.Conn
	mu sync.Mutex
}

func (c *deadlineConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
