package mongodb_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipetest"
)

// A server behind TLS is reached by the URL's own parameters, and what is wrong
// is told by their names.
func TestTLS(t *testing.T) {
	mine, other := pipetest.NewAuthority(t), pipetest.NewAuthority(t)
	plain, database := pipetest.Mongo(t)
	address := pipetest.TLS(t, plain, mine.Server("127.0.0.1"), nil)
	for _, c := range []struct {
		name, url, ca, pair string
		says                string
	}{
		{"all right", address, mine.CA, inOne(t, mine), ""},
		{"another authority", address, other.CA, inOne(t, mine), "tlsCAFile in mongodb.url"},
		{"another name", strings.Replace(address, "127.0.0.1", "localhost", 1), mine.CA, inOne(t, mine), "another host than mongodb.url"},
		{"no certificate", address, mine.CA, "", "tlsCertificateKeyFile in mongodb.url"},
		{"a certificate of another authority", address, mine.CA, inOne(t, other), "tlsCertificateKeyFile in mongodb.url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			q.Set("tls", "true")
			q.Set("tlsCAFile", c.ca)
			q.Set("serverSelectionTimeoutMS", "2000")
			if c.pair != "" {
				q.Set("tlsCertificateKeyFile", c.pair)
			}
			u.RawQuery = q.Encode()
			db, err := mongodb.Open(mongodb.Config{URL: u.String(), Database: database})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Client().Disconnect(t.Context()) //nolint:errcheck // the test is over
			err = mongodb.Ping(t.Context(), db)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// inOne writes a certificate and its key into one file, as MongoDB wants them.
func inOne(t *testing.T, a *pipetest.Authority) string {
	t.Helper()
	var both []byte
	cert, key := a.Issue("client")
	for _, file := range []string{cert, key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	path := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(path, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
