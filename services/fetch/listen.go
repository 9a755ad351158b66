package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
)

const (
	gathering  = time.Second // so long a stretch waits for more
	longRecord = 1 << 20     // bytes; more is a reject
	stretchMax = 1 << 20     // bytes of a stretch, and the record that goes over it
	recordsMax = 1000        // of a stretch
	idleWait   = 10 * time.Second
)

// listen opens a stream and keeps what comes over it, a stretch at a time, until
// the connection, the lease or the worker ends.
func (s *Stage) listen(ctx context.Context, t task, h *hold) error {
	u, err := streamAddress(t, h.position)
	if err == nil {
		err = s.Archive.Ready(ctx) // else what the source says could not be kept
	}
	if err != nil {
		return err
	}
	if err := s.await(ctx, t, u); err != nil {
		return err
	}
	defer s.release(ctx, t, u)
	listening, cancel := context.WithCancel(ctx)
	answer, err := s.openStream(listening, t, u, h)
	if err != nil {
		cancel()
		return err
	}
	l := newListener(t.src.Fetch.Stream)
	var reading sync.WaitGroup
	reading.Go(func() { l.read(listening, answer) })
	defer reading.Wait()
	defer answer.Close() //nolint:errcheck // what was read is all that counts
	defer cancel()
	began := time.Now()
	heard, err := s.hear(ctx, t, h, l, shown(u, t.src))
	if !errors.Is(err, errEnded) {
		return err
	}
	if !errors.Is(l.err, io.EOF) { // fetch.max_duration and max_size_mib end it too, and it goes on all the same
		s.Log.Warn("a stream was cut", zap.String("source", t.src.Name), zap.String("account", t.slice.Account), zap.Int("records", heard), zap.Error(l.err))
	}
	wait := atLeast(l.retry)
	if heard == 0 && time.Since(began) < idleWait {
		wait = max(wait, idleWait) // it is not opened again and again for nothing
	}
	return parked{wait: wait}
}

// errEnded says that the connection has.
var errEnded = errors.New("the connection ended")

// hear keeps what the listener hears, and returns how many records that were.
func (s *Stage) hear(ctx context.Context, t task, h *hold, l *listener, from string) (heard int, err error) {
	renew := time.NewTicker(renewal)
	defer renew.Stop()
	over := time.NewTimer(h.left)
	defer over.Stop()
	for {
		select {
		case first, more := <-l.records:
			if !more {
				return heard, errEnded
			}
			n, err := s.gather(ctx, t, h, l, first, from)
			if err != nil {
				return heard, err
			}
			heard += n
		case <-renew.C:
			if _, err := h.renew(ctx, s.DB); err != nil {
				return heard, err
			}
		case <-over.C:
			return heard, errLeaseOver
		case <-t.Ending:
			return heard, parked{wait: time.Second}
		case <-ctx.Done():
			return heard, context.Cause(ctx)
		}
		if err := t.halted(h.halt); err != nil {
			return heard, err
		}
	}
}

// gather makes a stretch of a record and of those that come soon after it. All of
// it is observed when the first had come.
func (s *Stage) gather(ctx context.Context, t task, h *hold, l *listener, first record, from string) (records int, err error) {
	a := Answer{URL: from, Format: "ndjson", First: t.ID}
	if a.AskedAt, err = h.renew(ctx, s.DB); err != nil {
		return 0, err
	}
	a.ObservedAt = a.AskedAt
	var text bytes.Buffer
	for more, enough := true, time.After(gathering); more; {
		text.Write(first.text)
		text.WriteByte('\n')
		if first.position != "" {
			h.position = first.position
		}
		if records++; records == recordsMax || text.Len() > stretchMax {
			break
		}
		select {
		case first, more = <-l.records:
		case <-enough:
			more = false
		case <-t.Ending:
			more = false
		}
	}
	if err := take(s.Archive, &text, &a); err != nil {
		return 0, err
	}
	defer a.close()
	a.Position = h.position
	if err := s.keepStretch(ctx, t, h, &a); err != nil {
		return 0, err
	}
	pipeline.Point("answered")
	return records, s.stretch(ctx, t, h, a)
}

// atLeast is the shortest of the waits that is as long as a source asks for.
func atLeast(d time.Duration) time.Duration {
	for _, w := range pipeline.Waits {
		if w >= d {
			return w
		}
	}
	return pipeline.Waits[len(pipeline.Waits)-1]
}

// streamAddress is where a stream goes on after a position.
func streamAddress(t task, position string) (*url.URL, error) {
	base, err := baseURL(t.src)
	if err == nil {
		var path string
		path, err = expand("fetch.stream.path", t.src.Fetch.Stream.Path, url.QueryEscape)
		base += strings.NewReplacer("{account}", url.QueryEscape(t.slice.Account), "{cursor}", url.QueryEscape(position)).Replace(path)
	}
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("source %s: %w", t.src.Name, err))
	}
	return parseAddress(base)
}

// openStream opens a stream where it was left.
func (s *Stage) openStream(ctx context.Context, t task, u *url.URL, h *hold) (io.ReadCloser, error) {
	stream := t.src.Fetch.Stream
	q := question{header: map[string]string{"Accept": "application/x-ndjson"}}
	if stream.SSE() {
		q.header["Accept"], q.header["Cache-Control"] = "text/event-stream", "no-cache"
	}
	if h.position != "" {
		q.expired = stream.Expired
		if !strings.Contains(stream.Path, "{cursor}") {
			q.header["Last-Event-ID"] = h.position
		}
	}
	response, err := s.request(ctx, t, u, q)
	if err != nil {
		return nil, err
	}
	kind := response.Header.Get("Content-Type")
	if stream.SSE() && !strings.HasPrefix(kind, "text/event-stream") || strings.HasPrefix(kind, "text/html") {
		_ = response.Body.Close()
		return nil, pipeline.Paced(fmt.Errorf("%s answered with content of type %q; a stream of %s is not that", redact.Text(u.String()), kind, stream.Format))
	}
	return response.Body, nil
}
