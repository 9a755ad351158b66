package delta

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestDecideObjects(t *testing.T) {
	for _, s := range []struct {
		name    string
		batches [][]string
		want    string // objects
		changes string // of the last part
		counts  string // of the last part
	}{
		{
			name: "a new object", batches: one(`12:00; !c1 name=Spring; !a1 name=Apple in=c1 {"status":"on"}`),
			want:    "a1 Apple in c1 {\"status\":\"on\"}\nc1 Spring in nothing {}",
			changes: "c1 new self, a1 new self", counts: "objects.new=2",
		}, {
			name: "the same again", batches: one(`12:00; !a1 name=Apple {"status":"on"}`, `13:00; !a1 name=Apple {"status":"on"}`),
			want: `a1 Apple in nothing {"status":"on"}`, counts: "objects.unchanged=1",
		}, {
			name:    "the order and the spacing of attributes is no change",
			batches: one(`12:00; !a1 name=Apple {"budget":1.50,"status":"on"}`, `13:00; !a1 name=Apple { "status": "on", "budget": 1.50 }`),
			want:    `a1 Apple in nothing {"budget":1.50,"status":"on"}`, counts: "objects.unchanged=1",
		}, {
			name: "another attribute", batches: one(`12:00; !a1 name=Apple {"status":"on"}`, `13:00; !a1 name=Apple {"status":"off"}`),
			want: `a1 Apple in nothing {"status":"off"}`, changes: "a1 self", counts: "objects.changed=1",
		}, {
			name: "an older name is ignored", batches: one(`12:00; !a1 name=Apple`, `11:00; !a1 name=Pear`),
			want: `a1 Apple in nothing {}`, counts: "objects.unchanged=1",
		}, {
			name: "also when the newer was only seen", batches: one(`10:00; !a1 name=Apple`, `12:00; !a1 name=Apple`, `11:00; !a1 name=Pear`),
			want: `a1 Apple in nothing {}`, counts: "objects.unchanged=1",
		}, {
			name: "one that is only named is a change of its own, and no record", batches: one(`12:00; !a1 name=Apple in=c1`),
			want: "a1 Apple in c1 {}\nc1 c1 in nothing {}", changes: "c1 self, a1 new self", counts: "objects.new=1",
		}, {
			name: "one that was only named is new when it is described", batches: one(`12:00; a1 clicks=1`, `11:00; !c1 name=Spring; !a1 name=Apple in=c1`),
			want: "a1 Apple in c1 {}\nc1 Spring in nothing {}", changes: "a1 self moved from nothing, c1 new self", counts: "objects.new=2",
		}, {
			name: "one that is named again stays as it was described", batches: one(`12:00; !a1 name=Apple`, `13:00; a1 clicks=1`),
			want: "a1 Apple in nothing {}", changes: "a1 11-14", counts: "stats.new=1",
		}, {
			name:    "one that moved says where from",
			batches: one(`12:00; !c1 name=Spring; !c2 name=Autumn; !a1 name=Apple in=c1`, `13:00; !c2 name=Autumn; !a1 name=Apple in=c2`),
			want:    "a1 Apple in c2 {}\nc1 Spring in nothing {}\nc2 Autumn in nothing {}",
			changes: "a1 self moved from c1", counts: "objects.changed=1 objects.unchanged=1",
		}, {
			name:    "one that is new and restated in a batch counts as new once",
			batches: [][]string{{`12:00; !a1 name=Apple`, `13:00; !a1 name=Pear`}},
			want:    "a1 Pear in nothing {}", counts: "objects.unchanged=1",
		}, {
			name:    "twice in a batch, out of order, of a known object",
			batches: [][]string{{`10:00; !a1 name=Plum`}, {`13:00; !a1 name=Pear`, `12:00; !a1 name=Apple`}},
			want:    "a1 Pear in nothing {}", changes: "a1 self", counts: "objects.changed=1",
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			src := newSource(t, all, total)
			kept := newStore(t)
			var last Outcome
			for _, batch := range s.batches {
				var parts []*Part
				for _, text := range batch {
					parts = append(parts, tell(t, src, text))
				}
				plan := kept.apply(parts...)
				for i, o := range plan.Outcomes {
					last = o
					if len(parts[i].Stats) == 0 {
						checkCounts(t, parts[i], o)
					}
				}
			}
			if got := kept.described(); got != s.want {
				t.Errorf("objects:\n%s\nwant:\n%s", got, s.want)
			}
			if got := kept.changes(last); got != s.changes {
				t.Errorf("changes: %s, want %s", got, s.changes)
			}
			if got := strings.Trim(strings.ReplaceAll(fmt.Sprint(last.Counts), ":", "="), "map[]"); got != s.counts {
				t.Errorf("counts: %s, want %s", got, s.counts)
			}
		})
	}
}

// changes writes what an outcome says has changed.
func (s *store) changes(o Outcome) string {
	var list []string
	for _, c := range o.Changes {
		text := s.name(c.ID)
		if c.New {
			text += " new"
		}
		if c.Self {
			text += " self"
		}
		if c.Moved {
			text += " moved from " + s.name(c.From)
		}
		for _, d := range c.Days {
			text += " " + strings.TrimPrefix(d.String(), "2026-")
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

func TestAttributesHaveOneSpelling(t *testing.T) {
	for _, s := range []struct{ text, want string }{
		{``, `{}`},
		{`{ "b": 1, "a": {"y": 2, "x": 3} }`, `{"a":{"x":3,"y":2},"b":1}`},
		{`{"n": 1.50, "big": 123456789012345678901234567890}`, `{"big":123456789012345678901234567890,"n":1.50}`},
		{`{"html":"<b>&</b>"}`, `{"html":"\u003cb\u003e\u0026\u003c/b\u003e"}`},
	} {
		got := canonical(json.RawMessage(s.text))
		if string(got) != s.want {
			t.Errorf("%s: %s, want %s", s.text, got, s.want)
		}
		if again := canonical(got); string(again) != string(got) {
			t.Errorf("%s is spelled %s the second time", got, again)
		}
	}
}
