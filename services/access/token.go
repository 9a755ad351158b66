package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/redact"
)

// Tokens are those of OAuth 2. They are kept in PostgreSQL, where whoever finds
// one used up holds its row while it asks for the next: all others wait for that one.
type Tokens struct {
	mu    sync.Mutex
	known map[string]token
}

type token struct {
	access string
	until  time.Time // when PostgreSQL is asked again
}

const (
	early    = time.Minute // before its end a token is not used any more
	trusted  = time.Minute // a token is used without asking PostgreSQL whether it still stands
	lifetime = time.Hour   // of a token that does not say
)

// get returns the access token of a credential.
func (t *Tokens) get(ctx context.Context, db *pgxpool.Pool, c *Credential) (string, error) {
	name := c.tokenName()
	t.mu.Lock()
	have := t.known[name]
	t.mu.Unlock()
	if time.Now().Before(have.until) {
		return have.access, nil
	}
	var refused error // of the source, and not of PostgreSQL
	err := postgres.InTx(ctx, db, func(tx pgx.Tx) error {
		access, refresh, left, err := lockToken(ctx, tx, name, c.Source)
		if err != nil || left > early {
			have = token{access, time.Now().Add(min(left-early, trusted))}
			return err
		}
		next, err := c.exchange(ctx, refresh)
		if err != nil {
			refused = err
			return errRefused
		}
		left = lifetime
		if !next.Expiry.IsZero() {
			left = time.Until(next.Expiry)
		}
		have = token{next.AccessToken, time.Now().Add(min(left-early, trusted))}
		return saveToken(ctx, tx, name, next, left)
	})
	if refused != nil {
		return "", refused
	}
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = map[string]token{}
	}
	t.known[name] = have
	return have.access, nil
}

var errRefused = errors.New("the source gave no token")

// tokenName tells apart who asks whom for what: with another refresh token in
// the environment, it is another one.
func (c *Credential) tokenName() string {
	t := c.texts
	return pipeline.Hash(c.Source, t["oauth2.token_url"], t["oauth2.client_id"], t["oauth2.refresh_token"], strings.Join(c.Auth.OAuth2.Scopes, " "))
}

// lockToken returns a token that nobody else can replace meanwhile, and how long
// it is still good for.
func lockToken(ctx context.Context, tx pgx.Tx, name, source string) (access, refresh string, left time.Duration, err error) {
	if _, err := tx.Exec(ctx, `INSERT INTO tokens (name, source) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, source); err != nil {
		return "", "", 0, err
	}
	var seconds float64
	err = tx.QueryRow(ctx, `
		WITH held AS (SELECT * FROM tokens WHERE name = $1 FOR UPDATE)
		SELECT access, refresh, extract(epoch FROM ends_at - clock_timestamp())::float8 FROM held`, name).Scan(&access, &refresh, &seconds)
	return access, refresh, time.Duration(seconds * float64(time.Second)), err
}

func saveToken(ctx context.Context, tx pgx.Tx, name string, t *oauth2.Token, left time.Duration) error {
	_, err := tx.Exec(ctx, `
		UPDATE tokens SET access = $2, refresh = $3, ends_at = clock_timestamp() + $4 * interval '1 second'
		WHERE name = $1`, name, t.AccessToken, t.RefreshToken, left.Seconds())
	return err
}

// exchange asks for a token: with the refresh token that came with the last one,
// else with what the source file says.
func (c *Credential) exchange(ctx context.Context, refresh string) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, c.Client), c.Timeout)
	defer cancel()
	o, t := c.Auth.OAuth2, c.texts
	redact.Secret(refresh)
	var next *oauth2.Token
	var err error
	if first := t["oauth2.refresh_token"]; first != "" {
		if refresh == "" {
			refresh = first
		}
		config := oauth2.Config{
			ClientID: t["oauth2.client_id"], ClientSecret: t["oauth2.client_secret"], Scopes: o.Scopes,
			Endpoint: oauth2.Endpoint{TokenURL: t["oauth2.token_url"]},
		}
		next, err = config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	} else {
		config := clientcredentials.Config{
			ClientID: t["oauth2.client_id"], ClientSecret: t["oauth2.client_secret"], Scopes: o.Scopes, TokenURL: t["oauth2.token_url"],
		}
		next, err = config.Token(ctx)
	}
	if err == nil {
		return next, nil
	}
	reason := fmt.Errorf("%s.oauth2: %s", c.Setting, redact.Text(err.Error())) // it quotes the answer
	if said, ok := errors.AsType[*oauth2.RetrieveError](err); ok && said.Response.StatusCode < 500 && said.Response.StatusCode != 429 {
		return nil, pipeline.Permanent(reason)
	}
	return nil, pipeline.Later(reason, 10*time.Second)
}

// Refused has a token that the host refused not be used again, by anyone. It
// reports whether the next one may be good: what was shown was a token.
func (t *Tokens) Refused(ctx context.Context, db *pgxpool.Pool, c *Credential) (again bool, err error) {
	if c == nil || c.token == "" {
		return false, nil
	}
	name := c.tokenName()
	t.mu.Lock()
	delete(t.known, name)
	t.mu.Unlock()
	_, err = db.Exec(ctx, `UPDATE tokens SET ends_at = '1970-01-01' WHERE name = $1 AND access = $2`, name, c.token)
	return true, postgres.Classify(err)
}
