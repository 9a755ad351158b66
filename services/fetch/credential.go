package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
)

// A credential is what a source is shown, with its secrets as they are now; nil: nothing.
type credential struct {
	auth   *source.Auth
	texts  map[string]string // of the settings of http.auth, by their paths
	token  string            // of OAuth 2
	client *http.Client      // that asks for the token
}

// mayKnow reports whether a host may be shown the source's credentials: that of
// base_url, and those that the file lists, over what base_url is reached by. A
// job's url may lead anywhere.
func mayKnow(u *url.URL, src *source.Source) bool {
	text, missing := baseURL(src)
	base, err := url.Parse(text)
	return missing == nil && err == nil && u.Scheme == base.Scheme && (u.Host == base.Host || slices.Contains(src.HTTP.Hosts, u.Host))
}

// credential returns what a host is shown for an account.
func (s *Stage) credential(ctx context.Context, client *http.Client, u *url.URL, account string, src *source.Source) (*credential, error) {
	if src.HTTP.Auth == nil || !mayKnow(u, src) {
		return nil, nil
	}
	c, err := newCredential(src.HTTP.Auth, account)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	c.client = client
	if src.HTTP.Auth.OAuth2 != nil {
		if c.token, err = s.tokens.get(ctx, s.DB, c, src); err != nil {
			return nil, err
		}
		redact.Secret(c.token)
	}
	return c, nil
}

// newCredential fills in the texts. Its errors name the place, never what is there.
func newCredential(auth *source.Auth, account string) (*credential, error) {
	c := &credential{auth: auth, texts: map[string]string{}}
	for path, text := range auth.Texts() {
		value, err := source.ExpandSecret(text, account, func(place string) (string, error) {
			value, err := readSecret(place)
			redact.Secret(value)
			return value, err
		})
		if err != nil {
			return nil, fmt.Errorf("http.auth.%s: %w", path, err)
		}
		c.texts[path] = value
	}
	return c, nil
}

const maxSecret = 64 << 10

// readSecret reads a variable of the environment, or a file.
func readSecret(place string) (string, error) {
	value := os.Getenv(place)
	if path, ok := strings.CutPrefix(place, "file:"); ok {
		if filepath.Clean(path) != path {
			return "", fmt.Errorf("${%s}: the path must be a plain one, without .. in it", place)
		}
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", place, err)
		}
		defer f.Close() //nolint:errcheck // it is only read
		text, err := io.ReadAll(io.LimitReader(f, maxSecret))
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", place, err)
		}
		value = strings.TrimRight(string(text), "\r\n")
	}
	switch {
	case value == "":
		return "", fmt.Errorf("${%s} is empty, or not there where fetch runs", place)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("${%s} holds a control character, which no header can", place)
	}
	return value, nil
}

// sign shows the source who asks.
func (c *credential) sign(r *http.Request) {
	if c == nil {
		return
	}
	switch a := c.auth; {
	case a.Bearer != "":
		r.Header.Set("Authorization", "Bearer "+c.texts["bearer"])
	case a.Basic != nil:
		r.SetBasicAuth(c.texts["basic.user"], c.texts["basic.password"])
	case a.Header != nil:
		r.Header.Set(a.Header.Name, c.texts["header.value"])
	case a.Query != nil:
		q := r.URL.Query()
		q.Set(a.Query.Name, c.texts["query.value"])
		r.URL.RawQuery = q.Encode()
	case a.OAuth2 != nil:
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
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
