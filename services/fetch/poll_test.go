package fetch

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
)

const (
	polled = "report: {path: /r}, poll: {every: 30s%s}"
	due    = `UPDATE streams SET due = now()`
)

// newFeed makes a bench whose source is polled.
func newFeed(t *testing.T, more string) *channel {
	c := newChannel(t, "")
	c.serve(c.bench)
	c.file(strings.Replace(polled, "%s", more, 1))
	return c
}

// polls does a poll that is due, and returns the parts. The slice must come back.
func (c *channel) polls(slice pipeline.Envelope) string {
	c.t.Helper()
	c.exec(due)
	out := c.must(slice)
	if len(out) != 1 || out[0].ID != slice.ID || out[0].Wait != 10*time.Second {
		c.t.Fatalf("a poll became %+v", out)
	}
	return texts(c.sink.all())
}

func TestAPollBringsWhatIsNewOrAnother(t *testing.T) {
	c := newFeed(t, "")
	slice := c.slice(refresh)
	for i, step := range []struct{ says, want string }{
		{`[{"id":"a","text":1},{"id":"b","text":1}]`, "a b"},
		{`[{"id":"a","text":1},{"id":"b","text":1}]`, ""},
		{`[{"id":"b","text":1},{"id":"c","text":1}]`, "c"},
		{`[{"id":"a","text":2},{"id":"c","text":1}]`, "a"},
		{`[{"id":"a","text":1},{"id":"c","text":1}]`, "a"}, // what it was before is news again
		{`[{"id":"c","text":1},{"id":"a","text":1}]`, ""},
	} {
		c.says(step.says)
		if got := c.polls(slice); got != step.want {
			t.Errorf("poll %d of %s: got %q, want %q", i, step.says, got, step.want)
		}
	}
	if asked := c.asked(); asked != 6 {
		t.Errorf("%d requests for 6 polls", asked)
	}
	if got := c.text(`SELECT count(*)::text FROM answers`); got != "5" {
		t.Errorf("%s answers were kept; the one that came again is the same", got)
	}
	if out := c.must(slice); len(out) != 1 || out[0].Wait != 10*time.Second || c.asked() != 6 {
		t.Errorf("before it is due: %+v, %d requests", out, c.asked())
	}
	c.exec(`UPDATE streams SET began = began - interval '2 hours'`)
	out := c.must(slice)
	if len(out) != 1 || out[0].Kind != event.KindJob {
		t.Fatalf("after its time: %+v", out)
	}
	next := c.must(out[0])[0]
	if got := c.polls(next); got != "" {
		t.Errorf("the next job's first poll brought %q", got)
	}
}

func TestAPollByKeyTakesAnObjectOnce(t *testing.T) {
	c := newFeed(t, ", seen: key")
	slice := c.slice(refresh)
	c.says(`[{"id":"a","text":1}]`)
	first := c.polls(slice)
	c.says(`[{"id":"a","text":2},{"id":"b","text":1}]`)
	if got := first + ", " + c.polls(slice); got != "a, b" {
		t.Errorf("got %s", got)
	}
	c.exec(`UPDATE seen SET at = now() - interval '40 days'`)
	c.says(`[{"id":"b","text":3},{"id":"c","text":1}]`)
	if got := c.polls(slice) + c.text(`SELECT ' of ' || count(*) FROM seen`); got != "c of 2" {
		t.Errorf("of what was in no answer for long is remembered: %s", got)
	}
}

// What the broker may have of a poll is published again, the same to the byte, and
// is seen only when that is done.
func TestAPollThatDiesBringsTheSameAgain(t *testing.T) {
	c := newFeed(t, "")
	slice := c.slice(refresh)
	c.says(`[{"id":"a","text":1}]`)
	c.polls(slice)
	c.says(`[{"id":"a","text":1},{"id":"b","text":1}]`)
	c.exec(due)
	c.sink.fails = 1
	if _, err := c.do(slice); err == nil {
		t.Fatal("nothing died")
	}
	c.says(`[{"id":"a","text":1},{"id":"b","text":1},{"id":"c","text":1}]`)
	if got := c.polls(slice); got != "b c" {
		t.Errorf("got %q", got)
	}
	if got := c.polls(slice); got != "" {
		t.Errorf("once more: %q", got)
	}
}

func TestNewsKeepWhatTheyStandBelow(t *testing.T) {
	object := func(key string, parent int) event.Object {
		return event.Object{Type: "t", Key: key, Parent: parent, Described: true, Name: key}
	}
	day := metric.Day(20000)
	part := event.Part{
		Objects: []event.Object{object("a", 0), object("b", 1), object("c", 2), object("d", 2), object("e", 0)},
		Stats:   []event.Stat{{Object: 2, Day: day, Rule: "c"}, {Object: 3, Day: day, Rule: "d"}, {Object: 4, Day: day, Rule: "e"}},
	}
	n := &news{objects: map[digest]digest{}, fresh: map[digest]bool{}}
	for _, fresh := range []string{"d", "e"} {
		n.fresh[nameOf(object(fresh, 0))] = true
	}
	got, err := json.Marshal(n.of(part))
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(event.Part{
		Objects: []event.Object{{Type: "t", Key: "b"}, object("d", 1), object("e", 0)},
		Stats:   []event.Stat{{Object: 1, Day: day, Rule: "d"}, {Object: 2, Day: day, Rule: "e"}},
	})
	if err != nil || string(got) != string(want) {
		t.Errorf("got %s\nwant %s (%v)", got, want, err)
	}

	before := &news{objects: map[digest]digest{}}
	if err := before.add(part); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(p *event.Part){
		"a name":    func(p *event.Part) { p.Objects[3].Name = "other" },
		"a parent":  func(p *event.Part) { p.Objects[3].Parent = 1 },
		"a stat":    func(p *event.Part) { p.Stats[1].Day++ },
		"two parts": func(p *event.Part) { p.Stats = append(p.Stats, event.Stat{Object: 3, Day: day + 1}) },
	} {
		other := event.Part{Objects: append([]event.Object(nil), part.Objects...), Stats: append([]event.Stat(nil), part.Stats...)}
		change(&other)
		after := &news{objects: map[digest]digest{}}
		if err := after.add(other); err != nil {
			t.Fatal(err)
		}
		for name, said := range after.objects {
			if (said != before.objects[name]) != (name == nameOf(part.Objects[3])) {
				t.Errorf("%s of d: what is said of %x is the same: %v", what, name, said == before.objects[name])
			}
		}
	}
}
