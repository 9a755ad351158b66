package delta

import (
	"testing"
)

// What is passed over is what the rows say already, and nothing else.
func TestADayIsPassedOverOnlyWhileItsRowsSayTheSame(t *testing.T) {
	const eve = " day=2026-11-13 "
	for _, s := range []struct {
		name, metrics, stats string
		before               []string // batches of one part
		part                 string
		passed               int // dates
	}{
		{name: "the same again", before: []string{"12:00; a1" + eve + "clicks=3"}, part: "13:00; a1" + eve + "clicks=3", passed: 1},
		{name: "another value", before: []string{"12:00; a1" + eve + "clicks=3"}, part: "13:00; a1" + eve + "clicks=4"},
		{name: "one stat less", before: []string{"12:00; a1" + eve + "os=ios clicks=3; a1" + eve + "os=web clicks=1"}, part: "13:00; a1" + eve + "os=ios clicks=3"},
		{name: "one day of two", before: []string{"12:00; a1" + eve + "clicks=3; a1 clicks=5"}, part: "13:00; a1" + eve + "clicks=3; a1 clicks=6", passed: 1},
		{name: "also when another window is asked for", before: []string{"12:00; a1" + eve + "clicks=3; a1 clicks=5"}, part: "13:00; a1 clicks=5", passed: 1},
		{name: "there and back", before: []string{"12:00; a1" + eve + "clicks=3", "13:00; a1" + eve + "clicks=4"}, part: "14:00; a1" + eve + "clicks=3"},
		{name: "an older word that was ignored changes nothing", before: []string{"12:00; a1" + eve + "clicks=3", "11:00; a1" + eve + "clicks=4"}, part: "13:00; a1" + eve + "clicks=3", passed: 1},
		{name: "an older word of which a part was taken does", before: []string{"12:00; a1" + eve + "os=ios clicks=3", "11:00; a1" + eve + "os=ios clicks=4; a1" + eve + "os=web clicks=1"}, part: "13:00; a1" + eve + "os=ios clicks=3"},
		{name: "zeros are said too", before: []string{"12:00; a1" + eve + "clicks=0"}, part: "13:00; a1" + eve + "clicks=0", passed: 1},
		{name: "of an answer that has all", stats: totalWhole, before: []string{"12:00; a1" + eve + "os=ios clicks=3; a1" + eve + "os=web clicks=1", "13:00; a1" + eve + "os=ios clicks=3"}, part: "14:00; a1" + eve + "os=ios clicks=3", passed: 1},
		{name: "hours", stats: hourly, before: []string{"12:00; a1 h=3 clicks=3; a1 h=4 clicks=1"}, part: "13:00; a1 h=3 clicks=3; a1 h=4 clicks=1", passed: 1},
		{name: "another hour", stats: hourly, before: []string{"12:00; a1 h=3 clicks=3"}, part: "13:00; a1 h=4 clicks=3"},
		{name: "events never", stats: events, before: []string{"12:00; a1 h=3 id=x clicks=3"}, part: "13:00; a1 h=3 id=x clicks=3"},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.stats == "" {
				s.stats = total
			}
			src := newSource(t, all, s.stats)
			store := newStore(t)
			for _, text := range s.before {
				store.apply(tell(t, src, text))
			}
			p := tell(t, src, s.part)
			store.state([]*Part{p})
			passed := 0
			for _, d := range p.dates {
				if d.same {
					passed++
				}
			}
			if passed != s.passed {
				t.Errorf("%d days passed over, want %d", passed, s.passed)
			}
		})
	}
}

// A day that another part of the batch speaks of otherwise is looked at.
func TestADayOfWhichABatchSaysTwoThingsIsLookedAt(t *testing.T) {
	src := newSource(t, all, total)
	store := newStore(t)
	store.apply(tell(t, src, "12:00; a1 day=2026-11-13 clicks=3"))
	same, other := tell(t, src, "13:00; a1 day=2026-11-13 clicks=3"), tell(t, src, "14:00; a1 day=2026-11-13 clicks=4")
	store.apply(same, other)
	if same.dates[0].same {
		t.Error("it was passed over")
	}
	if got := store.stats(false); got != `a1 11-13 {"clicks":4}` {
		t.Errorf("stats: %s", got)
	}
}

func TestAMonthIsReadAsItIsWritten(t *testing.T) {
	var m, again month
	m.days[0], m.days[12] = 7, 1<<63
	again.read(m.bytes())
	if len(m.bytes()) != 13*8 || again.days != m.days {
		t.Errorf("%v, want %v", again.days, m.days)
	}
}
