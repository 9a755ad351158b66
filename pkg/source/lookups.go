package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatflow/leat/pkg/certs"
)

// A Lookup says how annotators ask a host by http().
type Lookup struct {
	Timeout time.Duration `yaml:"timeout"` // of a request with its answer, at most 1m; default 10s
	Cache   Days          `yaml:"cache"`   // 7d: so long an answer is taken for true; default 7d
	TLS     certs.Files   `yaml:"tls"`     // of a host with an authority of its own, or one that wants to see a certificate
	Auth    *Auth         `yaml:"auth"`    // as http.auth, without {account}
	Rate    *Rate         `yaml:"rate"`    // as http.rate; absent: as fast as it goes
}

const (
	lookupTimeout = 10 * time.Second
	longestLookup = time.Minute
	lookupCache   = Days(7)
	maxAddress    = 2048 // bytes of one that is asked
)

// LookupOf returns how a host is asked, and the path of those settings: what the
// file says of it, else the defaults.
func (s *Source) LookupOf(host string) (l *Lookup, path string) {
	if l := s.Lookups[host]; l != nil {
		return l, join("lookups", host)
	}
	return &Lookup{Timeout: lookupTimeout, Cache: lookupCache}, "lookups"
}

// lookups checks how hosts are asked, and fills in what the file does not say.
func (v *validator) lookups() {
	for _, host := range sortedKeys(v.Lookups) {
		l, path := v.Lookups[host], join("lookups", host)
		v.host(path, host)
		setDefault(&l.Timeout, lookupTimeout)
		setDefault(&l.Cache, lookupCache)
		if l.Timeout > longestLookup {
			v.failf(path+".timeout", "found %s; at most %s is allowed", l.Timeout, longestLookup)
		}
		v.auth(path+".auth", l.Auth)
		if l.Auth.PerAccount() {
			v.failf(path+".auth", "holds {account}; an object is no account's")
		}
		v.rate(path+".rate", l.Rate)
	}
}

// host checks the name of a host, as it stands in an address.
func (v *validator) host(path, host string) {
	if u, err := url.Parse("//" + host); err != nil || u.Host != host || host == "" {
		v.failf(path, "found %s; it must be a host such as files.example.com or files.example.com:8443", found(host))
	}
}

// A Reply is what http() gives for an address, or why it gives nothing.
type Reply struct {
	Value any
	Err   error
}

// Unasked says that a tag needs the reply of an address.
type Unasked struct{ Address string }

func (u *Unasked) Error() string { return "not asked yet: " + u.Address }

// An asking answers http() during one run of an expression: from what is known.
// The first address without a good reply ends the run.
type asking struct {
	known map[string]Reply
	err   error
}

var errAsking = errors.New("http() gives nothing")

func (a *asking) ask(args ...any) any {
	if args[0] == nil {
		return nil
	}
	address, ok := args[0].(string)
	if u, err := url.Parse(address); !ok || err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || len(address) > maxAddress {
		panic(fmt.Errorf("http is given %.100q; it must be an address with http:// or https:// and a host, of at most %d bytes", fmt.Sprint(args[0]), maxAddress))
	}
	reply, known := a.known[address]
	if !known {
		reply.Err = &Unasked{address}
	}
	if reply.Err != nil {
		a.err = reply.Err
		panic(errAsking)
	}
	return reply.Value
}

// IsJSON reports whether an answer is to be read as JSON: because its header says
// so, or because it has the form of an object or a list.
func IsJSON(contentType string, body []byte) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind == "application/json" || strings.HasSuffix(kind, "+json") {
		return true
	}
	body = bytes.TrimSpace(body)
	return len(body) > 0 && (body[0] == '{' || body[0] == '[') && json.Valid(body)
}

// ReadReply reads what a host answered: JSON, or text.
func ReadReply(body []byte, isJSON bool) (any, error) {
	if !isJSON {
		if !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 {
			return nil, errors.New("the answer is neither JSON nor text in UTF-8")
		}
		return string(body), nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("the answer is not the JSON that it should be: %w", err)
	}
	if d.More() {
		return nil, errors.New("the answer is more than one JSON value")
	}
	value = fromJSON(value)
	if n := elementsOf(value); n > maxElements {
		return nil, fmt.Errorf("the answer has %d elements; annotators read at most %d", n, maxElements)
	}
	return value, nil
}

func (l *Lookup) explain(host string) string {
	parts := []string{fmt.Sprintf("%s: an answer is kept for %s", host, count(int(l.Cache), "day"))}
	if l.Auth != nil {
		parts = append(parts, "it is shown "+l.Auth.explain())
	}
	if l.Rate != nil {
		parts = append(parts, l.Rate.explain(false))
	}
	return strings.Join(parts, "; ")
}
