package pipetest

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Greet is what a server says and hears before TLS begins on a connection.
type Greet func(net.Conn) error

// PostgresGreeting hears PostgreSQL's request for TLS, and grants it.
func PostgresGreeting(c net.Conn) error {
	var request struct{ Length, Code uint32 }
	if err := binary.Read(c, binary.BigEndian, &request); err != nil {
		return err
	}
	_, err := c.Write([]byte("S"))
	return err
}

// TLS listens in front of the server of an address, and returns the same address
// with the listener's host and port in it. Greet may be nil.
func TLS(t testing.TB, address string, config *tls.Config, greet Greet) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { listener.Close() }) //nolint:errcheck // what it held ends with its peers
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { terminate(c, server, config, greet) })
		}
	})
	u.Host = listener.Addr().String()
	return u.String()
}

// terminate copies between a client that speaks TLS and a server that does not,
// until one of them ends.
func terminate(c net.Conn, server string, config *tls.Config, greet Greet) {
	defer c.Close() //nolint:errcheck // it has ended
	if greet != nil && greet(c) != nil {
		return
	}
	client := tls.Server(c, config)
	if client.Handshake() != nil { //nolint:noctx // it ends with the test's client
		return
	}
	s, err := net.Dial("tcp", server) //nolint:noctx // on this machine
	if err != nil {
		return
	}
	defer s.Close() //nolint:errcheck // it has ended
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, s}, {s, client}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // one end has closed
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	copying.Wait()
}
