// Package rows does what Leat does with one report in the way that most begin
// with: one record after the other, each with statements of its own.
//
// In: the report of each account over HTTP. Out: the same rows as Leat's, and for
// each stat an update of its ad's document.
package rows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/bench/floor"
)

// A Target says what to load, and to where.
type Target floor.Target

// Load brings rows and documents up to date with the reports of all accounts.
func Load(ctx context.Context, t Target) error {
	for _, account := range t.Source.Accounts {
		report, err := read(ctx, t.Report(account.Name))
		if err != nil {
			return err
		}
		for _, c := range report.Campaigns {
			if err := t.campaign(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// Described is what all objects of the report have.
type described struct {
	ID, Name string
}

type report struct{ Campaigns []campaign }

type campaign struct {
	described
	Status   string
	Budget   json.Number
	Adgroups []adgroup
}

type adgroup struct {
	described
	Ads []ad
}

type ad struct {
	described
	Headline, URL string
	Stats         []map[string]any
}

func read(ctx context.Context, address string) (r report, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return r, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return r, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	d := json.NewDecoder(response.Body)
	d.UseNumber()
	return r, d.Decode(&r)
}

// A stored object is one that has its row.
type stored struct {
	source.Object
	id    int64
	depth int
}

func (t Target) campaign(ctx context.Context, c campaign) error {
	top, err := t.object(ctx, nil, "campaign", c.described, map[string]any{"status": c.Status, "budget": plain(c.Budget)})
	if err != nil {
		return err
	}
	for _, g := range c.Adgroups {
		group, err := t.object(ctx, top, "adgroup", g.described, map[string]any{})
		if err != nil {
			return err
		}
		for _, a := range g.Ads {
			if err := t.ad(ctx, group, a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t Target) ad(ctx context.Context, group *stored, a ad) error {
	o, err := t.object(ctx, group, "ad", a.described, map[string]any{"headline": a.Headline, "url": a.URL})
	if err != nil {
		return err
	}
	for _, fields := range a.Stats {
		if err := t.stat(ctx, o, fields); err != nil {
			return fmt.Errorf("%s: %w", a.ID, err)
		}
	}
	return nil
}

// object finds or makes an object's row, and its tags.
func (t Target) object(ctx context.Context, parent *stored, typ string, d described, attrs map[string]any) (*stored, error) {
	o := &stored{Object: source.Object{Type: typ, Key: d.ID, Name: d.Name, Attrs: attrs}}
	var above *int64
	if parent != nil {
		o.depth, above = parent.depth+1, &parent.id
		o.Parents = append([]source.Object{parent.Object}, parent.Parents...)
	}
	err := t.DB.QueryRow(ctx, `SELECT id FROM objects WHERE source = $1 AND type = $2 AND key = $3`, t.Source.Name, typ, d.ID).Scan(&o.id)
	if !errors.Is(err, pgx.ErrNoRows) {
		return o, err
	}
	if err := t.DB.QueryRow(ctx, `
		INSERT INTO objects (source, type, key, parent_id, depth, name, attrs, observed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, now())
		RETURNING id`, t.Source.Name, typ, d.ID, above, o.depth, d.Name, attrs).Scan(&o.id); err != nil {
		return nil, err
	}
	tags, _ := t.Source.Annotate(o.Object, nil)
	_, err = t.DB.Exec(ctx, `INSERT INTO tags (object_id, tags) VALUES ($1, $2)`, o.id, tags)
	return o, err
}

// plain is a number without trailing zeros.
func plain(n json.Number) json.Number {
	v, err := metric.Parse(n.String())
	if err != nil {
		return n
	}
	return json.Number(v.String())
}

// stat looks whether a stat is there, writes it if it differs, and puts it into
// the document.
func (t Target) stat(ctx context.Context, o *stored, fields map[string]any) error {
	day, dims := fields["date"].(string), "os="+fields["os"].(string)
	metrics, err := metricsOf(fields)
	if err != nil || len(metrics) == 0 {
		return err
	}
	var before metric.Set
	err = t.DB.QueryRow(ctx, `SELECT metrics FROM stats WHERE object_id = $1 AND day = $2::text::date AND rule = '' AND dims = $3`, o.id, day, dims).Scan(&before)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		_, err = t.DB.Exec(ctx, `
			INSERT INTO stats (object_id, day, dims, metrics, observed_at) VALUES ($1, $2::text::date, $3, $4, now())`, o.id, day, dims, metrics)
	case err == nil && !before.Equal(metrics):
		_, err = t.DB.Exec(ctx, `
			UPDATE stats SET metrics = $4, observed_at = now()
			WHERE object_id = $1 AND day = $2::text::date AND rule = '' AND dims = $3`, o.id, day, dims, metrics)
	}
	if err != nil {
		return err
	}
	return t.document(ctx, o, day, dims, metrics)
}

func metricsOf(fields map[string]any) (metric.Set, error) {
	var all []metric.Metric
	for name, v := range fields {
		n, ok := v.(json.Number)
		if !ok {
			continue
		}
		value, err := metric.Parse(n.String())
		if err != nil {
			return nil, err
		}
		all = append(all, metric.Metric{Name: name, Value: value})
	}
	return metric.Make(all), nil
}

func (t Target) document(ctx context.Context, o *stored, day, dims string, metrics metric.Set) error {
	m := bson.D{}
	for _, one := range metrics {
		var sum metric.Sum
		sum.Add(one.Value)
		m = append(m, bson.E{Key: one.Name, Value: sum.Number()})
	}
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return err
	}
	id := o.Type + "/" + o.Key + "/" + metric.DayOf(at).Half()
	_, err = t.Collection.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "days." + day + "." + dims, Value: m}, {Key: "rev", Value: t.Rev}}}}, options.UpdateOne().SetUpsert(true))
	return err
}
