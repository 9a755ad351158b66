package delta

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/pipeline"
)

func TestDecideFeeds(t *testing.T) {
	for _, s := range []struct {
		name    string
		batches [][]string
		want    string // objects
		changes string // of the last part
		counts  string // of the last part
	}{
		{
			name: "a second feed adds what the first does not say", batches: one(`12:00 one; !a1 name=Apple {"status":"on"}`, `11:00 two; !a1 name=a1 {"status":"off","budget":5}`),
			want:    `a1 Apple in nothing {"budget":5,"status":"on"}; one: Apple in nothing {"status":"on"}; two:  in nothing {"budget":5,"status":"off"}`,
			changes: "a1 self", counts: "objects.changed=1",
		}, {
			name: "the first feed of the file wins, whoever was later", batches: one(`12:00 three; !a1 name=Pear`, `11:00 one; !a1 name=Apple`),
			want:    `a1 Apple in nothing {}; one: Apple in nothing null; three: Pear in nothing null`,
			changes: "a1 self", counts: "objects.changed=1",
		}, {
			name: "what a feed takes back another may say", batches: one(`12:00 one; !a1 name=Apple {"status":"on"}`, `12:01 two; !a1 name=a1 {"status":"off"}`, `12:02 one; !a1 name=Apple`),
			want:    `a1 Apple in nothing {"status":"off"}; one: Apple in nothing null; two:  in nothing {"status":"off"}`,
			changes: "a1 self", counts: "objects.changed=1",
		}, {
			name: "a parent is kept by feeds that name none", batches: one(`12:00 one; !c1 name=Spring; !a1 name=Apple in=c1`, `12:01 three; !a1 name=Pear {"budget":5}`),
			want:    "a1 Apple in c1 {\"budget\":5}; one: Apple in c1 null; three: Pear in nothing {\"budget\":5}\nc1 Spring in nothing {}; one: Spring in nothing null",
			changes: "a1 self", counts: "objects.changed=1",
		}, {
			name: "an older word of the same feed is ignored", batches: one(`12:00 one; !a1 name=Apple`, `12:00 three; !a1 name=Fig`, `11:00 one; !a1 name=Pear`),
			want: `a1 Apple in nothing {}; one: Apple in nothing null; three: Fig in nothing null`, counts: "objects.unchanged=1",
		}, {
			name: "also when the newer was only seen", batches: one(`10:00 one; !a1 name=Apple`, `12:00 one; !a1 name=Apple`, `11:00 one; !a1 name=Pear`),
			want: `a1 Apple in nothing {}; one: Apple in nothing null`, counts: "objects.unchanged=1",
		}, {
			name: "what another feed saw makes nothing late", batches: one(`10:00 three; !a1 name=Fig`, `12:00 three; !a1 name=Fig`, `11:00 one; !a1 name=Apple`),
			want:    `a1 Apple in nothing {}; one: Apple in nothing null; three: Fig in nothing null`,
			changes: "a1 self", counts: "objects.changed=1",
		}, {
			name: "the same again writes nothing", batches: one(`12:00 one; !a1 name=Apple {"status":"on"}`, `12:01 two; !a1 name=a1 {"budget":1.50}`, `13:00 two; !a1 name=a1 { "budget": 1.50 }`),
			want:   `a1 Apple in nothing {"budget":1.50,"status":"on"}; one: Apple in nothing {"status":"on"}; two:  in nothing {"budget":1.50}`,
			counts: "objects.unchanged=1",
		}, {
			name: "what changes nothing of the object is kept, and told to nobody", batches: one(`12:00 one; !a1 name=Apple`, `12:01 three; !a1 name=Pear`, `12:02 three; !a1 name=Plum`),
			want: `a1 Apple in nothing {}; one: Apple in nothing null; three: Plum in nothing null`, counts: "objects.changed=1",
		}, {
			name: "several feeds of a new object in one batch", batches: [][]string{{`12:00 three; !a1 name=Pear {"budget":1}`, `11:00 one; !a1 name=Apple`, `10:00 two; !a1 name=a1 {"status":"on"}`}},
			want: `a1 Apple in nothing {"budget":1,"status":"on"}; one: Apple in nothing null; three: Pear in nothing {"budget":1}; two:  in nothing {"status":"on"}`,
			// The last part of the batch is the oldest, and so the first to be decided.
			changes: "a1 new self", counts: "objects.new=1",
		}, {
			name: "one that was only named", batches: one(`12:00 one; !a1 name=Apple in=c1`, `12:00 two; !c1 name=Spring`),
			want:    "a1 Apple in c1 {}; one: Apple in c1 null\nc1 Spring in nothing {}; two: Spring in nothing null",
			changes: "c1 self", counts: "objects.new=1",
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			src, store := newFeeds(t), newStore(t)
			var plan Plan
			for _, texts := range s.batches {
				var parts []*Part
				for _, text := range texts {
					parts = append(parts, tell(t, src, text))
				}
				plan = store.apply(parts...)
			}
			last := plan.Outcomes[len(plan.Outcomes)-1]
			if got := store.described(); got != s.want {
				t.Errorf("objects:\n%s\nwant:\n%s", got, s.want)
			}
			if got := store.changes(last); got != s.changes {
				t.Errorf("changes: %s, want %s", got, s.changes)
			}
			if got := strings.Trim(strings.ReplaceAll(fmt.Sprint(last.Counts), ":", "="), "map[]"); got != s.counts {
				t.Errorf("counts: %s, want %s", got, s.counts)
			}
			if got := len(plan.Objects); (got > 0) != (s.counts != "objects.unchanged=1") {
				t.Errorf("%d objects are written, counted as %s", got, s.counts)
			}
		})
	}
}

