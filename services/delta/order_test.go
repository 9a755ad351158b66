package delta

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/source"
)

const seeds = 300

// TestTheEndDoesNotDependOnTheOrder tells the same parts in random orders and
// batches.
func TestTheEndDoesNotDependOnTheOrder(t *testing.T) {
	for _, kind := range []struct {
		name, metrics, stats string
		dims                 []string
	}{
		{"totals", all, total, []string{"os=ios", "os=android"}},
		{"hours", all, hourly, []string{"os=ios", "os=android"}},
		{"totals of whole answers", all, totalWhole, []string{"os=ios", "os=android", "os=web"}},
		{"hours of whole answers", all, hourWhole, []string{"os=ios", "os=android"}},
		{"dimensions that change", all, total, []string{"os=ios", "os=android", "country=DE"}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			src := newSource(t, kind.metrics, kind.stats)
			for seed := range uint64(seeds) {
				random := rand.New(rand.NewPCG(seed, 0))
				texts := randomParts(random, kind.dims, src.Stats.Kind == source.KindHour)
				want := tellAll(t, src, one(texts...))
				for range 2 {
					batches := shuffled(random, texts)
					if got := tellAll(t, src, batches); got != want {
						t.Fatalf("seed %d: the parts\n%s\nhandled as\n%s\nend as\n%s\nin their order as\n%s", seed,
							strings.Join(texts, "\n"), strings.Join(flat(batches), "\n"), got, want)
					}
				}
			}
		})
	}
}

// randomParts are parts in the order of their time: of few objects, days,
// dimensions and values, so that they meet.
func randomParts(random *rand.Rand, dims []string, hours bool) []string {
	var texts []string
	for minute := range 2 + random.IntN(7) {
		text := fmt.Sprintf("12:%02d", minute)
		for _, key := range []string{"c1", "c2"} {
			text += fmt.Sprintf("; !%s name=n%d", key, random.IntN(2))
		}
		names, least := dims, 0
		if last := len(dims) - 1; dims[last] == "country=DE" { // from the third part on
			names, least = dims[:last], 1
			if minute > 2 {
				names = dims[last:]
			}
		}
		for _, key := range []string{"a1", "a2"} {
			if random.IntN(3) > 0 {
				text += fmt.Sprintf(`; !%s name=n%d in=c%d {"budget":%d}`, key, random.IntN(2), 1+random.IntN(2), random.IntN(2))
			}
			for _, dims := range names {
				if random.IntN(3) == 0 {
					continue
				}
				hour := ""
				if hours {
					hour = fmt.Sprintf(" h=%d", []int{3, 23, 24}[random.IntN(3)])
				}
				text += fmt.Sprintf("; %s day=2026-11-%d%s %s clicks=%d cost=%d", key, 12+random.IntN(2), hour, dims, least+random.IntN(3), random.IntN(2))
			}
		}
		texts = append(texts, text)
	}
	return texts
}

// shuffled deals the parts in any order to batches of any size.
func shuffled(random *rand.Rand, texts []string) [][]string {
	texts = slices.Clone(texts)
	random.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	var batches [][]string
	for len(texts) > 0 {
		n := 1 + random.IntN(min(3, len(texts)))
		batches, texts = append(batches, texts[:n]), texts[n:]
	}
	return batches
}

func flat(batches [][]string) []string {
	var out []string
	for i, batch := range batches {
		for _, text := range batch {
			out = append(out, fmt.Sprintf("batch %d: %s", i, text))
		}
	}
	return out
}

// tellAll returns the state in which batches end.
func tellAll(t *testing.T, src *source.Source, batches [][]string) string {
	t.Helper()
	kept := newStore(t)
	for _, batch := range batches {
		var parts []*Part
		for _, text := range batch {
			parts = append(parts, tell(t, src, text))
		}
		kept.apply(parts...)
	}
	for key, r := range kept.rows {
		checkHours(t, kept.name(key.Object), r)
	}
	return kept.described() + "\n" + kept.stats(false)
}

// checkHours checks that the hours add up to the day, and are there only when
// one is not the last.
func checkHours(t *testing.T, name string, r Row) {
	t.Helper()
	if r.Hours == nil {
		return
	}
	others := false
	rest := r.Metrics
	for h, set := range r.Hours {
		others = others || h != lastHour
		var err error
		if rest, err = rest.Minus(set); err != nil || len(set) == 0 {
			t.Errorf("%s: hour %d holds %v: %v", name, h, set, err)
		}
	}
	if len(rest) > 0 || !others {
		t.Errorf("%s: the hours %v do not add up to %v", name, r.Hours, r.Metrics)
	}
}

// TestTodaysHoursAddUp tells today's totals in any order: hours keep the order
// in which they were seen, and add up to the day.
func TestTodaysHoursAddUp(t *testing.T) {
	src := newSource(t, all, total)
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 1))
		var texts []string
		for hour := range 6 {
			texts = append(texts, fmt.Sprintf("%02d:00; a1 clicks=%d cost=%d", 6+hour, random.IntN(5), random.IntN(3)))
		}
		kept := newStore(t)
		for _, batch := range shuffled(random, texts) {
			for _, text := range batch {
				kept.apply(tell(t, src, text))
			}
		}
		newest := tell(t, src, texts[5]).Stats[0].Metrics
		for _, r := range kept.rows {
			checkHours(t, fmt.Sprintf("seed %d", seed), r)
			if !r.Metrics.Equal(newest) {
				t.Fatalf("seed %d: the day is %v, the newest part says %v", seed, r.Metrics, newest)
			}
		}
	}
}
