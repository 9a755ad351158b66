package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/access"
)

const userAgent = "leat"

// A question is one request to a source.
type question struct {
	client  *http.Client
	url     *url.URL
	method  string // default GET
	body    string
	as      *access.Credential // who asks; nil: nobody in particular
	timeout time.Duration

	etag, modified string   // of an answer that need not be sent again
	expired        []string // statuses that say that what it asks about, a cursor or a report, is not known any more
	accepted       []int    // statuses that say that all is well; default 200
	header         map[string]string

	heed func(*http.Response) error // told of each answer, refusals too; nil: nobody
}

// get asks a source over HTTP. A source that is away or busy is asked again
// later, and uses up no attempt; an answer that says the request is wrong is
// final.
func get(ctx context.Context, q question) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stall := time.AfterFunc(q.timeout, func() { cancel(fmt.Errorf("the source was silent for %s", q.timeout)) })
	stop := func() { stall.Stop(); cancel(nil) }
	request, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, http.MethodGet), q.url.String(), strings.NewReader(q.body))
	if err != nil {
		stop()
		return nil, pipeline.Permanent(fmt.Errorf("url: %w", err))
	}
	request.Header.Set("User-Agent", userAgent)
	for name, value := range map[string]string{"If-None-Match": q.etag, "If-Modified-Since": q.modified} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	for name, value := range q.header {
		request.Header.Set(name, value)
	}
	q.as.Sign(request)
	response, err := q.client.Do(request)
	if err != nil {
		cause := context.Cause(ctx)
		stop()
		if cause != nil {
			err = errors.Join(err, cause)
		}
		return nil, awayError(q.url.String(), err)
	}
	response.Body = &body{ReadCloser: response.Body, ctx: ctx, stop: stop, stall: stall, timeout: q.timeout}
	if q.heed != nil {
		err = q.heed(response)
	}
	if err == nil {
		err = statusError(response, q)
	}
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

func statusError(r *http.Response, q question) error {
	well := slices.Contains(q.accepted, r.StatusCode) || q.accepted == nil && r.StatusCode == http.StatusOK
	if well || r.StatusCode == http.StatusNotModified && q.etag+q.modified != "" {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(r.Body, 4096))
	err := fmt.Errorf("%s answered %s: %.300q", redact.Text(q.url.String()), r.Status, redact.Text(string(said))) // before it is cut
	if slices.Contains(q.expired, strconv.Itoa(r.StatusCode)) {
		return expiredError{err}
	}
	switch r.StatusCode {
	case http.StatusTooManyRequests:
		return pipeline.RateLimited(err, access.RetryAfter(r.Header.Get("Retry-After")))
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout,
		http.StatusRequestTimeout, http.StatusTooEarly:
		return pipeline.Later(err, access.RetryAfter(r.Header.Get("Retry-After")))
	case http.StatusUnauthorized:
		return unauthorizedError{err}
	}
	if r.StatusCode >= 500 {
		return pipeline.Paced(err)
	}
	return pipeline.Permanent(err)
}

// An unauthorizedError is the source's 401.
type unauthorizedError struct{ error }

func (e unauthorizedError) Unwrap() error { return e.error }

// An expiredError says that the source does not know the cursor any more.
type expiredError struct{ error }

func (e expiredError) Unwrap() error { return e.error }

// A body is an answer that must not fall silent for longer than timeout.
type body struct {
	io.ReadCloser
	ctx     context.Context
	stop    func()
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
	b.stop()
	return b.ReadCloser.Close()
}