// randomFeeds are parts of random feeds in the order of their time.
func randomFeeds(random *rand.Rand) []string {
	var texts []string
	for minute := range 3 + random.IntN(8) {
		feed := []string{"one", "two", "three"}[random.IntN(3)]
		text := fmt.Sprintf("12:%02d %s", minute, feed)
		if feed != "three" {
			text += fmt.Sprintf("; !c1 name=n%d; !c2 name=n%d", random.IntN(2), random.IntN(2))
		}
		for _, key := range []string{"a1", "a2"} {
			if random.IntN(4) == 0 {
				continue
			}
			text += "; !" + key + " name=" + []string{key, "n0", "n1"}[random.IntN(3)]
			if feed != "three" {
				text += fmt.Sprintf(" in=c%d", 1+random.IntN(2))
			}
			text += []string{"", `{"status":0}`, `{"budget":0,"status":1}`, `{"budget":1}`}[random.IntN(4)]
			if feed != "two" && random.IntN(2) == 0 {
				text += fmt.Sprintf("; %s day=2026-11-13 rule=%s os=ios clicks=%d", key, feed, random.IntN(3))
			}
		}
		texts = append(texts, text)
	}
	return texts
}

// Parts of several feeds end in one state in any order and in any batches, each
// of them told once or twice.
func TestTheEndDoesNotDependOnTheOrderOfFeeds(t *testing.T) {
	src := newFeeds(t)
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 3))
		texts := randomFeeds(random)
		want := tellAll(t, src, one(texts...))
		for range 3 {
			batches := shuffled(random, append(slices.Clone(texts), texts[:random.IntN(len(texts))]...))
			if got := tellAll(t, src, batches); got != want {
				t.Fatalf("seed %d: the parts\n%s\nhandled as\n%s\nend as\n%s\nin their order as\n%s", seed,
					strings.Join(texts, "\n"), strings.Join(flat(batches), "\n"), got, want)
			}
		}
	}
}

func TestAnotherOrderOfFeedsHoldsFromTheNextWordOn(t *testing.T) {
	store := newStore(t)
	store.apply(tell(t, newFeeds(t), `12:00 one; !a1 name=Apple`))
	store.apply(tell(t, newFeeds(t), `12:00 three; !a1 name=Pear`))
	store.apply(tell(t, newFeedsIn(t, "three", "one", "two"), `13:00 one; !a1 name=Apple`))
	if got := store.described(); !strings.HasPrefix(got, "a1 Pear ") {
		t.Error(got)
	}
	store.apply(tell(t, newFeedsIn(t, "one", "two"), `14:00 one; !a1 name=Fig`))
	if got, want := store.described(), `a1 Fig in nothing {}; one: Fig in nothing null`; got != want {
		t.Errorf("a feed that the file has no more: %s, want %s", got, want)
	}
}

