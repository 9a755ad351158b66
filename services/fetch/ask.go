package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
)

// address returns where a slice is asked for. In a job's own address no variable
// stands for anything: its sender need not know them.
func address(s event.Slice, src *source.Source) (string, error) {
	if s.URL != "" {
		return s.URL, nil
	}
	base, err := expand("http.base_url", src.HTTP.BaseURL, func(value string) string { return value })
	if err != nil {
		return "", err
	}
	path, err := expand("fetch.report.path", src.Fetch.Report.Path, url.QueryEscape)
	if err != nil {
		return "", err
	}
	path = strings.NewReplacer(
		"{account}", url.QueryEscape(s.Account), "{from}", s.From, "{to}", s.To).Replace(path)
	return strings.TrimSuffix(base, "/") + path, nil
}

// formatOf is the format of an answer: what the address's name says, else what
// the source file does.
func formatOf(address string, src *source.Source) string {
	u, err := url.Parse(address)
	if err != nil {
		return src.Fetch.Report.Format
	}
	return src.FormatOf(u.Path)
}

// open opens what is at an address: http, https, or a file below the allowed folders.
func (s *Stage) open(ctx context.Context, address string, src *source.Source) (io.ReadCloser, error) {
	u, err := url.Parse(address)
	if err != nil {
		// The reason stays away: it may quote a piece of a password.
		return nil, pipeline.Permanent(fmt.Errorf("url: %q is not an address; special characters of a user or password are percent-encoded", address))
	}
	switch u.Scheme {
	case "http", "https":
		client, err := s.Guard.Client(src.HTTP.TLS, "http.tls")
		if err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("source %s: %w", src.Name, err))
		}
		return get(ctx, client, address, src.HTTP.Timeout)
	case "file":
		return s.openFile(u)
	}
	return nil, pipeline.Permanent(fmt.Errorf("url: found %q; %s are allowed", address, strings.Join(schemes, ", ")))
}

// get asks a source over HTTP. A source that is away or busy is asked again
// later, and uses up no attempt; an answer that says the request is wrong is
// final.
func get(ctx context.Context, client *http.Client, address string, timeout time.Duration) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stall := time.AfterFunc(timeout, func() { cancel(fmt.Errorf("the source was silent for %s", timeout)) })
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		cancel(nil)
		return nil, pipeline.Permanent(fmt.Errorf("url: %w", err))
	}
	request.Header.Set("User-Agent", "leat")
	response, err := client.Do(request)
	if err != nil {
		cause := context.Cause(ctx)
		cancel(nil)
		stall.Stop()
		if cause != nil {
			err = errors.Join(err, cause)
		}
		return nil, awayError(address, err)
	}
	if err := statusError(response); err != nil {
		cancel(nil)
		stall.Stop()
		_ = response.Body.Close()
		return nil, err
	}
	return &body{ReadCloser: response.Body, ctx: ctx, cancel: cancel, stall: stall, timeout: timeout}, nil
}

func statusError(r *http.Response) error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(r.Body, 4096))
	err := fmt.Errorf("%s answered %s: %.300q", redact.Text(r.Request.URL.String()), r.Status, redact.Text(string(said))) // before it is cut
	switch r.StatusCode {
	case http.StatusTooManyRequests:
		return pipeline.RateLimited(err, retryAfter(r.Header.Get("Retry-After")))
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout,
		http.StatusRequestTimeout, http.StatusTooEarly:
		return pipeline.Later(err, retryAfter(r.Header.Get("Retry-After")))
	}
	if r.StatusCode >= 500 {
		return pipeline.Paced(err)
	}
	return pipeline.Permanent(err)
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(header string) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return time.Until(at)
	}
	return 10 * time.Second
}

// A body is an answer that must not fall silent for longer than timeout.
type body struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stall   *time.Timer
	timeout time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	b.stall.Reset(b.timeout)
	n, err := b.ReadCloser.Read(p)
	if cause := context.Cause(b.ctx); err != nil && cause != nil {
		err = errors.Join(err, cause)
	}
	if outbound.IsRefused(err) {
		err = pipeline.Permanent(err)
	}
	return n, err
}

func (b *body) Close() error {
	b.stall.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
