// Package outbound makes HTTP clients for addresses that others have a say in:
// the senders of jobs, redirects, name servers.
//
// A client checks each address when it connects, after names are resolved: what
// a name resolves to at another time has no effect. Redirects are checked alike,
// are limited in number, never lead from https to http, and take no credentials
// to another host.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/leatflow/leat/pkg/certs"
)

// Config says what a client may do.
type Config struct {
	Setting  string        // the group of the configuration that the following stand in, for errors
	Networks []string      // allow_networks: 10.1.0.0/16, ::1; allowed beside the public internet
	MaxBytes int64         // max_size_mib, in bytes: of an answer, as it comes over the wire
	Timeout  time.Duration // max_duration: of a request, with its answer
}

const (
	connectLimit = 30 * time.Second
	maxHeader    = 1 << 20
)

// denied are addresses that only look public: Azure's metadata service.
var denied = netip.MustParsePrefix("168.63.129.16/32")

// A Guard makes clients, one for each set of certificates.
type Guard struct {
	cfg      Config
	guardian *ssrf.Guardian
	resolver *net.Resolver // nil: the system's

	mu      sync.Mutex
	clients map[certs.Files]*http.Client
}

// New returns a Guard. Its error names the setting.
func New(cfg Config) (*Guard, error) {
	var v4, v6 []netip.Prefix
	for _, text := range cfg.Networks {
		prefix, err := parseNetwork(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s.allow_networks: %q is neither a network (10.1.0.0/16) nor an address (127.0.0.1)", cfg.Setting, text)
		case prefix.Addr().Is4():
			v4 = append(v4, prefix)
		default:
			v6 = append(v6, prefix)
		}
	}
	return &Guard{cfg: cfg, clients: map[certs.Files]*http.Client{}, guardian: ssrf.New(ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...), ssrf.WithDeniedV4Prefixes(denied))}, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), err
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

// A Refused error says what a client would not do. To try again does not help.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }

// IsRefused reports whether err, or an error that it wraps, is Refused.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*Refused](err)
	return ok
}

// check says whether an address may be connected to. One of IPv4 that is wrapped
// in one of IPv6 must be allowed itself.
func (g *Guard) check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if ssrf.IPv6NAT64Prefix.Contains(addr) {
		b := addr.As16()
		if err := g.guardian.SafeAddr(netip.AddrFrom4([4]byte(b[12:]))); err != nil {
			return err
		}
	}
	return g.guardian.SafeAddr(addr)
}

// dial connects to the first address of a host that answers and may be
// connected to.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var mu sync.Mutex // two families are tried side by side
	var refused *Refused
	d := net.Dialer{Timeout: connectLimit, Resolver: g.resolver, Control: func(_, at string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(at)
		if err == nil {
			err = g.check(to.Addr())
		}
		if err == nil {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		refused = &Refused{fmt.Sprintf("%s is at %s, which is not a public address; %s.allow_networks allows %q",
			address, at, g.cfg.Setting, g.cfg.Networks)}
		return refused
	}}
	conn, err := d.DialContext(ctx, network, address)
	mu.Lock()
	defer mu.Unlock()
	if err != nil && refused != nil {
		return nil, refused
	}
	return conn, err
}

// Client returns the client that shows and trusts these certificates. The files'
// errors name keys below setting.
func (g *Guard) Client(files certs.Files, setting string) (*http.Client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.clients[files]; c != nil {
		return c, nil
	}
	config, err := files.Config(setting)
	if err != nil {
		return nil, err
	}
	c := &http.Client{
		CheckRedirect: checkRedirect,
		Transport: limited{g.cfg, &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: g.dial, TLSClientConfig: config,
			DisableCompression: true, // an answer is kept as it was received
			ForceAttemptHTTP2:  true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: connectLimit, MaxResponseHeaderBytes: maxHeader,
		}},
	}
	g.clients[files] = c
	return c, nil
}
