package event_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
)

func TestKindsAreTheNamesOnTheWire(t *testing.T) {
	for want, p := range map[string]pipeline.Payload{
		"leat.slice.v1": event.Slice{}, "leat.part.v2": event.Part{}, "leat.changes.v2": event.Changes{}, "leat.updates.v1": event.Updates{},
	} {
		if got := p.Kind(); got != want {
			t.Errorf("%T is of kind %s, want %s", p, got, want)
		}
	}
	if event.KindJob != "leat.job.v1" {
		t.Errorf("a job is of kind %s", event.KindJob)
	}
}

func TestAnAnswersTimeIsThatOfItsFirstPart(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 5000, time.UTC)
	for ordinal := range 3 {
		p := event.Part{Ordinal: ordinal, ObservedAt: at.Add(time.Duration(ordinal) * time.Microsecond)}
		if !p.AnswerAt().Equal(at) {
			t.Errorf("part %d: %s, want %s", ordinal, p.AnswerAt(), at)
		}
	}
}

// TestPayloadsAreWrittenAsTheyAre is the contract between stages: a queue may
// hold what an older version wrote. The first text of each is what is written
// now, the others are only read.
func TestPayloadsAreWrittenAsTheyAre(t *testing.T) {
	zero, at := 0, time.Date(2026, 11, 20, 12, 0, 0, 123456000, time.UTC)
	clicks := metric.Set{{Name: "clicks", Value: metric.Value(3 * 1_000_000)}}
	slice := event.Slice{Source: "ads", Version: "v", Account: "acme", From: "2026-11-01", AsOf: &at, Refresh: true}
	part := event.Part{
		Source: "ads", Version: "v", Answer: 2, Ordinal: 1, ObservedAt: at,
		Objects: []event.Object{{Type: "campaign", Key: "c1"}, {Type: "ad", Key: "a1", Parent: 1, Described: true, Name: "n", Attrs: json.RawMessage(`{"a":1}`)}},
		Stats:   []event.Stat{{Object: 1, Day: 20777, Hour: &zero, Dims: "os=ios", Metrics: clicks}},
	}
	full := event.Part{
		Source: "ads", Version: "v", Account: "acme", Answer: 2, ObservedAt: at, Rejected: 4,
		Objects: []event.Object{
			{Type: "page", Key: "é\"", Described: true, Name: "<é>"}, {Type: "page", Key: "p2", Parent: 1}, {Type: "page", Key: "p3", Described: true},
		},
		Stats: []event.Stat{
			{Day: 20778, Rule: "web", Metrics: metric.Set{{Name: "clicks", Value: -2_500_000}, {Name: "views", Value: 1}}, ID: "e1"},
			{Object: 2, Day: 20776, Rule: "app", Dims: "os=ios", Metrics: clicks, ID: "e[2"},
		},
	}
	changes := event.Changes{Source: "ads", Version: "v", Objects: []event.Change{{ID: 1, New: true}, {ID: 2, Moved: true, From: 3, Days: []metric.Day{20777, 20779}}}}
	updates := event.Updates{Documents: []event.Update{
		{Source: "ads", ID: "ad/\"1/2026H2", Rev: 81, Name: "<é>", Days: map[string]json.RawMessage{"2026-11-20": json.RawMessage(`{"clicks":3}`), "2026-11-19": json.RawMessage(`{}`)}},
		{Source: "ads", ID: "ad/a2/2026H2", Rev: 82, Gone: true},
	}}
	tests := []struct {
		payload pipeline.Payload
		read    func(pipeline.Envelope) (pipeline.Payload, error)
		texts   map[string]string // by kind
	}{
		{slice, read[event.Slice], map[string]string{
			"leat.slice.v1": `{"source":"ads","version":"v","account":"acme","from":"2026-11-01","as_of":"2026-11-20T12:00:00.123456Z","refresh":true}`,
		}},
		{part, read[event.Part], map[string]string{
			"leat.part.v2": `{"source":"ads","version":"v","answer":2,"ordinal":1,"observed_at":"2026-11-20T12:00:00.123456Z",` +
				`"types":["campaign","ad"],"objects":[[0,"c1"],[1,"a1",1,1,"n",{"a":1}]],` +
				`"metrics":["clicks"],"rules":[""],"dims":["os=ios"],"first":"2026-11-20","stats":[[1,0,0,0,0,0,3]]}`,
			"leat.part.v1": `{"source":"ads","version":"v","answer":2,"ordinal":1,"observed_at":"2026-11-20T12:00:00.123456Z",` +
				`"objects":[{"t":"campaign","k":"c1"},{"t":"ad","k":"a1","p":1,"d":true,"n":"n","a":{"a":1}}],` +
				`"stats":[{"o":1,"day":"2026-11-20","h":0,"dims":"os=ios","m":{"clicks":3}}]}`,
		}},
		{full, read[event.Part], map[string]string{
			"leat.part.v2": `{"source":"ads","version":"v","account":"acme","answer":2,"ordinal":0,"observed_at":"2026-11-20T12:00:00.123456Z","rejected":4,` +
				`"types":["page"],"objects":[[0,"é\"",0,1,"<é>"],[0,"p2",1],[0,"p3",0,1,""]],` +
				`"metrics":["clicks","views"],"rules":["web","app"],"dims":["","os=ios"],"first":"2026-11-19",` +
				`"stats":[[0,2,0,0,-1,0,-2.5,1,0.000001,"e1"],[2,0,1,1,-1,0,3,"e[2"]]}`,
		}},
		{updates, read[event.Updates], map[string]string{
			"leat.updates.v1": `{"documents":[{"source":"ads","id":"ad/\"1/2026H2","rev":81,"name":"<é>","days":{"2026-11-19":{},"2026-11-20":{"clicks":3}}},` +
				`{"source":"ads","id":"ad/a2/2026H2","rev":82,"name":"","gone":true}]}`,
		}},
		{changes, read[event.Changes], map[string]string{
			"leat.changes.v2": `{"source":"ads","version":"v","first":"2026-11-20","objects":[[1,1],[2,8,3,0,2]]}`,
			"leat.changes.v1": `{"source":"ads","version":"v","objects":[{"id":1,"new":true},{"id":2,"moved":true,"from":3,"days":["2026-11-20","2026-11-22"]}]}`,
		}},
	}
	for _, tt := range tests {
		e, err := pipeline.Envelope{}.Emit("queue", "key", tt.payload)
		if err != nil || string(e.Body) != tt.texts[e.Kind] {
			t.Errorf("written\n%s, %v, want\n%s", e.Body, err, tt.texts[e.Kind])
		}
		for kind, text := range tt.texts {
			again, err := tt.read(pipeline.Envelope{Kind: kind, Body: json.RawMessage(text)})
			if err != nil || !reflect.DeepEqual(again, tt.payload) {
				t.Errorf("%s read\n%+v, %v, want\n%+v", kind, again, err, tt.payload)
			}
		}
	}
}

func read[P pipeline.Payload](e pipeline.Envelope) (pipeline.Payload, error) {
	return pipeline.Decode[P](e)
}
