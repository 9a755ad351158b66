package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

type greeting struct {
	Name string `json:"name"`
}

func (greeting) Kind() string { return "leat.greeting.v2" }

// unsound cannot be encoded.
type unsound struct{ F func() }

func (unsound) Kind() string { return "leat.unsound.v1" }

// note writes and reads itself, its first version too.
type note struct{ text string }

func (note) Kind() string { return "leat.note.v2" }

func (n note) AppendJSON(b []byte) ([]byte, error) {
	if n.text == "" {
		return nil, errors.New("empty")
	}
	return strconv.AppendQuote(b, n.text), nil
}

func (*note) Reads(kind string) bool { return kind == "leat.note.v2" || kind == "leat.note.v1" }

func (n *note) ReadJSON(kind string, body []byte) (err error) {
	if kind == "leat.note.v1" {
		n.text = "old " + string(body)
		return nil
	}
	n.text, err = strconv.Unquote(string(body))
	return err
}

func TestAPayloadMayWriteAndReadItself(t *testing.T) {
	e, err := pipeline.Envelope{}.Emit("queue", "key", note{"a"})
	if err != nil || string(e.Body) != `"a"` || e.Kind != "leat.note.v2" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := (pipeline.Envelope{}).Emit("queue", "key", note{}); !pipeline.IsPermanent(err) {
		t.Errorf("one that cannot be written: %v, want Permanent", err)
	}
	for kind, want := range map[string]string{"leat.note.v2": "a", "leat.note.v1": `old "a"`} {
		if n, err := pipeline.Decode[note](pipeline.Envelope{Kind: kind, Body: []byte(`"a"`)}); err != nil || n.text != want {
			t.Errorf("%s: %+v, %v, want %s", kind, n, err, want)
		}
	}
	if _, err := pipeline.Decode[note](pipeline.Envelope{Kind: "leat.note.v2", Body: []byte(`a`)}); !pipeline.IsPermanent(err) {
		t.Errorf("one that cannot be read: %v, want Permanent", err)
	}
	for kind, dies := range map[string]bool{"leat.note.v3": false, "leat.part.v1": true} {
		if _, err := pipeline.Decode[note](pipeline.Envelope{Kind: kind}); err == nil || pipeline.IsPermanent(err) != dies {
			t.Errorf("%s: %v, Permanent: %v", kind, err, dies)
		}
	}
}

func TestEmitCarriesOnWhatTheChainHas(t *testing.T) {
	cause := pipeline.Envelope{
		ID: "cause", Kind: "leat.job.v1", Queue: "leat.fetch", Key: "k", Cause: "c", Job: "job", At: time.Unix(1, 0), Priority: 5,
		Attempt: 1, Waited: 2, Replay: 3, Wait: time.Second, Body: []byte("{}"),
	}
	got, err := cause.Emit("leat.delta", "key", greeting{"Ada"})
	if err != nil {
		t.Fatal(err)
	}
	want := pipeline.Envelope{
		ID: got.ID, Kind: "leat.greeting.v2", Queue: "leat.delta", Key: "key", Cause: "cause", Job: "job", At: time.Unix(1, 0), Priority: 5,
		Body: []byte(`{"name":"Ada"}`),
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v,\nwant %+v", got, want)
	}
	if _, err := cause.Emit("leat.delta", "key", unsound{}); !pipeline.IsPermanent(err) {
		t.Errorf("a payload that cannot be encoded: %v, want Permanent", err)
	}
}

