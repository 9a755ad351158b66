package outbound

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// limited is a transport whose answers end where they are too large, or take too
// long.
type limited struct {
	cfg Config
	*http.Transport
}

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), l.cfg.Timeout,
		fmt.Errorf("the answer took longer than the %s that %s.max_duration allows", l.cfg.Timeout, l.cfg.Setting))
	response, err := l.Transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		err = because(ctx, err)
		cancel()
		return nil, err
	}
	response.Body = &body{ReadCloser: response.Body, cfg: l.cfg, left: l.cfg.MaxBytes, ctx: ctx, cancel: cancel}
	return response, nil
}

// because names the limit that ended a request, if one did.
func because(ctx context.Context, err error) error {
	if ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

type body struct {
	io.ReadCloser
	cfg    Config
	left   int64
	ctx    context.Context
	cancel context.CancelFunc
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, &Refused{fmt.Sprintf("the answer has more than the %d MiB that %s.max_size_mib allows", b.cfg.MaxBytes>>20, b.cfg.Setting)}
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a reader returns it as it is
		err = because(b.ctx, err)
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
