package delta

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/metric"
)

// A story is parts in the order in which they are handled, and what is left.
type story struct {
	name    string
	metrics string // of the stat rule; default: all
	stats   string // the source's; default: total
	batches [][]string
	want    string // rows
	counts  string // of all parts together
}

// one is each part in a batch of its own.
func one(parts ...string) [][]string {
	var batches [][]string
	for _, p := range parts {
		batches = append(batches, []string{p})
	}
	return batches
}

func (s story) tell(t *testing.T) {
	t.Helper()
	if s.metrics == "" {
		s.metrics = all
	}
	if s.stats == "" {
		s.stats = total
	}
	src := newSource(t, s.metrics, s.stats)
	kept := newStore(t)
	counts := map[string]int{}
	for _, batch := range s.batches {
		var parts []*Part
		for _, text := range batch {
			parts = append(parts, tell(t, src, text))
		}
		for i, o := range kept.apply(parts...).Outcomes {
			checkCounts(t, parts[i], o)
			for name, n := range o.Counts {
				counts[name] += n
			}
		}
	}
	if got, want := kept.stats(true), lines(s.want); got != want {
		t.Errorf("rows:\n%s\nwant:\n%s", got, want)
	}
	if s.counts == "" {
		return
	}
	var got []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		got = append(got, fmt.Sprintf("%s=%d", name, counts[name]))
	}
	if strings.Join(got, " ") != s.counts {
		t.Errorf("counts: %s, want %s", strings.Join(got, " "), s.counts)
	}
}

// checkCounts checks that every record of a part is counted once. What a record
// removes or makes zero besides is counted too, as changed.
func checkCounts(t *testing.T, p *Part, o Outcome) {
	t.Helper()
	stats, held := o.Counts["stats.new"]+o.Counts["stats.changed"]+o.Counts["stats.unchanged"], 0
	for _, d := range p.dates {
		held += len(d.stats)
	}
	if stats < held || (stats > held && o.Counts["stats.changed"] == 0) {
		t.Errorf("%d stats, counted as %v", held, o.Counts)
	}
	described := 0
	for _, told := range p.Objects {
		if told.Described {
			described++
		}
	}
	if n := o.Counts["objects.new"] + o.Counts["objects.changed"] + o.Counts["objects.unchanged"]; n != described {
		t.Errorf("%d described objects, counted as %v", described, o.Counts)
	}
}

