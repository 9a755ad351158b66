package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/access"
	"github.com/leatflow/leat/services/archive"
)

// answer returns the slice's answer. What an earlier try was told is used again,
// whatever the source says by now; an answer whose bytes are gone, or could not
// be read to the end, is asked for again.
func (s *Stage) answer(ctx context.Context, t task) (Answer, known, error) {
	a, err := lastAnswer(ctx, s.DB, t.Job, t.ID)
	if err != nil {
		return a, known{}, err
	}
	if a.Hash != "" {
		if err := s.Archive.Has(ctx, a.Hash); !errors.Is(err, fs.ErrNotExist) {
			return a, known{}, err
		}
	}
	return s.ask(ctx, t)
}

// ask asks the source, keeps what it says in the archive, and commits that it did.
func (s *Stage) ask(ctx context.Context, t task) (a Answer, k known, err error) {
	u, err := address(t.slice, t.src)
	if err != nil {
		return a, k, err
	}
	a = Answer{URL: shown(u, t.src), Format: t.src.FormatOf(u.Path)}
	a.Page, a.First = pageOf(t)
	if err := s.mayBegin(ctx, t); err != nil {
		return a, k, err
	}
	if err := s.Archive.Ready(ctx); err != nil {
		return a, k, err // what the source says could not be kept
	}
	if err := s.await(ctx, t, u); err != nil {
		return a, k, err
	}
	defer s.release(ctx, t, u)
	if t.slice.Since != nil {
		a.Format = "json"
		err = s.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&a.AskedAt)
	} else {
		k, a.AskedAt, err = s.claim(ctx, t.Job, t.request(a.URL))
	}
	if err != nil {
		return a, k, postgres.Classify(err)
	}
	a.ObservedAt = t.observed(a.AskedAt)
	answer, err := s.open(ctx, t, u, k, &a)
	if err != nil {
		return a, k, err
	}
	defer answer.Close() //nolint:errcheck // what was read is all that counts
	if a.Unchanged {
		return a, k, nil
	}
	return a, k, s.keep(ctx, t, answer, &a)
}

// observed is when an answer is true that was asked for at a moment.
func (t task) observed(asked time.Time) time.Time {
	switch {
	case t.slice.AsOf != nil:
		return *t.slice.AsOf
	case t.slice.Report != nil: // it may say nothing that was true later
		return t.slice.Report.Created
	}
	return asked
}

// keep reads an answer into the archive, and commits that it is there.
func (s *Stage) keep(ctx context.Context, t task, answer io.Reader, a *Answer) error {
	if err := take(s.Archive, answer, a); err != nil {
		return err
	}
	if err := s.put(ctx, t.src, a); err != nil {
		return err
	}
	return insertAnswer(ctx, s.DB, t, a)
}

// take reads an answer to its end, into an archive that does not have it yet.
func take(into *archive.Archive, answer io.Reader, a *Answer) error {
	in, err := into.Take(answer)
	a.file, a.Hash, a.Bytes = in.File, in.Hash, in.Size
	switch {
	case pipeline.IsPermanent(err), pipeline.IsUnavailable(err):
		return fmt.Errorf("answer of %s: %w", a.URL, err)
	case err != nil:
		return pipeline.Paced(fmt.Errorf("answer of %s: cut off after %d bytes: %w", a.URL, a.Bytes, err))
	}
	return nil
}

// open opens what is at an address, and notes what its header says.
func (s *Stage) open(ctx context.Context, t task, u *url.URL, k known, a *Answer) (io.ReadCloser, error) {
	switch u.Scheme {
	case "file":
		return s.openFile(u)
	case "archive":
		return s.openPast(ctx, t, u, a)
	}
	var q question
	if t.conditional() && t.src.Fetch.Pages == nil { // the next page is found in a page's own answer
		q.etag, q.modified = k.ETag, k.Modified
	}
	if t.slice.Since != nil && *t.slice.Since != "" {
		q.expired = t.src.Fetch.Changes.Expired
	}
	if t.step() == event.ReportDownload {
		q.expired = gone(t)
	}
	response, err := s.request(ctx, t, u, q)
	if err != nil {
		return nil, err
	}
	a.Unchanged = response.StatusCode == http.StatusNotModified
	a.ETag, a.Modified = validators(response.Header)
	if a.Link, err = nextLink(response.Header, response.Request.URL, t.src); err != nil {
		_ = response.Body.Close()
		return nil, pipeline.Permanent(err)
	}
	return response.Body, nil
}

// request asks a question at an address, as the account's credential says.
func (s *Stage) request(ctx context.Context, t task, u *url.URL, q question) (*http.Response, error) {
	client, err := s.Guard.Client(t.src.HTTP.TLS, "http.tls")
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("source %s: %w", t.src.Name, err))
	}
	as, err := s.credential(ctx, client, u, t.slice.Account, t.src)
	if err != nil {
		return nil, err
	}
	q.client, q.url, q.as, q.timeout = client, u, as, t.src.HTTP.Timeout
	q.heed = func(r *http.Response) error { return s.budget(t, u).Heed(ctx, shown(u, t.src), r) }
	response, err := get(ctx, q)
	if refused, ok := errors.AsType[unauthorizedError](err); ok {
		return nil, s.refused(ctx, refused, as)
	}
	return response, err
}

// refused says what follows from a 401: a token may have been taken back, and
// the next one may be good.
func (s *Stage) refused(ctx context.Context, reason error, as *access.Credential) error {
	switch again, err := s.tokens.Refused(ctx, s.DB, as); {
	case err != nil:
		return err
	case !again:
		return pipeline.Permanent(reason)
	}
	return pipeline.Paced(reason)
}

// refuse marks an answer that is not what its format promises: the next try asks
// again. A file, or an answer of the past, will not say anything else.
func (s *Stage) refuse(ctx context.Context, d pipeline.Delivery, a Answer, reason error) error {
	if err := markBroken(ctx, s.DB, d.Job, a.N, redact.Text(reason.Error())); err != nil {
		return err
	}
	err := about(a, reason)
	if strings.HasPrefix(a.URL, "file:") || strings.HasPrefix(a.URL, archived) {
		return pipeline.Permanent(err)
	}
	return pipeline.Paced(err)
}

// about says of which answer an error is.
func about(a Answer, err error) error { return fmt.Errorf("answer of %s: %w", a.URL, err) }
