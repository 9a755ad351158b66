package fetch

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/access"
)

// mayKnow reports whether a host may be shown the source's credentials: that of
// base_url, and those that the file lists, over what base_url is reached by. A
// job's url may lead anywhere.
func mayKnow(u *url.URL, src *source.Source) bool {
	text, missing := baseURL(src)
	base, err := url.Parse(text)
	return missing == nil && err == nil && u.Scheme == base.Scheme && (u.Host == base.Host || slices.Contains(src.HTTP.Hosts, u.Host))
}

// credential returns what a host is shown for an account; nil: nothing.
func (s *Stage) credential(ctx context.Context, client *http.Client, u *url.URL, account string, src *source.Source) (*access.Credential, error) {
	if !mayKnow(u, src) {
		return nil, nil
	}
	return s.tokens.Credential(ctx, s.DB, access.Identity{
		Auth: src.HTTP.Auth, Setting: "http.auth", Source: src.Name, Account: account, Client: client, Timeout: src.HTTP.Timeout,
	})
}

// shown is an address as it may be kept and logged.
func shown(u *url.URL, src *source.Source) string { return redact.Text(bare(u, src).String()) }

// bare is an address without its user, and without the parameter that a secret
// goes into.
func bare(u *url.URL, src *source.Source) *url.URL {
	clean := *u
	clean.User = nil
	if auth := src.HTTP.Auth; auth != nil && auth.Query != nil && u.Query().Has(auth.Query.Name) {
		q := u.Query()
		q.Del(auth.Query.Name)
		clean.RawQuery = q.Encode()
	}
	return &clean
}
