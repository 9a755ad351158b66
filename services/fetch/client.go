package fetch

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// client asks the sources. It leaves gzip alone: an answer is kept as it was received.
var client = &http.Client{Transport: transport, CheckRedirect: checkRedirect}

var transport = &http.Transport{
	Proxy:              http.ProxyFromEnvironment,
	DialContext:        (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
	DisableCompression: true, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
}

const maxRedirects = 10

// checkRedirect has another host than the one that was asked learn nothing of
// what was shown to that one: no header or body with a secret, no address with one.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return errors.New("more than 10 redirects")
	}
	if first := via[0].URL; r.URL.Host != first.Host || r.URL.Scheme != first.Scheme {
		if r.Method != http.MethodGet {
			return errors.New("a redirect to another host, which is not sent what was for this one")
		}
		r.Header = http.Header{"User-Agent": {userAgent}}
	}
	return nil
}

const userAgent = "leat"
