package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// slice asks for a slice, or takes the answer that an earlier try had, cuts it
// and publishes its parts.
func (s *Stage) slice(ctx context.Context, d pipeline.Delivery) error {
	slice, err := pipeline.Decode[event.Slice](d.Envelope)
	if err != nil {
		return err
	}
	src, err := s.Sources.Get(ctx, slice.Version)
	if err != nil {
		return err
	}
	if done, err := isDone(ctx, s.DB, d.ID); done || err != nil {
		return err // its parts were confirmed before its row was committed
	}
	a, file, err := s.answer(ctx, d, slice, src)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it is only read
	parts, counts, err := s.cut(ctx, d, slice, src, a, file)
	if _, malformed := errors.AsType[*source.FormError](err); malformed {
		return s.refuse(ctx, d, a, err)
	}
	if err != nil {
		return err
	}
	var results []postgres.Result
	_, err = postgres.Once(ctx, s.DB, Name, pipeline.Batch{d}, func(tx pgx.Tx, _ pipeline.Batch) ([]postgres.Result, error) {
		if slice.Refresh {
			if err := setNextCursor(ctx, tx, slice, d.Job, a.ObservedAt); err != nil {
				return nil, err
			}
		}
		results = []postgres.Result{{Source: src.Name, Names: parts, Counts: counts}}
		return results, nil
	})
	if err == nil {
		postgres.Report(s.Count, results)
	}
	return err
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
	answer, err := s.open(ctx, u, slice.Account, src)
	if err != nil {
		return a, err
	}
	defer answer.Close() //nolint:errcheck // what was read is all that counts
	if a.Hash, a.Bytes, err = s.Archive.Keep(answer); err != nil {
		return a, pipeline.Paced(fmt.Errorf("answer of %s: cut off after %d bytes: %w", a.URL, a.Bytes, err))
	}
	return a, insertAnswer(ctx, s.DB, d, &a)
}

// open opens what is at an address.
func (s *Stage) open(ctx context.Context, u *url.URL, account string, src *source.Source) (io.ReadCloser, error) {
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

// cut cuts an answer into parts and publishes them meanwhile. It returns the
// parts' ids when the broker has them all.
func (s *Stage) cut(ctx context.Context, d pipeline.Delivery, slice event.Slice, src *source.Source, a Answer, file *os.File) ([]string, map[string]int, error) {
	counts := map[string]int{"answers.fetched": 1, "answers.bytes": int(a.Bytes)}
	var ids []string
	parts := make(chan pipeline.Envelope, ahead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.publish(ctx, parts) })
	group.Go(func() error {
		defer close(parts)
		answer := source.Answer{
			File: file, Size: a.Bytes, Format: a.Format, Hash: a.Hash, Account: slice.Account,
			N: a.N, ObservedAt: a.ObservedAt, Now: a.AskedAt, Temp: os.TempDir(),
		}
		return src.Cut(ctx, answer, func(p event.Part, rejects []source.Reject) error {
			if err := insertRejects(ctx, s.DB, d.Job, a.N, src.Name, rejects); err != nil {
				return err
			}
			counts["stats.rejected"] += len(rejects)
			if len(p.Objects) == 0 {
				return nil
			}
			key := fmt.Sprintf("%d/%s/%s/%d", a.N, a.Hash, src.Hash, p.Ordinal)
			part, err := d.Emit(s.Next, key, p)
			if err != nil {
				return err
			}
			ids = append(ids, part.ID)
			select {
			case parts <- part:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	counts["parts.fetched"] = len(ids)
	return ids, counts, nil
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
