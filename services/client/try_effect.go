package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/annotate"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/delta"
	"github.com/leatflow/leat/services/rollup"
	"github.com/leatflow/leat/services/tree"
)

// An Effect is what a job would change in PostgreSQL and in MongoDB.
type Effect struct {
	Counts    map[string]int       `json:"counts"` // as the job would count
	Objects   []ObjectDifference   `json:"objects"`
	Stats     []StatDifference     `json:"stats"`
	Tags      []TagDifference      `json:"tags"`
	Waiting   int                  `json:"waiting"` // objects of which a tag needs http(), which was not asked
	Documents []DocumentDifference `json:"documents"`
}

// An ObjectDifference is an object that would be new, or have other fields.
type ObjectDifference struct {
	Object string  `json:"object"`
	New    bool    `json:"new,omitempty"`
	Named  bool    `json:"named,omitempty"`  // only, as the parent of another
	Fields []Field `json:"fields,omitempty"` // none of one that is not new: another feed goes over what was said
}

// A Field is a value that would differ.
type Field struct {
	Name   string          `json:"name"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// A StatDifference is a row of stats that would be new, removed or have other metrics.
type StatDifference struct {
	Object  string  `json:"object"`
	Day     string  `json:"day"`
	Rule    string  `json:"rule,omitempty"`
	Dims    string  `json:"dims,omitempty"`
	New     bool    `json:"new,omitempty"`
	Removed bool    `json:"removed,omitempty"`
	Hours   []int   `json:"hours"` // that are credited with it
	Metrics []Field `json:"metrics"`
}

// A TagDifference is an object that would have other tags.
type TagDifference struct {
	Object string            `json:"object"`
	Tags   []Field           `json:"tags"`
	Failed map[string]string `json:"failed,omitempty"`
}

// A DocumentDifference is a document that would be written.
type DocumentDifference struct {
	ID   string   `json:"id"`
	New  bool     `json:"new,omitempty"`
	Days []string `json:"days"` // none: its fields alone
	All  bool     `json:"all,omitempty"`
}

// foreseeing is how long a comparison may hold what workers may want: it gives way
// long before PostgreSQL would look for who is in a circle with whom.
const foreseeing = `SET LOCAL lock_timeout = '500ms'; SET LOCAL statement_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '20s'`

var errBusy = errors.New("workers are writing the same objects just now: try again in a moment")

// foresee has the stages compare parts with the rows that are there, each by its
// own rules, in a transaction that is undone.
func (c *Client) foresee(ctx context.Context, src *source.Source, parts []event.Part) (d Effect, err error) {
	for range 3 {
		d, err = c.undone(ctx, src, parts)
		if said, ok := errors.AsType[*pgconn.PgError](err); !ok || said.Code != lockNotAvailable {
			return d, err
		}
		if err := sleep(ctx, c.pause/10); err != nil {
			return d, err
		}
	}
	return d, errBusy
}

// undone compares in a transaction that is undone.
func (c *Client) undone(ctx context.Context, src *source.Source, parts []event.Part) (d Effect, err error) {
	tx, err := c.db.Begin(ctx)
	if err != nil {
		return d, postgres.Classify(err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // with the connection it ends too
	if _, err := tx.Exec(ctx, foreseeing, pgx.QueryExecModeSimpleProtocol); err != nil {
		return d, postgres.Classify(err)
	}
	d, err = compare(ctx, tx, src, parts)
	return d, postgres.Classify(err)
}

const lockNotAvailable = "55P03"

func compare(ctx context.Context, tx pgx.Tx, src *source.Source, parts []event.Part) (d Effect, err error) {
	rows, err := delta.Foresee(ctx, tx, src, parts)
	if err != nil {
		return d, err
	}
	tags, err := annotate.Foresee(ctx, tx, catalog.Version{Source: src, FirstUsed: time.Now()}, rows.Changes)
	if err != nil {
		return d, err
	}
	changes := rows.Changes
	for _, t := range tags.Tags {
		changes = append(changes, event.Change{ID: t.ID, Self: true})
	}
	documents, err := rollup.Foresee(ctx, tx, src, changes)
	if err != nil {
		return d, err
	}
	names, err := namesOf(ctx, tx, rows, tags)
	if err != nil {
		return d, err
	}
	return names.effect(rows, tags, documents), nil
}

// Names are objects by their ids, as people write them.
type names map[int64]string

func namesOf(ctx context.Context, tx pgx.Tx, rows delta.Forecast, tags annotate.Forecast) (names, error) {
	ids := map[int64]bool{}
	for _, o := range rows.Objects {
		ids[o.After.ParentID] = true
		if o.Before != nil {
			ids[o.Before.ParentID] = true
		}
	}
	for _, t := range tags.Tags {
		ids[t.ID] = true
	}
	nodes, err := tree.Up(ctx, tx, slices.Collect(maps.Keys(ids)))
	all := names{}
	for id, n := range nodes {
		all[id] = n.Type + "/" + n.Key
	}
	return all, err
}

func (n names) effect(rows delta.Forecast, tags annotate.Forecast, documents []rollup.DocumentForecast) Effect {
	d := Effect{Counts: rows.Counts, Waiting: tags.Waiting, Objects: []ObjectDifference{}, Stats: []StatDifference{}, Tags: []TagDifference{}, Documents: []DocumentDifference{}}
	for _, o := range rows.Objects {
		d.Objects = append(d.Objects, n.object(o))
	}
	for _, r := range rows.Rows {
		d.Stats = append(d.Stats, statOf(r))
	}
	for _, t := range tags.Tags {
		d.Tags = append(d.Tags, TagDifference{n[t.ID], differing(members(t.Before), members(t.After)), t.Failed})
	}
	for _, w := range documents {
		document := DocumentDifference{ID: w.ID, New: w.New, All: w.All, Days: []string{}}
		for _, day := range w.Days {
			document.Days = append(document.Days, day.String())
		}
		d.Documents = append(d.Documents, document)
	}
	return d
}

func (n names) object(o delta.ObjectForecast) ObjectDifference {
	d := ObjectDifference{Object: o.Type + "/" + o.Key, New: o.Before == nil, Named: !o.After.Described}
	before := map[string]json.RawMessage{}
	if o.Before != nil {
		before = n.fieldsOf(o.Before)
	}
	if d.Fields = differing(before, n.fieldsOf(o.After)); d.Named {
		d.Fields = nil
	}
	return d
}

// fieldsOf is an object's name, parent and attributes.
func (n names) fieldsOf(o *delta.Object) map[string]json.RawMessage {
	all := map[string]json.RawMessage{"name": spelled(o.Name)}
	if o.ParentID != 0 {
		all["parent"] = spelled(n[o.ParentID])
	}
	for name, value := range members(o.Attrs) {
		all["attributes."+name] = value
	}
	return all
}

func statOf(r delta.RowForecast) StatDifference {
	d := StatDifference{
		Object: r.Of.Type + "/" + r.Of.Key, Day: r.Day.String(), Rule: r.Rule, Dims: r.Dims,
		New: r.Before == nil, Removed: r.After == nil, Hours: r.Hours,
	}
	metrics := func(row *delta.Row) map[string]json.RawMessage {
		if row == nil {
			return nil
		}
		return numbersOf(row.Metrics)
	}
	d.Metrics = differing(metrics(r.Before), metrics(r.After))
	return d
}

func numbersOf(set metric.Set) map[string]json.RawMessage {
	all := make(map[string]json.RawMessage, len(set))
	for _, m := range set {
		all[m.Name] = m.Value.Append(nil)
	}
	return all
}

// differing are the members that differ, in the order of their names.
func differing(before, after map[string]json.RawMessage) (differ []Field) {
	all := maps.Clone(before)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	maps.Copy(all, after)
	for _, name := range sortedKeys(all) {
		if string(before[name]) != string(after[name]) {
			differ = append(differ, Field{name, before[name], after[name]})
		}
	}
	return differ
}

// members reads a JSON object, each value in its one spelling.
func members(text []byte) map[string]json.RawMessage {
	values := numbered(text)
	all := make(map[string]json.RawMessage, len(values))
	for name, value := range values {
		all[name] = spelled(value)
	}
	return all
}

// spelled writes a value as JSON, for people too.
func spelled(value any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // a text, or what was read as JSON
	return bytes.TrimSpace(b.Bytes())
}
