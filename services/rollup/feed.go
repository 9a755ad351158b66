package rollup

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// updates are the messages for the feed: one a bulk of documents.
func (c *claim) updates(queue string, spec func(string) (*source.Source, error)) ([]pipeline.Envelope, error) {
	var entries []event.Update
	for _, d := range c.docs {
		if c.redo[d.Node.ID] || c.refused[d] != "" {
			continue
		}
		src, err := spec(d.Node.Source)
		if err != nil {
			return nil, err
		}
		entries = append(entries, d.entry(c.rev, &src.Rollup))
	}
	var out []pipeline.Envelope
	for chunk := range slices.Chunk(entries, bulkSize) {
		n := len(out)
		body, err := json.Marshal(event.Updates{Documents: chunk})
		if err != nil {
			return nil, fmt.Errorf("encode updates: %w", err)
		}
		out = append(out, pipeline.Envelope{
			ID: pipeline.Hash("updates", strconv.FormatInt(c.rev, 10), strconv.Itoa(n)), Kind: event.KindUpdates, Queue: queue, At: time.Now(), Body: body,
		})
	}
	return out, nil
}

func (d *Document) entry(rev int64, spec *source.Rollup) event.Update {
	u := event.Update{Source: d.Node.Source, ID: d.ID(), Rev: rev, Gone: d.Gone, Name: d.Node.Name, Days: map[string]any{}}
	for _, day := range slices.Sorted(maps.Keys(d.Days)) {
		u.Days[day.String()] = struct{}{}
		if m := d.Days[day].bson(spec); m != nil {
			u.Days[day.String()] = m["m"]
		}
	}
	return u
}
