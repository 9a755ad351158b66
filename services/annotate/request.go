package annotate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/certs"
	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/access"
)

// A client is what the requests of a round are made with.
type client struct {
	*http.Client
	as *access.Credential
}

func (r *round) open(ctx context.Context) (c client, err error) {
	if c.Client, err = r.Guard.Client(r.how.TLS, r.path+".tls"); err != nil {
		return c, pipeline.Permanent(err)
	}
	c.as, err = r.tokens.Credential(ctx, r.DB, access.Identity{
		Auth: r.how.Auth, Setting: r.path + ".auth", Source: r.src.Name, Client: c.Client, Timeout: r.how.Timeout,
	})
	return c, err
}

// request asks one question. Its error is that of a server that the stage cannot
// do without; whatever goes wrong with the host is the reply.
func (r *round) request(ctx context.Context, q question) error {
	budget := r.budget(q)
	defer func() {
		if err := budget.Release(ctx); err != nil {
			r.Log.Warn("release", zap.String("host", r.host), zap.Error(err))
		}
	}()
	limited, cancel := context.WithTimeoutCause(ctx, r.how.Timeout, fmt.Errorf("no answer within %s", r.how.Timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodGet, q.address, nil)
	if err != nil {
		r.refused(q, &noReply{error: err}, false)
		return nil
	}
	request.Header.Set("User-Agent", "leat")
	request.Header.Set("Accept", "application/json, text/plain;q=0.9, */*;q=0.1")
	r.client.as.Sign(request)
	response, err := r.client.Do(request)
	if err != nil {
		return r.away(ctx, limited, q, err)
	}
	defer response.Body.Close() //nolint:errcheck // what was read is all that counts
	if err := budget.Heed(ctx, redact.Text(r.host), response); err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return r.away(ctx, limited, q, err)
	}
	return r.take(ctx, q, response, body)
}

// take decides what an answer is worth.
func (r *round) take(ctx context.Context, q question, response *http.Response, body []byte) error {
	status := response.StatusCode
	a := answer{question: q, status: status, body: body, days: r.how.Cache}
	switch {
	case gone(status):
		a.body = nil
		r.answered(a)
		return nil
	case status == http.StatusOK:
		a.json = source.IsJSON(response.Header.Get("Content-Type"), body)
		reply := a.reply()
		switch {
		case isPage(response.Header):
			r.refused(q, &noReply{fmt.Errorf("%s answered a page of HTML; JSON or text is meant", q.address), true}, false)
		case reply.Err != nil:
			r.refused(q, &noReply{reply.Err, a.json}, false)
		default:
			r.answered(a)
		}
		return nil
	}
	e := &noReply{fmt.Errorf("%s answered %s: %.200q", q.address, response.Status, redact.Text(string(body[:min(len(body), 4096)]))), passes(status)}
	if status == http.StatusUnauthorized {
		again, err := r.tokens.Refused(ctx, r.DB, r.client.as)
		if err != nil {
			return err
		}
		e.passes = again
	}
	r.refused(q, e, status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "")
	return nil
}

// isPage reports whether an answer is for people: that a session has ended, or
// that the host is having a rest.
func isPage(h http.Header) bool { return strings.HasPrefix(h.Get("Content-Type"), "text/html") }

// passes reports whether a host that says so may say something else later.
func passes(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly
}

// away notes that there was no answer, or not all of it.
func (r *round) away(ctx, limited context.Context, q question, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // this worker ends, and not the host's patience
	}
	if where, ok := errors.AsType[*url.Error](err); ok {
		err = where.Err // it names the address that a redirect led to, and what that holds nobody knows
	}
	if cause := context.Cause(limited); cause != nil {
		err = cause
	}
	explained, mistake := certs.Explain(err, certs.Names{CA: r.path + ".tls.ca_file", Cert: r.path + ".tls.cert_file", URL: r.path})
	r.refused(q, &noReply{fmt.Errorf("%s: %w", q.address, explained), !mistake && !outbound.IsRefused(err)}, false)
	return nil
}
