package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/archive"
)

// A Tried is a question that was put to a source, and of whose answer nothing is kept.
type Tried struct {
	Slice      event.Slice
	Slices     int // that the job is cut into; this is the first
	URL        string
	Status     int // of HTTP; 0: it was not asked
	Format     string
	Bytes      int64
	ObservedAt time.Time
}

// ErrEnough is what emit returns when it needs no more.
var ErrEnough = errors.New("enough")

// Try puts a job's first question to its source, under a source file that need
// not be known to anybody: with the credentials, the guard and the budgets that
// the job would have, for a request counts with the source whoever makes it. What
// is cut of the answer goes to emit, and nowhere else; the answer is gone when Try
// returns. Its errors are what a dead letter would say.
func (s *Stage) Try(ctx context.Context, src *source.Source, j Job, emit func(event.Part, []source.Reject) error) (tried Tried, err error) {
	t, slices, err := s.firstTask(ctx, src, j)
	if err != nil {
		return tried, err
	}
	tried.Slice, tried.Slices = t.slice, slices
	if t.step() != "" {
		return tried, fmt.Errorf(`source %s has its reports made first (fetch.report.async), which takes several requests: try a report that is there, by its "url"`, src.Name)
	}
	folder, err := os.MkdirTemp("", "leat-try-")
	if err != nil {
		return tried, err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // it lies among temporary files
	a, err := s.askOnce(ctx, t, archive.New(archive.Folder(folder)))
	defer a.close()
	tried.URL, tried.Format, tried.Bytes, tried.ObservedAt = a.URL, a.Format, a.Bytes, a.ObservedAt
	if err != nil {
		return tried, err
	}
	if strings.HasPrefix(a.URL, "http") {
		tried.Status = http.StatusOK // any other is an error
	}
	err = s.cutOnce(ctx, t, a, emit)
	if _, malformed := errors.AsType[*source.FormError](err); malformed {
		err = about(a, err)
	}
	if errors.Is(err, ErrEnough) {
		err = nil
	}
	return tried, err
}

// firstTask is the first slice of a job, as if fetch had it in hand.
func (s *Stage) firstTask(ctx context.Context, src *source.Source, j Job) (t task, slices int, err error) {
	if err := j.validate(); err != nil {
		return t, 0, err
	}
	if j, err = s.withPast(ctx, j); err != nil {
		return t, 0, err
	}
	var now time.Time
	if err := s.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return t, 0, postgres.Classify(err)
	}
	all, err := Plan(j, src, nil, now)
	if err != nil {
		return t, 0, err
	}
	t.slice, t.ID = all[0], "try/"+uuid.NewString()
	t.src, err = src.Feed(t.slice.Feed)
	return t, len(all), err
}

// askOnce asks a source, and reads what it says into a folder.
func (s *Stage) askOnce(ctx context.Context, t task, into *archive.Archive) (a Answer, err error) {
	u, err := address(t.slice, t.src)
	if err != nil {
		return a, err
	}
	a = Answer{URL: shown(u, t.src), Format: t.src.FormatOf(u.Path)}
	if err := s.await(ctx, t, u); err != nil {
		if p, ok := errors.AsType[parked](err); ok {
			return a, p.toPeople(t.src.Name)
		}
		return a, err
	}
	defer s.release(ctx, t, u)
	if err := s.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&a.AskedAt); err != nil {
		return a, postgres.Classify(err)
	}
	a.ObservedAt = t.observed(a.AskedAt)
	answer, err := s.open(ctx, t, u, known{}, &a)
	if err != nil {
		return a, err
	}
	defer answer.Close() //nolint:errcheck // what was read is all that counts
	return a, take(into, answer, &a)
}

// toPeople says that a source's budget has nothing left for the moment.
func (p parked) toPeople(name string) error {
	why := p.why
	if why == "" {
		why = "others stand in line for its http.rate"
	}
	return fmt.Errorf("source %s may not be asked for about %s: %s", name, p.wait, why)
}

// cutOnce cuts an answer, unless it says that it is an error.
func (s *Stage) cutOnce(ctx context.Context, t task, a Answer, emit func(event.Part, []source.Reject) error) error {
	rule, said, err := t.src.ErrorIn(ctx, a.forCutting(a.file))
	switch {
	case err != nil:
		return err
	case rule == nil:
		return t.src.Cut(ctx, s.cuttable(t, a, a.file), emit)
	case rule.Then != source.ThenReject:
		return pipeline.Permanent(fmt.Errorf("%s: %s", a.URL, redact.Text(isError+said)))
	}
	reject, err := a.reject(said)
	if err != nil {
		return err
	}
	return emit(event.Part{}, []source.Reject{reject})
}
