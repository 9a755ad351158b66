package access

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
)

// An Identity is who asks, by a source file's auth.
type Identity struct {
	Auth    *source.Auth
	Setting string        // where it stands in the file, for errors
	Source  string        // the file's name
	Account string        // for {account}
	Client  *http.Client  // that asks for tokens
	Timeout time.Duration // of that
}

// A Credential is what a host is shown, with its secrets as they are now; nil: nothing.
type Credential struct {
	Identity
	texts map[string]string // of the settings of auth, by their paths
	token string            // of OAuth 2
}

// Credential returns what an identity shows; nil when it has no auth.
func (t *Tokens) Credential(ctx context.Context, db *pgxpool.Pool, who Identity) (*Credential, error) {
	if who.Auth == nil {
		return nil, nil
	}
	c := &Credential{Identity: who, texts: map[string]string{}}
	if err := c.fill(); err != nil {
		return nil, pipeline.Permanent(err)
	}
	if who.Auth.OAuth2 != nil {
		var err error
		if c.token, err = t.get(ctx, db, c); err != nil {
			return nil, err
		}
		redact.Secret(c.token)
	}
	return c, nil
}

// fill fills in the texts. Its errors name the place, never what is there.
func (c *Credential) fill() error {
	for path, text := range c.Auth.Texts() {
		value, err := source.ExpandSecret(text, c.Account, func(place string) (string, error) {
			value, err := readSecret(place)
			redact.Secret(value)
			return value, err
		})
		if err != nil {
			return fmt.Errorf("%s.%s: %w", c.Setting, path, err)
		}
		c.texts[path] = value
	}
	return nil
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
		return "", fmt.Errorf("${%s} is empty, or not there where this worker runs", place)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("${%s} holds a control character, which no header can", place)
	}
	return value, nil
}

// Sign shows the host who asks.
func (c *Credential) Sign(r *http.Request) {
	if c == nil {
		return
	}
	switch a := c.Auth; {
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