func TestDecideTotals(t *testing.T) {
	const yesterday = "day=2026-11-13"
	for _, s := range []story{
		{
			name: "a new stat of a past day is in the day's last hour", batches: one("12:00; a1 " + yesterday + " clicks=3"),
			want: `a1 11-13 {"clicks":3}`, counts: "stats.new=1",
		}, {
			name: "the same again changes nothing", batches: one("12:00; a1 clicks=3", "13:00; a1 clicks=3"),
			want: `a1 11-14 {"clicks":3} 13:{"clicks":3}`, counts: "stats.new=1 stats.unchanged=1",
		}, {
			name: "a past day that is restated stays in its last hour", batches: one("12:00; a1 "+yesterday+" clicks=3", "13:00; a1 "+yesterday+" clicks=2"),
			want: `a1 11-13 {"clicks":2}`, counts: "stats.changed=1 stats.new=1",
		}, {
			name: "a late part changes nothing", batches: one("12:00; a1 "+yesterday+" clicks=3", "11:00; a1 "+yesterday+" clicks=2"),
			want: `a1 11-13 {"clicks":3}`, counts: "stats.new=1 stats.unchanged=1",
		}, {
			name:    "what was only seen still makes an older part late",
			batches: one("10:00; a1 "+yesterday+" clicks=10", "12:00; a1 "+yesterday+" clicks=10", "11:00; a1 "+yesterday+" clicks=8"),
			want:    `a1 11-13 {"clicks":10}`, counts: "stats.new=1 stats.unchanged=2",
		}, {
			name:    "what a zero was seen to be is not brought back by an older part",
			batches: one("12:00; a1 "+yesterday+" clicks=0", "11:00; a1 "+yesterday+" clicks=8"),
			counts:  "stats.unchanged=2",
		}, {
			name:    "a batch takes its parts oldest first",
			batches: [][]string{{"12:00; a1 " + yesterday + " clicks=2", "10:00; a1 " + yesterday + " clicks=1", "11:00; a1 " + yesterday + " clicks=5"}},
			want:    `a1 11-13 {"clicks":2}`, counts: "stats.changed=2 stats.new=1",
		}, {
			name:    "of a stat that is twice in a part the last counts, once",
			batches: one("12:00; a1 " + yesterday + " clicks=2; a1 " + yesterday + " clicks=4"),
			want:    `a1 11-13 {"clicks":4}`, counts: "stats.new=1",
		}, {
			name:    "growth of today is credited to the hour on the source's clock",
			batches: one("08:10; a1 clicks=3", "10:50; a1 clicks=5"),
			want:    `a1 11-14 {"clicks":5} 9:{"clicks":3} 11:{"clicks":2}`,
		}, {
			name:    "or on the account's",
			batches: one("14:10 acme; a1 clicks=3"),
			want:    `a1 11-14 {"clicks":3} 9:{"clicks":3}`,
		}, {
			name:    "midnight is where the account is",
			batches: one("2026-11-15 04:30 acme; a1 clicks=3", "2026-11-15 04:30 globex; a2 clicks=3"),
			want: `a1 11-14 {"clicks":3}
				a2 11-14 {"clicks":3}`,
		}, {
			name:    "an hour can lose what another gained",
			batches: one("08:00; a1 clicks=5", "09:00; a1 clicks=2"),
			want:    `a1 11-14 {"clicks":2} 9:{"clicks":5} 10:{"clicks":-3}`,
		}, {
			name:    "what the past gains is in the last hour, beside the hours of the day",
			batches: one("08:00; a1 clicks=5", "2026-11-15 08:00; a1 clicks=7"),
			want:    `a1 11-14 {"clicks":7} 9:{"clicks":5} 23:{"clicks":2}`,
		}, {
			name:    "when all is in the last hour again, there are no hours",
			batches: one("08:00; a1 clicks=5", "08:30; a1 clicks=0", "2026-11-15 08:00; a1 clicks=7"),
			want:    `a1 11-14 {"clicks":7}`,
		}, {
			name:    "a stat whose metrics all become zero stays, empty",
			batches: one("12:00; a1 "+yesterday+" clicks=3", "13:00; a1 "+yesterday+" clicks=0"),
			want:    `a1 11-13 {}`, counts: "stats.changed=1 stats.new=1",
		}, {
			name: "a rule for all metrics sets those that are absent to zero", batches: one("12:00; a1 "+yesterday+" clicks=3 cost=1.5", "13:00; a1 "+yesterday+" clicks=3"),
			want: `a1 11-13 {"clicks":3}`, counts: "stats.changed=1 stats.new=1",
		}, {
			name:    "dimensions are rows of their own",
			batches: one("12:00; a1 " + yesterday + " os=ios clicks=3; a1 " + yesterday + " os=android clicks=4"),
			want: `a1 11-13 os=android {"clicks":4}
				a1 11-13 os=ios {"clicks":3}`, counts: "stats.new=2",
		},
	} {
		t.Run(s.name, s.tell)
	}
}

