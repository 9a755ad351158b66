package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// A credential is what a source is shown, with its secrets as they are now.
// Those of a nil one are none.
type credential struct {
	auth    *source.Auth
	texts   map[string]string // of the settings of http.auth, by their paths
	token   string            // of OAuth 2
	secrets []string          // what must be read nowhere
}

// mayKnow reports whether a host may be shown the source's credentials: that of
// base_url, and those that the file lists, over what base_url is reached by. A
// job's url may lead anywhere.
func mayKnow(u *url.URL, src *source.Source) bool {
	base, err := url.Parse(baseURL(src))
	return err == nil && u.Scheme == base.Scheme && (u.Host == base.Host || slices.Contains(src.HTTP.Hosts, u.Host))
}

// credential returns what a host is shown for an account.
func (s *Stage) credential(ctx context.Context, u *url.URL, account string, src *source.Source) (*credential, error) {
	if src.HTTP.Auth == nil || !mayKnow(u, src) {
		return nil, nil
	}
	c, err := newCredential(src.HTTP.Auth, account)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	if src.HTTP.Auth.OAuth2 != nil {
		if c.token, err = s.tokens.get(ctx, s.DB, c, src); err != nil {
			return nil, err
		}
		c.hide(c.token)
	}
	return c, nil
}

// newCredential fills in the texts. Its errors name the place, never what is there.
func newCredential(auth *source.Auth, account string) (*credential, error) {
	c := &credential{auth: auth, texts: map[string]string{}}
	for path, text := range auth.Texts() {
		value, err := source.ExpandSecret(text, account, func(place string) (string, error) {
			value, err := readSecret(place)
			c.hide(value)
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

// hide adds a secret to those that clean takes out.
func (c *credential) hide(secret string) {
	if len(secret) > 3 { // shorter ones are none, and part of many words
		c.secrets = append(c.secrets, secret)
	}
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

// clean returns an error that holds no secret, neither as it is nor as an
// address or quoted text has it. Who wrapped it is not known any more where one was.
func (c *credential) clean(err error) error {
	if c == nil || err == nil {
		return err
	}
	text := err.Error()
	for _, secret := range c.secrets {
		quoted := fmt.Sprintf("%q", secret)
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1]} {
			text = strings.ReplaceAll(text, form, "xxxxx")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// shown is an address as it may be kept and logged: without a password, and
// without the parameter that a secret goes into.
func shown(u *url.URL, src *source.Source) string {
	if src.HTTP.Auth == nil || src.HTTP.Auth.Query == nil || !u.Query().Has(src.HTTP.Auth.Query.Name) {
		return u.Redacted()
	}
	clean, q := *u, u.Query()
	q.Del(src.HTTP.Auth.Query.Name)
	clean.RawQuery = q.Encode()
	return clean.Redacted()
}
