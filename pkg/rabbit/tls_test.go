package rabbit_test

import (
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/certs"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/rabbit"
)

// A broker behind TLS is reached with its authority's certificate and one of our
// own, and what is wrong is told by the setting.
func TestTLS(t *testing.T) {
	mine, other := pipetest.NewAuthority(t), pipetest.NewAuthority(t)
	cert, key := mine.Issue("client")
	strange, strangeKey := other.Issue("client")
	plain := pipetest.Rabbit(t)
	address := strings.Replace(pipetest.TLS(t, plain, mine.Server("127.0.0.1"), nil), "amqp://", "amqps://", 1)
	for _, c := range []struct {
		name, url string
		files     certs.Files
		says      string
	}{
		{"all right", address, certs.Files{CA: mine.CA, Cert: cert, Key: key}, ""},
		{"by the URL's own parameters", address + "?cacertfile=" + mine.CA + "&certfile=" + cert + "&keyfile=" + key, certs.Files{}, ""},
		{"another authority", address, certs.Files{CA: other.CA, Cert: cert, Key: key}, "rabbitmq.ca_file"},
		{"the system's authorities", address, certs.Files{}, "rabbitmq.ca_file"},
		{"another name", strings.Replace(address, "127.0.0.1", "localhost", 1), certs.Files{CA: mine.CA, Cert: cert, Key: key}, "another host than rabbitmq.url"},
		{"no certificate", address, certs.Files{CA: mine.CA}, "rabbitmq.cert_file"},
		{"a certificate of another authority", address, certs.Files{CA: mine.CA, Cert: strange, Key: strangeKey}, "rabbitmq.cert_file"},
		{"a server without TLS", strings.Replace(plain, "amqp://", "amqps://", 1), certs.Files{CA: mine.CA}, "does not speak it"},
		{"half a pair", address, certs.Files{CA: mine.CA, Cert: cert}, "needs both"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := rabbit.Declare(t.Context(), rabbit.Config{URL: c.url, Files: c.files})
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
