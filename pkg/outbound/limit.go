package outbound

import (
	"context"
	"errors"
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
		response.Body = &body{ReadCloser: response.Body, cfg: l.cfg, left: l.cfg.MaxBytes, ended: r.Context().Err}
	}
	return response, err
}

type body struct {
	io.ReadCloser
	cfg  Config
	left int64

	ended func() error // why the request's time is over
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, &Refused{fmt.Sprintf("the answer has more than the %d MiB that %s.max_size_mib allows", b.cfg.MaxBytes>>20, b.cfg.Setting)}
	}
	if err != nil && errors.Is(b.ended(), context.DeadlineExceeded) {
		err = fmt.Errorf("the answer took longer than the %s that %s.max_duration allows: %w", b.cfg.Timeout, b.cfg.Setting, err)
	}
	return n, err
}
