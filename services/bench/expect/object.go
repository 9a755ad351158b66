package expect

import (
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"slices"
	"time"
)

// An object is a campaign, an adgroup or an ad.
type object struct {
	typ, key, name string
	parent         *object
	depth          int
	attrs          map[string]any
	days           map[string]sums // by day, then by operating system
}

// sums are millionths by operating system and metric.
type sums map[string]map[string]*big.Int

// A Report is the answer of one account.
type Report struct {
	Source  string
	Markets map[string]string // by campaign: what the rule of market looks up
	Open    func() (io.ReadCloser, error)
}

// Rows emits the rows that PostgreSQL must hold.
func (r Report) Rows(emit func(Line) error) error { return r.read(emit, false) }

// Documents emits the documents that MongoDB must hold.
func (r Report) Documents(emit func(Line) error) error { return r.read(emit, true) }

func (r Report) read(emit func(Line) error, documents bool) (err error) {
	body, err := r.Open()
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was read
	return campaigns(body, func(c map[string]any) error {
		w := walk{Report: r, emit: emit, documents: documents}
		w.object("campaign", c, nil)
		return w.err
	})
}

// A walk goes through one campaign.
type walk struct {
	Report
	emit      func(Line) error
	documents bool
	err       error // the first of emit
}

func (w *walk) line(l Line) {
	if w.err == nil {
		w.err = w.emit(l)
	}
}

func (w *walk) object(typ string, fields map[string]any, parent *object) {
	o := &object{typ: typ, parent: parent, attrs: map[string]any{}, days: map[string]sums{}}
	o.key, o.name = fields["id"].(string), fields["name"].(string)
	if parent != nil {
		o.depth = parent.depth + 1
	}
	for name, v := range fields {
		if _, list := v.([]any); !list && name != "id" && name != "name" {
			o.attrs[name] = v
		}
	}
	if !w.documents {
		w.line(o.row(w.tags(o)))
	}
	for list, child := range map[string]string{"adgroups": "adgroup", "ads": "ad"} {
		for _, below := range elements(fields[list]) {
			w.object(child, below, o)
		}
	}
	for _, stat := range elements(fields["stats"]) {
		w.stat(o, stat)
	}
	if w.documents {
		w.documentsOf(o)
	}
}

func elements(list any) []map[string]any {
	all, _ := list.([]any) // absent: none
	out := make([]map[string]any, len(all))
	for i, e := range all {
		out[i] = e.(map[string]any)
	}
	return out
}

// stat adds a stat to its object and to all above, and emits its row. One
// without any metric makes no row.
func (w *walk) stat(o *object, fields map[string]any) {
	day, os := fields["date"].(string), fields["os"].(string)
	metrics := map[string]*big.Int{}
	for name, v := range fields {
		if n, ok := v.(json.Number); ok {
			if m := millionths(n); m.Sign() != 0 {
				metrics[name] = m
			}
		}
	}
	if len(metrics) == 0 {
		return
	}
	if !w.documents {
		w.line(Line{statKey(o.typ+"/"+o.key, day, "", "os="+os), statText(jsonb(texts(metrics)), "")})
		return
	}
	for above := o; above != nil; above = above.parent {
		above.add(day, os, metrics)
	}
}

func (o *object) add(day, os string, metrics map[string]*big.Int) {
	if o.days[day] == nil {
		o.days[day] = sums{}
	}
	if o.days[day][os] == nil {
		o.days[day][os] = map[string]*big.Int{}
	}
	addTo(o.days[day][os], metrics)
}

func addTo(sums, metrics map[string]*big.Int) {
	for name, v := range metrics {
		if sums[name] == nil {
			sums[name] = new(big.Int)
		}
		sums[name].Add(sums[name], v)
	}
}

// half names the half-year of a day.
func half(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return err.Error() // no document is called that
	}
	if t.Month() <= time.June {
		return t.Format("2006") + "H1"
	}
	return t.Format("2006") + "H2"
}

func (w *walk) documentsOf(o *object) {
	halves := map[string]map[string]any{}
	for _, day := range slices.Sorted(maps.Keys(o.days)) {
		h := half(day)
		if halves[h] == nil {
			halves[h] = map[string]any{}
		}
		halves[h][day] = o.days[day].document()
	}
	for h, days := range halves {
		id := o.typ + "/" + o.key + "/" + h
		w.line(DocumentLine(map[string]any{
			"_id": id, "source": w.Source, "type": o.typ, "key": o.key, "name": o.name, "half": h,
			"path": o.path(), "attrs": values(o.attrs), "tags": w.tags(o), "days": days,
		}))
	}
}

func (o *object) path() []any {
	if o.parent == nil {
		return []any{}
	}
	return append(o.parent.path(), o.parent.typ+"/"+o.parent.key)
}

// document is a day as a document holds it.
func (s sums) document() map[string]any {
	total, by := map[string]*big.Int{}, []any{}
	for _, os := range slices.Sorted(maps.Keys(s)) {
		addTo(total, s[os])
		by = append(by, map[string]any{"d": map[string]any{"os": os}, "m": numbers(s[os])})
	}
	return map[string]any{"m": numbers(total), "by": by}
}
