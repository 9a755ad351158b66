package postgres_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
)

// A server behind TLS is reached by the URL's own parameters, and what is wrong
// is told by their names.
func TestTLS(t *testing.T) {
	mine, other := pipetest.NewAuthority(t), pipetest.NewAuthority(t)
	cert, key := mine.Issue("client")
	strange, strangeKey := other.Issue("client")
	plain := pipetest.Postgres(t)
	address := pipetest.TLS(t, plain, mine.Server("127.0.0.1"), pipetest.PostgresGreeting)
	for _, c := range []struct {
		name, url, ca, cert, key string
		says                     string
	}{
		{"all right", address, mine.CA, cert, key, ""},
		{"another authority", address, other.CA, cert, key, "sslrootcert in postgres.url"},
		{"another name", strings.Replace(address, "127.0.0.1", "localhost", 1), mine.CA, cert, key, "another host than postgres.url"},
		{"no certificate", address, mine.CA, "", "", "sslcert and sslkey in postgres.url"},
		{"a certificate of another authority", address, mine.CA, strange, strangeKey, "sslcert and sslkey in postgres.url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			q := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {c.ca}}
			if c.cert != "" {
				q["sslcert"], q["sslkey"] = []string{c.cert}, []string{c.key}
			}
			u.RawQuery = q.Encode()
			db, err := postgres.Open(t.Context(), postgres.Config{URL: u.String()})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var encrypted bool
			err = postgres.Classify(db.QueryRow(t.Context(), `SELECT true`).Scan(&encrypted))
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
