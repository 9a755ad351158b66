package rollup

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// updates are the messages for the feed: one a bulk of documents.
func (c *claim) updates(queue string) ([]pipeline.Envelope, error) {
	var entries []event.Update
	var sums scratch
	for _, d := range c.docs {
		if c.redo[d.Node.ID] || c.refused[d] != "" {
			continue
		}
		entries = append(entries, d.entry(c.rev, &sums))
	}
	var out []pipeline.Envelope
	for chunk := range slices.Chunk(entries, bulkSize) {
		n := len(out)
		body, err := event.Updates{Documents: chunk}.AppendJSON(nil)
		if err != nil {
			return nil, fmt.Errorf("encode updates: %w", err)
		}
		out = append(out, pipeline.Envelope{
			ID: pipeline.Hash("updates", strconv.FormatInt(c.rev, 10), strconv.Itoa(n)), Kind: event.KindUpdates, Queue: queue, At: time.Now(), Body: body,
		})
	}
	return out, nil
}

func (d *Document) entry(rev int64, sums *scratch) event.Update {
	u := event.Update{Source: d.Node.Source, ID: d.ID(), Rev: rev, Gone: d.Gone, Name: d.Node.Name, Days: make(map[string]json.RawMessage, len(d.Days))}
	for day, s := range d.Days {
		u.Days[day.String()] = sums.take(d.render.json(sums.free(), s.total))
	}
	return u
}

// A scratch is memory that many short texts are written into, one after another.
type scratch struct{ chunk []byte }

// free returns the room that is left, to append to.
func (t *scratch) free() []byte {
	const chunk, short = 64 << 10, 1 << 10
	if cap(t.chunk)-len(t.chunk) < short {
		t.chunk = make([]byte, 0, chunk)
	}
	return t.chunk[len(t.chunk):]
}

// take keeps what was appended. What outgrew the room has memory of its own.
func (t *scratch) take(appended []byte) []byte {
	if len(appended) <= cap(t.chunk)-len(t.chunk) {
		t.chunk = t.chunk[:len(t.chunk)+len(appended)]
	}
	return slices.Clip(appended)
}

// json appends sums as the feed has them: exact decimals, zeros absent.
func (r *renderer) json(b []byte, s sums) []byte {
	next := byte('{')
	for _, i := range r.order {
		if i >= len(s) || s[i].IsZero() {
			continue
		}
		b = append(b, next, '"')
		b = append(b, r.names[i]...)
		b = append(b, '"', ':')
		b = s[i].Append(b)
		next = ','
	}
	if next == '{' {
		b = append(b, '{')
	}
	return append(b, '}')
}