// Feeds do not share rows of stats, and a day that two of them speak of is
// compared anew each time.
func TestFeedsHaveStatsOfTheirOwn(t *testing.T) {
	src, store := newFeeds(t), newStore(t)
	store.apply(tell(t, src, "12:00 one; a1 day=2026-11-13 rule=one clicks=3"))
	store.apply(tell(t, src, "11:00 three; a1 day=2026-11-13 rule=three clicks=5"))
	plan := store.apply(tell(t, src, "13:00 one; a1 day=2026-11-13 rule=one clicks=3"))
	if got := store.stats(true); got != "a1 11-13 {\"clicks\":3}\na1 11-13 {\"clicks\":5}" || len(plan.Rows) > 0 {
		t.Errorf("rows:\n%s\n%d written", got, len(plan.Rows))
	}
	for key, m := range plan.Told {
		if m.written || m.days != [31]told{} {
			t.Errorf("digests of %v are kept", key)
		}
	}
}

func TestAPartOfAFeedThatIsNotTheSourcesIsRefused(t *testing.T) {
	b := newBenchOf(t, newFeeds(t))
	part := toldPart(t, b.src, "12:00 one; !a1 name=Apple")
	part.Feed = "four"
	body, err := part.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	in := b.batch("12:00 one; !a1 name=Apple")
	in[0].Body = body
	if _, err := b.stage().Handle(t.Context(), in); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `found "four"; source ads has one, two, three`) {
		t.Error(err)
	}
}

// What feeds say is in PostgreSQL as users read it; a parent that one of them
// named, and that is gone, is none.
func TestWhatFeedsSayIsKept(t *testing.T) {
	b := newBenchOf(t, newFeeds(t))
	b.handle(`12:00 one; !c1 name=Spring; !a1 name=Apple in=c1 {"status":"on"}`, `12:01 two; !c2 name=Autumn; !a1 name=a1 in=c2 {"budget":1.50}`)
	b.handle(`12:02 three; !a1 name=Fig`)
	if got, want := b.text(`SELECT concat_ws(' ', name, attrs, feeds - 'two') FROM objects WHERE key = 'a1'`),
		`Apple {"budget": 1.50, "status": "on"} {"one": {"at": "2026-11-14T12:00:00Z", "name": "Apple", "attrs": {"status": "on"}, "parent_id": `+
			b.text(`SELECT id::text FROM objects WHERE key = 'c1'`)+`}, "three": {"at": "2026-11-14T12:02:00Z", "name": "Fig"}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	before := b.text(`SELECT xmin::text FROM objects ORDER BY id`)
	b.handle(`12:03 one; !c1 name=Spring; !a1 name=Apple in=c1 {"status":"on"}`, `12:04 two; !c2 name=Autumn; !a1 name=a1 in=c2 {"budget":1.50}`, `12:05 three; !a1 name=Fig`)
	if after := b.text(`SELECT xmin::text FROM objects ORDER BY id`); after != before {
		t.Error("rows were written, and nothing is new")
	}
	b.exec(`DELETE FROM objects WHERE key = 'c2'`)
	b.handle(`12:06 one; !a1 name=Apple {"status":"on"}`)
	if got := b.text(`SELECT coalesce(parent_id::text, 'none') FROM objects WHERE key = 'a1'`); got != "none" {
		t.Errorf("its parent is %s", got)
	}
}

// One part of 500 objects that the other feed said before: the same again.
func BenchmarkDecideFeeds(b *testing.B) {
	src := newFeeds(b)
	text := ""
	for i := range 500 {
		text += fmt.Sprintf(`; !a%d name=Ad%d {"budget":%d}`, i, i, i)
	}
	store := newStore(b)
	store.apply(tell(b, src, "11:00 one"+text), tell(b, src, "11:00 three"+text))
	for b.Loop() {
		b.StopTimer()
		parts := []*Part{tell(b, src, "12:00 three"+text)}
		state := store.state(parts)
		b.StartTimer()
		if plan, err := Decide(parts, state); err != nil || len(plan.Objects) > 0 {
			b.Fatal(err, len(plan.Objects))
		}
	}
}
