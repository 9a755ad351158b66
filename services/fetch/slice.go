package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/access"
	"github.com/leatflow/leat/services/archive"
)

// slice asks for a slice, or takes the answer that an earlier try had, cuts it
// and publishes its parts. What follows are slices: the next page, or all of the
// source where its cursor was too old.
func (s *Stage) slice(ctx context.Context, d pipeline.Delivery) ([]pipeline.Envelope, error) {
	slice, err := pipeline.Decode[event.Slice](d.Envelope)
	if err != nil {
		return nil, err
	}
	src, err := s.Sources.Get(ctx, slice.Version)
	if err != nil {
		return nil, err
	}
	if src, err = src.Feed(slice.Feed); err != nil {
		return nil, pipeline.Permanent(err)
	}
	out, done, halt, err := recall(ctx, s.DB, d.Envelope)
	if done || err != nil {
		return s.untaken(ctx, slice, out, err) // its parts were confirmed before its row was committed
	}
	t := task{d, slice, src, halt}
	if slice.Live != "" {
		return s.live(ctx, t)
	}
	if err := s.checkPage(ctx, t); err != nil {
		return nil, err
	}
	a, cut, err := s.work(ctx, t)
	if p, ok := errors.AsType[parked](err); ok {
		return s.park(ctx, t, p)
	}
	if errors.Is(err, errCancelled) {
		return s.cancel(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	pipeline.Point("cut")
	return s.finish(ctx, t, a, cut)
}

// work does what a slice asks for, and returns what it came to.
func (s *Stage) work(ctx context.Context, t task) (Answer, pieces, error) {
	if step := t.step(); step != "" && step != event.ReportDownload {
		cut, err := s.about(ctx, t)
		return Answer{Unchanged: true}, cut, err
	}
	a, k, err := s.answer(ctx, t)
	defer a.close()
	pipeline.Point("answered")
	if _, expired := errors.AsType[expiredError](err); expired {
		cut, err := t.anew(err)
		return a, cut, err
	}
	if err != nil {
		return a, pieces{}, err
	}
	cut, err := s.judged(ctx, t, a, k)
	if _, malformed := errors.AsType[*source.FormError](err); malformed {
		return a, cut, s.refuse(ctx, t.Delivery, a, err)
	}
	if err == nil {
		err = s.checkRepeated(ctx, t, a, cut.records)
	}
	cut.leave(t)
	return a, cut, err
}

// A task is a slice in hand, with the source file that it runs under.
type task struct {
	pipeline.Delivery
	slice event.Slice
	src   *source.Source
	halt  string // what a person has said of the job
}

// conditional reports whether an answer that is the last one again says nothing
// new. What was true at another time always may.
func (t task) conditional() bool {
	return (t.slice.Refresh || t.slice.URL != "") && t.slice.AsOf == nil
}

// read takes out of an answer what it holds.
func (s *Stage) read(ctx context.Context, t task, a Answer, k known) (cut pieces, err error) {
	cut = pieces{counts: map[string]int{"answers.unchanged": 1}}
	if t.slice.Refresh {
		cut.cursor = observed(a.ObservedAt)
	}
	if a.Unchanged {
		return cut, nil
	}
	file := a.file
	switch cursor := cut.cursor; {
	case t.slice.Since != nil:
		return s.changes(ctx, t, a, file)
	case t.conditional() && a.Hash == k.Hash: // PostgreSQL holds it already
		cut.counts["answers.fetched"], cut.counts["answers.bytes"], cut.records = 1, int(a.Bytes), k.Records
	default:
		cut, err = s.cut(ctx, t, a, file, (*news)(nil).of)
		cut.cursor = cursor
	}
	if err == nil {
		err = cut.addPage(ctx, t, a, file)
	}
	return cut, err
}

// Pieces are what an answer was cut into.
type pieces struct {
	names   []string // of the messages that the broker has
	counts  map[string]int
	records int
	follow  []follower
	cursor  *move // nil: stays
}

// A follower is a slice that follows from one, under a key of its own.
type follower struct {
	key   string
	slice event.Slice
}

// finish commits that a slice is done, with what followed from it.
func (s *Stage) finish(ctx context.Context, t task, a Answer, cut pieces) ([]pipeline.Envelope, error) {
	result := postgres.Result{Source: t.src.Name, Names: cut.names, Counts: cut.counts}
	for _, f := range cut.follow {
		e, err := t.Emit(s.Self, f.key, f.slice)
		if err != nil {
			return nil, err
		}
		result.Outputs = append(result.Outputs, e)
	}
	ran := false
	out, err := postgres.Once(ctx, s.DB, Name, pipeline.Batch{t.Delivery}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		if cut.cursor != nil {
			if err := setNextCursor(ctx, tx, t.src.Name, t.slice.Account, t.Job, cut.cursor.of(t.slice.Feed)); err != nil {
				return nil, err
			}
		}
		if t.slice.Since == nil && !a.Unchanged {
			if err := keepRequest(ctx, tx, t, a, cut.records); err != nil {
				return nil, err
			}
		}
		ran = true
		return []postgres.Result{result}, nil
	})
	if err == nil && ran {
		postgres.Report(s.Count, []postgres.Result{result})
	}
	return out, err
}

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

// ahead is how many parts are cut while others are published.
const ahead = 8

// cut cuts an answer into parts and publishes them meanwhile: of each what matters.
func (s *Stage) cut(ctx context.Context, t task, a Answer, file *os.File, matters func(event.Part) event.Part) (pieces, error) {
	cut := pieces{counts: map[string]int{"answers.fetched": 1, "answers.bytes": int(a.Bytes)}}
	err := s.stream(ctx, func(ctx context.Context, publish func(pipeline.Envelope) error) error {
		return t.src.Cut(ctx, s.cuttable(t, a, file), func(p event.Part, rejects []source.Reject) error {
			if err := insertRejects(ctx, s.DB, t.Job, a.N, t.src.Name, rejects); err != nil {
				return err
			}
			cut.counts["stats.rejected"] += len(rejects)
			cut.records += len(p.Objects) + len(p.Stats) + len(rejects)
			if p = matters(p); len(p.Objects) == 0 {
				return nil
			}
			part, err := t.Emit(s.Next, a.key(t.src, p.Ordinal), p)
			if err != nil {
				return err
			}
			cut.names = append(cut.names, part.ID)
			return publish(part)
		})
	})
	cut.counts["parts.fetched"] = len(cut.names)
	return cut, err
}

// key tells apart what is cut from an answer.
func (a Answer) key(src *source.Source, ordinal int) string {
	return fmt.Sprintf("%d/%s/%s/%d", a.N, a.Hash, src.Hash, ordinal)
}

// stream publishes messages while others are made. The broker has them all when
// it returns nil.
func (s *Stage) stream(ctx context.Context, work func(ctx context.Context, publish func(pipeline.Envelope) error) error) error {
	messages := make(chan pipeline.Envelope, ahead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.publish(ctx, messages) })
	group.Go(func() error {
		defer close(messages)
		return work(ctx, func(e pipeline.Envelope) error {
			select {
			case messages <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return group.Wait()
}

// cuttable is the answer for the package source, with what a task says of it.
func (s *Stage) cuttable(t task, a Answer, file *os.File) source.Answer {
	answer := a.forCutting(file)
	answer.Account, answer.MaxSize = t.slice.Account, s.MaxSize
	return answer
}

// forCutting is the answer for the package source.
func (a Answer) forCutting(file *os.File) source.Answer {
	return source.Answer{
		File: file, Size: a.Bytes, Format: a.Format, Hash: a.Hash,
		N: a.N, ObservedAt: a.ObservedAt, Now: a.AskedAt, Temp: os.TempDir(),
	}
}

// publish publishes parts, all that are there at a time.
func (s *Stage) publish(ctx context.Context, parts <-chan pipeline.Envelope) error {
	for part := range parts {
		window := []pipeline.Envelope{part}
		for len(window) < ahead && len(parts) > 0 {
			window = append(window, <-parts)
		}
		if err := s.Sink.Publish(ctx, window); err != nil {
			return err
		}
		s.gauge.add(len(window))
		pipeline.Point("part")
	}
	return nil
}
