// Package certs makes TLS configurations of the files that the configuration
// names, and says in words of the configuration why a handshake failed.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
)

// Files are the PEM files of one connection. All may be empty: then the system's
// own authorities are trusted, and no certificate is shown.
type Files struct {
	CA   string `mapstructure:"ca_file" yaml:"ca_file"`     // whose certificates are trusted, in place of the system's
	Cert string `mapstructure:"cert_file" yaml:"cert_file"` // what is shown to a server that asks who we are
	Key  string `mapstructure:"key_file" yaml:"key_file"`   // of Cert
}

// Config reads the files. Its errors name the key below the setting, such as
// rabbitmq.ca_file. The client's certificate is read anew for each connection,
// so that it may be renewed while a daemon runs.
func (f Files) Config(setting string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if (f.Cert == "") != (f.Key == "") {
		return nil, fmt.Errorf("%s.cert_file, %s.key_file: found one of them; a client certificate needs both", setting, setting)
	}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("%s.ca_file: %w", setting, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s.ca_file: %s holds no certificate in PEM form", setting, f.CA)
		}
	}
	if f.Cert != "" {
		read := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			if err != nil {
				return nil, fmt.Errorf("%s.cert_file, %s.key_file: %w", setting, setting, err)
			}
			return &pair, nil
		}
		if _, err := read(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	}
	return config, nil
}

// Names are what the configuration calls the three things that may be wrong.
type Names struct{ CA, Cert, URL string }

// wantsAnother reports whether the server refused the client's certificate, or
// that there was none. What it said is an alert of TLS by its number, whose type
// crypto/tls keeps to itself.
func wantsAnother(err error) bool {
	said, ok := errors.AsType[*net.OpError](err)
	if !ok || said.Op != "remote error" {
		return false
	}
	alert := reflect.ValueOf(said.Err)
	return alert.Kind() == reflect.Uint8 && slices.Contains([]uint64{badCertificate, unsupportedCertificate, revoked, expired, unknown, unknownCA, required}, alert.Uint())
}

// The alerts of RFC 8446 that are about certificates.
const (
	badCertificate         = 42
	unsupportedCertificate = 43
	revoked                = 44
	expired                = 45
	unknown                = 46
	unknownCA              = 48
	required               = 116
)

// Explain adds to the error of a handshake which setting is at fault, and reports
// whether it is: an expired certificate is renewed without us. Other errors stay
// as they are.
func Explain(err error, names Names) (explained error, mistake bool) {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		plain     tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the server's certificate is of an authority that is not trusted; %s names those that are: %w", names.CA, err), true
	case errors.As(err, &name):
		return fmt.Errorf("the server's certificate is for another host than %s names: %w", names.URL, err), true
	case errors.As(err, &invalid):
		return fmt.Errorf("the server's certificate does not hold: %w", err), invalid.Reason != x509.Expired
	case errors.As(err, &plain), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%s asks for TLS, and the server does not speak it: %w", names.URL, err), true
	case wantsAnother(err):
		return fmt.Errorf("the server wants a client certificate that it trusts; %s names ours: %w", names.Cert, err), true
	}
	return err, false
}