func TestDecideHoursAndEvents(t *testing.T) {
	for _, s := range []story{
		{
			name: "the day is the sum of its hours, 24 among them", stats: hourly,
			batches: one("12:00; a1 h=1 clicks=3; a1 h=24 clicks=4; a1 h=23 clicks=1"),
			want:    `a1 11-14 {"clicks":8} 1:{"clicks":3} 23:{"clicks":1} 24:{"clicks":4}`, counts: "stats.new=3",
		}, {
			name: "each hour keeps its newest value", stats: hourly,
			batches: one("12:00; a1 h=1 clicks=3", "14:00; a1 h=2 clicks=9", "13:00; a1 h=1 clicks=4; a1 h=2 clicks=8"),
			want:    `a1 11-14 {"clicks":13} 1:{"clicks":4} 2:{"clicks":9}`, counts: "stats.changed=1 stats.new=2 stats.unchanged=1",
		}, {
			name: "an hour that was only seen makes an older value late, and only of that hour", stats: hourly,
			batches: one("10:00; a1 h=1 clicks=10; a1 h=2 clicks=1", "12:00; a1 h=1 clicks=10", "11:00; a1 h=1 clicks=8; a1 h=2 clicks=2"),
			want:    `a1 11-14 {"clicks":12} 1:{"clicks":10} 2:{"clicks":2}`,
		}, {
			name: "the last hour alone is no hours", stats: hourly,
			batches: one("12:00; a1 h=23 clicks=3", "13:00; a1 h=5 clicks=1", "14:00; a1 h=5 clicks=0"),
			want:    `a1 11-14 {"clicks":3}`,
		}, {
			name: "an event counts once in a part, a batch and for ever", stats: events,
			batches: [][]string{{"12:00; a1 h=1 id=x clicks=1; a1 h=1 id=x clicks=1", "13:00; a1 h=1 id=x clicks=1; a1 h=2 id=y clicks=1"}, {"14:00; a1 h=1 id=x clicks=1"}},
			want:    `a1 11-14 {"clicks":2} 1:{"clicks":1} 2:{"clicks":1}`, counts: "stats.new=2 stats.unchanged=3",
		}, {
			name: "events are added whatever their order", stats: events,
			batches: one("12:00; a1 h=1 id=x clicks=1", "10:00; a1 h=1 id=y clicks=2"),
			want:    `a1 11-14 {"clicks":3} 1:{"clicks":3}`, counts: "stats.new=2",
		},
	} {
		t.Run(s.name, s.tell)
	}
}

func TestDecideWhatIsNotTold(t *testing.T) {
	for _, s := range []story{
		{
			name: "a list of metrics leaves the others alone", metrics: listed,
			batches: [][]string{{"10:00; a1 day=2026-11-13 clicks=3 cost=2"}, {"12:00; a1 day=2026-11-13 clicks=4"}},
			want:    `a1 11-13 {"clicks":4}`,
		}, {
			name: "absent keep: what an answer does not name stays", stats: total,
			batches: one("10:00; a1 day=2026-11-13 os=ios clicks=3; a1 day=2026-11-13 os=android clicks=1", "11:00; a1 day=2026-11-13 os=ios clicks=3"),
			want: `a1 11-13 os=android {"clicks":1}
				a1 11-13 os=ios {"clicks":3}`,
		}, {
			name: "absent zero: what an answer does not name of a day is zero", stats: totalWhole,
			batches: one("10:00; a1 day=2026-11-13 os=ios clicks=3; a1 day=2026-11-13 os=android clicks=1; a1 day=2026-11-12 os=ios clicks=7; a2 day=2026-11-13 os=ios clicks=2",
				"11:00; a1 day=2026-11-13 os=ios clicks=3"),
			want: `a1 11-12 os=ios {"clicks":7}
				a1 11-13 os=android {}
				a1 11-13 os=ios {"clicks":3}
				a2 11-13 os=ios {"clicks":2}`, counts: "stats.changed=1 stats.new=4 stats.unchanged=1",
		}, {
			name: "absent zero: the parts of an answer complete each other", stats: totalWhole,
			batches: one("10:00; a1 day=2026-11-13 os=ios clicks=3", "10:00 +1; a1 day=2026-11-13 os=android clicks=1", "10:00 +2; a1 day=2026-11-13 os=web clicks=1"),
			want: `a1 11-13 os=android {"clicks":1}
				a1 11-13 os=ios {"clicks":3}
				a1 11-13 os=web {"clicks":1}`,
		}, {
			name: "absent zero: the parts of an answer in reverse", stats: totalWhole,
			batches: one("10:00 +1; a1 day=2026-11-13 os=android clicks=1", "10:00; a1 day=2026-11-13 os=ios clicks=3"),
			want: `a1 11-13 os=android {"clicks":1}
				a1 11-13 os=ios {"clicks":3}`,
		}, {
			name: "absent zero: what one part of an answer only saw, another does not make zero", stats: totalWhole,
			batches: one("09:00; a1 day=2026-11-13 os=android clicks=1; a1 day=2026-11-13 os=ios clicks=3",
				"10:00 +1; a1 day=2026-11-13 os=android clicks=1", "10:00; a1 day=2026-11-13 os=ios clicks=3"),
			want: `a1 11-13 os=android {"clicks":1}
				a1 11-13 os=ios {"clicks":3}`,
		}, {
			name: "absent zero: a late answer does not bring back what a newer one did not name", stats: totalWhole,
			batches: one("11:00; a1 day=2026-11-13 os=ios clicks=3", "10:00; a1 day=2026-11-13 os=ios clicks=2; a1 day=2026-11-13 os=android clicks=1"),
			want:    `a1 11-13 os=ios {"clicks":3}`, counts: "stats.new=1 stats.unchanged=2",
		}, {
			name: "absent zero: nor when the newer one only saw what it named", stats: totalWhole,
			batches: one("09:00; a1 day=2026-11-13 os=ios clicks=3", "11:00; a1 day=2026-11-13 os=ios clicks=3", "10:00; a1 day=2026-11-13 os=ios clicks=2; a1 day=2026-11-13 os=android clicks=1"),
			want:    `a1 11-13 os=ios {"clicks":3}`, counts: "stats.new=1 stats.unchanged=3",
		}, {
			name: "absent zero: hours that an answer does not name are zero", stats: hourWhole,
			batches: one("10:00; a1 h=1 clicks=3; a1 h=2 clicks=4", "11:00; a1 h=2 clicks=5"),
			want:    `a1 11-14 {"clicks":5} 2:{"clicks":5}`,
		}, {
			name:    "newer stats under other dimensions remove the older",
			batches: one("10:00; a1 day=2026-11-13 os=ios clicks=3; a1 day=2026-11-12 os=ios clicks=3", "11:00; a1 day=2026-11-13 country=DE clicks=3"),
			want: `a1 11-12 os=ios {"clicks":3}
				a1 11-13 country=DE {"clicks":3}`, counts: "stats.changed=1 stats.new=3",
		}, {
			name:    "older ones under other dimensions are ignored",
			batches: one("11:00; a1 day=2026-11-13 country=DE clicks=3", "10:00; a1 day=2026-11-13 os=ios clicks=3"),
			want:    `a1 11-13 country=DE {"clicks":3}`, counts: "stats.new=1 stats.unchanged=1",
		}, {
			name:    "also when the newer ones were only seen since",
			batches: one("10:00; a1 day=2026-11-13 country=DE clicks=3", "12:00; a1 day=2026-11-13 country=DE clicks=3", "11:00; a1 day=2026-11-13 os=ios clicks=3"),
			want:    `a1 11-13 country=DE {"clicks":3}`, counts: "stats.new=1 stats.unchanged=2",
		},
	} {
		t.Run(s.name, s.tell)
	}
}

