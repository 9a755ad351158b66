package outbound

import (
	"fmt"
	"io"
	"net/http"
)

// limited is a transport whose answers end where they are too large.
type limited struct {
	cfg Config
	*http.Transport
}

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.Transport.RoundTrip(r)
	if err == nil {
		response.Body = &body{ReadCloser: response.Body, cfg: l.cfg, left: l.cfg.MaxBytes}
	}
	return response, err
}

type body struct {
	io.ReadCloser
	cfg  Config
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, &Refused{fmt.Sprintf("the answer has more than the %d MiB that %s.max_size_mib allows", b.cfg.MaxBytes>>20, b.cfg.Setting)}
	}
	return n, err
}
