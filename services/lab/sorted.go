package lab

import "go.mongodb.org/mongo-driver/v2/bson"

// Sorted makes maps of documents, whose names json.Marshal sorts: the days of a
// document stand in the order in which they were first written.
func Sorted(v any) any {
	switch v := v.(type) {
	case bson.M:
		m := map[string]any{}
		for name, e := range v {
			m[name] = Sorted(e)
		}
		return m
	case bson.D:
		m := map[string]any{}
		for _, e := range v {
			m[e.Key] = Sorted(e.Value)
		}
		return m
	case bson.A:
		for i := range v {
			v[i] = Sorted(v[i])
		}
	}
	return v
}
