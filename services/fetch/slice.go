package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// slice asks for a slice, or takes the answer that an earlier try had, cuts it
// and publishes its parts. What follows is the slice of the next page.
func (s *Stage) slice(ctx context.Context, d pipeline.Delivery) ([]pipeline.Envelope, error) {
	slice, err := pipeline.Decode[event.Slice](d.Envelope)
	if err != nil {
		return nil, err
	}
	src, err := s.Sources.Get(ctx, slice.Version)
	if err != nil {
		return nil, err
	}
	if out, done, err := recall(ctx, s.DB, d.ID); done || err != nil {
		return out, err // its parts were confirmed before its row was committed
	}
	if err := s.checkPage(ctx, d, slice, src); err != nil {
		return nil, err
	}
	a, file, err := s.answer(ctx, d, slice, src)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it is only read
	cut, err := s.cut(ctx, d, slice, src, a, file)
	if err == nil {
		cut.next, err = after(ctx, d, slice, src, a, file, cut.records)
	}
	if _, malformed := errors.AsType[*source.FormError](err); malformed {
		return nil, s.refuse(ctx, d, a, err)
	}
	if err == nil {
		err = s.checkRepeated(ctx, d, slice, a, cut.records)
	}
	if err != nil {
		return nil, err
	}
	return s.finish(ctx, d, slice, a, cut)
}

// finish commits that a slice is done, with what followed from it.
func (s *Stage) finish(ctx context.Context, d pipeline.Delivery, slice event.Slice, a Answer, cut pieces) ([]pipeline.Envelope, error) {
	result := postgres.Result{Source: slice.Source, Names: cut.names, Counts: cut.counts}
	if cut.next != nil {
		page, err := d.Emit(s.Self, "page "+strconv.Itoa(cut.next.Page.N), *cut.next)
		if err != nil {
			return nil, err
		}
		result.Outputs = append(result.Outputs, page)
	}
	ran := false
	out, err := postgres.Once(ctx, s.DB, Name, pipeline.Batch{d}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		if slice.Refresh {
			if err := setNextCursor(ctx, tx, slice, d.Job, a.ObservedAt); err != nil {
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

// answer returns the slice's answer and the file that holds it. What an earlier
// try was told is used again, whatever the source says by now; an answer whose
// bytes are gone, or could not be read to the end, is asked for again.
func (s *Stage) answer(ctx context.Context, d pipeline.Delivery, slice event.Slice, src *source.Source) (Answer, *os.File, error) {
	a, err := lastAnswer(ctx, s.DB, d.Job, d.ID)
	if err != nil {
		return a, nil, err
	}
	if a.Hash != "" {
		file, err := s.Archive.Open(a.Hash)
		if !errors.Is(err, fs.ErrNotExist) {
			return a, file, err
		}
	}
	if a, err = s.ask(ctx, d, slice, src); err != nil {
		return a, nil, err
	}
	file, err := s.Archive.Open(a.Hash)
	return a, file, err
}

// ask asks the source, keeps what it says in the archive, and commits that it did.
func (s *Stage) ask(ctx context.Context, d pipeline.Delivery, slice event.Slice, src *source.Source) (Answer, error) {
	u, err := parseAddress(address(slice, src))
	if err != nil {
		return Answer{}, err
	}
	a := Answer{URL: shown(u, src), Format: formatOf(u, src)}
	if err := s.DB.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&a.AskedAt); err != nil {
		return a, postgres.Classify(err)
	}
	a.ObservedAt = a.AskedAt
	if slice.AsOf != nil {
		a.ObservedAt = *slice.AsOf
	}
	n, first := pageOf(d, slice)
	a.Page, a.First = n, first
	answer, err := s.open(ctx, u, slice.Account, src, &a)
	if err != nil {
		return a, err
	}
	defer answer.Close() //nolint:errcheck // what was read is all that counts
	if a.Hash, a.Bytes, err = s.Archive.Keep(answer); err != nil {
		return a, pipeline.Paced(fmt.Errorf("answer of %s: cut off after %d bytes: %w", a.URL, a.Bytes, err))
	}
	return a, insertAnswer(ctx, s.DB, d, &a)
}

// open opens what is at an address, and notes what its header says.
func (s *Stage) open(ctx context.Context, u *url.URL, account string, src *source.Source, a *Answer) (io.ReadCloser, error) {
	if u.Scheme == "file" {
		return s.openFile(u)
	}
	as, err := s.credential(ctx, u, account, src)
	if err != nil {
		return nil, err
	}
	response, err := get(ctx, question{url: u, as: as, timeout: src.HTTP.Timeout})
	if refused, ok := errors.AsType[unauthorizedError](err); ok {
		return nil, s.refused(ctx, refused, as, src)
	}
	if err != nil {
		return nil, err
	}
	if a.Link, err = nextLink(response.Header, response.Request.URL, src); err != nil {
		_ = response.Body.Close()
		return nil, as.clean(err)
	}
	return response.Body, nil
}

// refused says what follows from a 401: a token may have been taken back, and
// the next one may be good.
func (s *Stage) refused(ctx context.Context, reason error, as *credential, src *source.Source) error {
	if as == nil || as.token == "" {
		return pipeline.Permanent(reason)
	}
	if err := s.tokens.drop(ctx, s.DB, as, src); err != nil {
		return err
	}
	return pipeline.Paced(reason)
}

// refuse marks an answer that is not what its format promises: the next try asks
// again. A file will not say anything else.
func (s *Stage) refuse(ctx context.Context, d pipeline.Delivery, a Answer, reason error) error {
	if err := markBroken(ctx, s.DB, d.Job, a.N, reason.Error()); err != nil {
		return err
	}
	err := fmt.Errorf("answer of %s: %w", a.URL, reason)
	if strings.HasPrefix(a.URL, "file:") {
		return pipeline.Permanent(err)
	}
	return pipeline.Paced(err)
}

// ahead is how many parts are cut while others are published.
const ahead = 8

// Pieces are what an answer was cut into.
type pieces struct {
	names   []string // of the messages that the broker has
	counts  map[string]int
	records int
	next    *event.Slice // asks for the page after it; nil: none
}

// cut cuts an answer into parts and publishes them meanwhile. The broker has
// them all when it returns.
func (s *Stage) cut(ctx context.Context, d pipeline.Delivery, slice event.Slice, src *source.Source, a Answer, file *os.File) (pieces, error) {
	cut := pieces{counts: map[string]int{"answers.fetched": 1, "answers.bytes": int(a.Bytes)}}
	parts := make(chan pipeline.Envelope, ahead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.publish(ctx, parts) })
	group.Go(func() error {
		defer close(parts)
		answer := a.forCutting(file)
		answer.Account = slice.Account
		return src.Cut(ctx, answer, func(p event.Part, rejects []source.Reject) error {
			if err := insertRejects(ctx, s.DB, d.Job, a.N, src.Name, rejects); err != nil {
				return err
			}
			cut.counts["stats.rejected"] += len(rejects)
			cut.records += len(p.Objects) + len(p.Stats) + len(rejects)
			if len(p.Objects) == 0 {
				return nil
			}
			key := fmt.Sprintf("%d/%s/%s/%d", a.N, a.Hash, src.Hash, p.Ordinal)
			part, err := d.Emit(s.Next, key, p)
			if err != nil {
				return err
			}
			cut.names = append(cut.names, part.ID)
			select {
			case parts <- part:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	if err := group.Wait(); err != nil {
		return pieces{}, err
	}
	cut.counts["parts.fetched"] = len(cut.names)
	return cut, nil
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
	}
	return nil
}
