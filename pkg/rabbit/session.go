package rabbit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
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
	encryption, err := cfg.TLS()
	if err != nil {
		return nil, err
	}
	asked := notice(encryption)
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(cfg.App + " " + name)
	conn, err := amqp.DialConfig(cfg.URL, amqp.Config{
		Heartbeat: heartbeat, Properties: properties, TLSClientConfig: encryption,
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
		return nil, pipeline.Unavailable(fmt.Errorf("rabbitmq: %w", asked.explain(err)))
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

// An inquiry notices that the server asked for a client certificate. What it then
// makes of ours comes after the handshake, and of that error the client keeps the
// text alone.
type inquiry struct{ asked atomic.Bool }

func notice(config *tls.Config) *inquiry {
	i := &inquiry{}
	if config == nil {
		return i
	}
	show := config.GetClientCertificate
	config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		i.asked.Store(true)
		if show == nil {
			return &tls.Certificate{}, nil // none
		}
		return show(r)
	}
	return i
}

func (i *inquiry) explain(err error) error {
	broken, ok := errors.AsType[*amqp.Error](err)
	if ok && broken.Code == amqp.FrameError && i.asked.Load() {
		return fmt.Errorf("the server asks for a client certificate that it trusts; rabbitmq.cert_file names ours: %w", err)
	}
	return Explain(err)
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
