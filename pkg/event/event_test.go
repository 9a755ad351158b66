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
		"leat.slice.v1": event.Slice{}, "leat.part.v1": event.Part{}, "leat.changes.v1": event.Changes{}, "leat.updates.v1": event.Updates{},
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
// hold what an older version wrote.
func TestPayloadsAreWrittenAsTheyAre(t *testing.T) {
	zero, at := 0, time.Date(2026, 11, 20, 12, 0, 0, 123456000, time.UTC)
	tests := []struct {
		payload any
		text    string
	}{
		{&event.Slice{Source: "ads", Version: "v", Account: "acme", From: "2026-11-01", AsOf: &at, Refresh: true},
			`{"source":"ads","version":"v","account":"acme","from":"2026-11-01","as_of":"2026-11-20T12:00:00.123456Z","refresh":true}`},
		{&event.Part{
			Source: "ads", Version: "v", Answer: 2, Ordinal: 1, ObservedAt: at,
			Objects: []event.Object{{Type: "campaign", Key: "c1"}, {Type: "ad", Key: "a1", Parent: 1, Described: true, Name: "n", Attrs: json.RawMessage(`{"a":1}`)}},
			Stats:   []event.Stat{{Object: 1, Day: 20777, Hour: &zero, Dims: "os=ios", Metrics: metric.Set{{Name: "clicks", Value: metric.Value(3 * 1_000_000)}}}},
		},
			`{"source":"ads","version":"v","answer":2,"ordinal":1,"observed_at":"2026-11-20T12:00:00.123456Z",` +
				`"objects":[{"t":"campaign","k":"c1"},{"t":"ad","k":"a1","p":1,"d":true,"n":"n","a":{"a":1}}],` +
				`"stats":[{"o":1,"day":"2026-11-20","h":0,"dims":"os=ios","m":{"clicks":3}}]}`},
		{&event.Changes{Source: "ads", Version: "v", Objects: []event.Change{{ID: 1, New: true}, {ID: 2, Moved: true, From: 3, Days: []metric.Day{20777}}}},
			`{"source":"ads","version":"v","objects":[{"id":1,"new":true},{"id":2,"moved":true,"from":3,"days":["2026-11-20"]}]}`},
	}
	for _, tt := range tests {
		text, err := json.Marshal(tt.payload)
		if err != nil || string(text) != tt.text {
			t.Errorf("written\n%s, %v, want\n%s", text, err, tt.text)
		}
		again := reflect.New(reflect.TypeOf(tt.payload).Elem()).Interface()
		if err := json.Unmarshal([]byte(tt.text), again); err != nil || !reflect.DeepEqual(again, tt.payload) {
			t.Errorf("read\n%+v, %v, want\n%+v", again, err, tt.payload)
		}
	}
}
