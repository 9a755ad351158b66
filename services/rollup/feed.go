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
	for _, d := range c.docs {
		if c.redo[d.Node.ID] || c.refused[d] != "" {
			continue
		}
		entries = append(entries, d.entry(c.rev))
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

func (d *Document) entry(rev int64) event.Update {
	u := event.Update{Source: d.Node.Source, ID: d.ID(), Rev: rev, Gone: d.Gone, Name: d.Node.Name, Days: make(map[string]json.RawMessage, len(d.Days))}
	for day, sums := range d.Days {
		u.Days[day.String()] = d.render.json(sums.total)
	}
	return u
}

// json writes sums as the feed has them: exact decimals, zeros absent.
func (r *renderer) json(s sums) []byte {
	b := []byte{'{'}
	for _, i := range r.order {
		if i >= len(s) || s[i].IsZero() {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, r.names[i]...)
		b = append(b, '"', ':')
		b = s[i].Append(b)
	}
	return append(b, '}')
}
