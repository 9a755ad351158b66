package outbound

import (
	"fmt"
	"net/http"
	"slices"
)

const maxRedirects = 5

// harmless are the headers that may follow a redirect to another host: what else
// a request has may be a credential, whatever it is called.
var harmless = []string{"Accept", "Accept-Encoding", "Accept-Language", "User-Agent"}

func checkRedirect(next *http.Request, via []*http.Request) error {
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return &Refused{fmt.Sprintf("redirected more than %d times", maxRedirects)}
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return &Refused{fmt.Sprintf("redirected to %s://; http and https are allowed", next.URL.Scheme)}
	case last.Scheme == "https" && next.URL.Scheme == "http":
		return &Refused{fmt.Sprintf("redirected from https to http, at %s", next.URL.Host)}
	}
	next.Header.Del("Referer") // its query may be a credential
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		if next.Method != http.MethodGet && next.Method != http.MethodHead {
			return &Refused{fmt.Sprintf("redirected to another host, %s, which is not sent what was for %s", next.URL.Host, first.Host)}
		}
		for name := range next.Header {
			if !slices.Contains(harmless, name) {
				next.Header.Del(name)
			}
		}
	}
	return nil
}