func TestDecideRefusesSumsWithTooManyDigits(t *testing.T) {
	src := newSource(t, all, hourly)
	part := tell(t, src, "12:00"+hoursOf("999999999999", 10))
	if _, err := Decide([]*Part{part}, newStore(t).state([]*Part{part})); !errors.Is(err, metric.ErrRange) {
		t.Errorf("got %v, want ErrRange", err)
	}
}

func TestPartsThatDoNotFitTheirSourceAreRefused(t *testing.T) {
	src := newSource(t, all, total)
	for _, c := range []struct{ text, says string }{
		{"12:00; a1 h=1 clicks=1", "stats[0]: object 0 or its hour does not fit source ads, kind total"},
	} {
		if _, err := newPart(toldPart(t, src, c.text), src); err == nil || err.Error() != c.says {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	e := toldPart(t, src, "12:00; !a1 name=Apple; a1 clicks=1")
	e.Stats[0].Rule = "other"
	if _, err := newPart(e, src); err == nil || !strings.Contains(err.Error(), `no rule "other" for type ad`) {
		t.Errorf("unknown rule: %v", err)
	}
	e.Objects[0].Type = "song"
	if _, err := newPart(e, src); err == nil || !strings.Contains(err.Error(), `type "song"`) {
		t.Errorf("unknown type: %v", err)
	}
}

// hoursOf writes a stat for each of the first n hours.
func hoursOf(clicks string, n int) string {
	var text strings.Builder
	for h := range n {
		fmt.Fprintf(&text, "; a1 h=%d clicks=%s", h, clicks)
	}
	return text.String()
}
