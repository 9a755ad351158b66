package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A link is the way from one worker to one server, which can be made bad.
type link struct {
	*toxiproxy.Proxy
	to string // the server
}

// newLink opens a way to the server of an address, and returns the address by
// that way.
func newLink(to, address string) (l link, through string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return l, "", err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l = link{toxiproxy.NewProxy(server, to, "127.0.0.1:0", u.Host), to}
	if err := l.Start(); err != nil {
		return l, "", err
	}
	u.Host = l.Listen
	return l, u.String(), nil
}

// poison makes the way bad; the function returned makes it good again.
func (l link) poison(toxic, stream string, attributes string) (well func(), err error) {
	_, err = l.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":"%s_%s","type":%q,"stream":%q,"attributes":%s}`, toxic, stream, toxic, stream, attributes)))
	return func() { _ = l.Toxics.RemoveToxic(context.Background(), toxic+"_"+stream) }, err // it is there
}