func TestTheSameThingEmittedAgainHasTheSameID(t *testing.T) {
	emit := func(cause, queue, key string, p pipeline.Payload) string {
		e, err := pipeline.Envelope{ID: cause, Attempt: len(cause)}.Emit(queue, key, p)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	first := emit("cause", "queue", "key", greeting{"Ada"})
	if again := emit("cause", "queue", "key", greeting{"Bob"}); again != first {
		t.Errorf("the same cause, queue, kind and key: ids %s and %s", first, again)
	}
	for name, other := range map[string]string{
		"cause": emit("cause2", "queue", "key", greeting{}),
		"queue": emit("cause", "queue2", "key", greeting{}),
		"key":   emit("cause", "queue", "key2", greeting{}),
		"kind":  emit("cause", "queue", "key", other{}),
	} {
		if other == first {
			t.Errorf("another %s has the same id", name)
		}
	}
}

type other struct{}

func (other) Kind() string { return "leat.other.v1" }

func TestHashTellsPartsApart(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {"1\x00a"}, {"a", "b", "c"}, {"a", "bc"}} {
		h := pipeline.Hash(parts...)
		if len(h) != 32 {
			t.Errorf("%q: %q is not 32 digits", parts, h)
		}
		if same, ok := seen[h]; ok {
			t.Errorf("%q and %q have the same hash", parts, same)
		}
		seen[h] = parts
	}
	if got, want := pipeline.Hash("a", "b"), "bc4979b0f7ba6d358139a869a3cf7196"; got != want {
		t.Errorf("Hash(a, b) = %s, want %s: ids that the ledger and the queues hold would name other things", got, want)
	}
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, kind, body string
		permanent, waits bool
	}{
		{name: "its own kind", kind: "leat.greeting.v2", body: `{"name":"Ada","new_field":1}`},
		{name: "a later version waits for a later worker", kind: "leat.greeting.v3", body: `{}`, waits: true},
		{name: "an earlier version too", kind: "leat.greeting.v1", body: `{}`, waits: true},
		{name: "another kind dies", kind: "leat.part.v2", body: `{}`, permanent: true},
		{name: "no kind dies", kind: "", body: `{}`, permanent: true},
		{name: "a kind without dots dies", kind: "greeting", body: `{}`, permanent: true},
		{name: "not JSON dies", kind: "leat.greeting.v2", body: `{"name":`, permanent: true},
		{name: "another type dies", kind: "leat.greeting.v2", body: `{"name":1}`, permanent: true},
		{name: "an empty body dies", kind: "leat.greeting.v2", body: ``, permanent: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := pipeline.Batch{{Envelope: pipeline.Envelope{Kind: tt.kind, Body: json.RawMessage(tt.body)}}}
			all, err := pipeline.DecodeAll[greeting](in)
			if pipeline.IsPermanent(err) != tt.permanent {
				t.Errorf("error %v, want Permanent: %v", err, tt.permanent)
			}
			waits := err != nil && !pipeline.IsPermanent(err) && !pipeline.IsUnavailable(err)
			if waits != tt.waits {
				t.Errorf("error %v, want Later: %v", err, tt.waits)
			}
			if err == nil && all[0].Name != "Ada" {
				t.Errorf("got %+v", all[0])
			}
		})
	}
}

func TestErrorsKeepWhatTheyWrap(t *testing.T) {
	base := errors.New("base")
	for name, err := range map[string]error{
		"Permanent": pipeline.Permanent(base), "Unavailable": pipeline.Unavailable(base), "Later": pipeline.Later(base, 0),
	} {
		wrapped := fmt.Errorf("around: %w", err)
		if !errors.Is(wrapped, base) || wrapped.Error() != "around: base" {
			t.Errorf("%s: %q lost what it wraps", name, wrapped)
		}
		if got := pipeline.IsPermanent(wrapped); got != (name == "Permanent") {
			t.Errorf("IsPermanent(%s) = %v", name, got)
		}
		if got := pipeline.IsUnavailable(wrapped); got != (name == "Unavailable") {
			t.Errorf("IsUnavailable(%s) = %v", name, got)
		}
	}
}

func TestWaitWithinIsOverBeforeTheMoment(t *testing.T) {
	for until, want := range map[time.Duration]time.Duration{
		0: time.Second, 999 * time.Millisecond: time.Second, 9 * time.Second: time.Second, 10 * time.Second: 10 * time.Second,
		59 * time.Second: 10 * time.Second, 9 * time.Minute: time.Minute, 24 * time.Hour: 10 * time.Minute,
	} {
		if got := pipeline.WaitWithin(until); got != want {
			t.Errorf("within %s: %s, want %s", until, got, want)
		}
	}
}
