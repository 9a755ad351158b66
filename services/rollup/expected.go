package rollup

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/source"
)

// Expected is what MongoDB should hold of a document that was computed with all
// of its days: every field but _id and rev.
func (d *Document) Expected(spec *source.Rollup) bson.M {
	m := bson.M{}
	for _, f := range d.fields() {
		m[f.Key] = f.Value
	}
	if d.Half == noHalf {
		return m
	}
	days := bson.M{}
	for day, v := range d.Days {
		if held := v.bson(spec); held != nil {
			days[day.String()] = held
		}
	}
	m["days"] = days
	return m
}
