package annotate

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/catalog"
)

const tagged = `a1 {"brand": true, "season": "Spring"}
a2 {"brand": false, "season": "Spring"}
c1 {"brand": false}`

// annotated has the tags of c1, a1 and a2.
func annotated(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.handle(b.delivery(b.src, event.Change{ID: 1, Self: true, New: true}, event.Change{ID: 2, Self: true, New: true}, event.Change{ID: 3, Self: true, New: true}))
	if got := b.tags(); got != tagged {
		t.Fatalf("tags:\n%s\nwant:\n%s", got, tagged)
	}
	return b
}

func TestChangesGoOnWithTheirTags(t *testing.T) {
	b := newBench(t)
	in := b.delivery(b.src, event.Change{ID: 2, Self: true, New: true, Days: []metric.Day{20000}}, event.Change{ID: 3, Days: []metric.Day{20000}})
	out, told := b.handle(in)
	if want := "leat.rollup 2+self+days 3+days"; told != want {
		t.Errorf("it went on as %q, want %q", told, want)
	}
	if got := b.tags(); got != `a1 {"brand": true, "season": "Spring"}` {
		t.Errorf("tags: %s; stats alone change none", got)
	}
	again, _ := b.handle(in, in)
	if len(again) != 1 || again[0].ID != out[0].ID {
		t.Errorf("delivered again: %+v", again)
	}
}

func TestWhatHasTheSameInputsIsSkipped(t *testing.T) {
	b := annotated(t)
	before := b.text(`SELECT xmin::text || changed_at FROM tags ORDER BY object_id`)
	_, told := b.handle(b.delivery(b.src, event.Change{ID: 2, Above: true}, event.Change{ID: 3, Above: true}))
	if told != "" {
		t.Errorf("it went on as %q", told)
	}
	if b.text(`SELECT xmin::text || changed_at FROM tags ORDER BY object_id`) != before {
		t.Error("tags were written")
	}
	if got := b.text(`SELECT counts::text FROM ledger ORDER BY done_at DESC LIMIT 1`); got != `{"tags.failed": 0, "tags.unchanged": 2}` {
		t.Errorf("counts: %s", got)
	}
}

func TestAChangeAboveReachesDescendants(t *testing.T) {
	b := annotated(t)
	b.exec(`UPDATE objects SET name = 'Winter' WHERE id = 1`)
	out, told := b.handle(b.delivery(b.src, event.Change{ID: 1, Self: true}))
	if want := "leat.rollup 1+self\nleat.annotate 2+above 3+above"; told != want {
		t.Fatalf("it went on as\n%s\nwant\n%s", told, want)
	}
	_, told = b.handle(pipeline.Delivery{Envelope: out[1]})
	if want := "leat.rollup 2+self 3+self"; told != want {
		t.Errorf("below it went on as\n%s\nwant\n%s", told, want)
	}
	if got := b.tags(); got != strings.ReplaceAll(tagged, "Spring", "Winter") {
		t.Errorf("tags:\n%s", got)
	}
}

func TestDescendantsAreSentByTheThousand(t *testing.T) {
	b := annotated(t)
	b.exec(`
		INSERT INTO objects (source, type, key, parent_id, depth, name, observed_at)
		SELECT 'ads', 'ad', 'x' || n, 1, 1, 'x', now() FROM generate_series(1, 2100) AS n`)
	out, _ := b.handle(b.delivery(b.src, event.Change{ID: 1, Self: true}))
	seen := map[int64]bool{}
	ids := map[string]bool{}
	for _, e := range out {
		changes, err := pipeline.Decode[event.Changes](e)
		if err != nil || len(changes.Objects) > 1000 {
			t.Errorf("%d objects in a message: %v", len(changes.Objects), err)
		}
		ids[e.ID] = true
		for _, c := range changes.Objects {
			seen[c.ID] = seen[c.ID] || c.Above
		}
	}
	if len(seen) != 2103 || len(out) != 4 || len(ids) != 4 {
		t.Errorf("%d objects in %d messages of %d ids, want 2103 in 4", len(seen), len(out), len(ids))
	}
}

func TestAnObjectThatMovedIsAnnotatedUnderItsNewParent(t *testing.T) {
	b := annotated(t)
	b.exec(`UPDATE objects SET parent_id = 4 WHERE id = 2`)
	b.handle(b.delivery(b.src, event.Change{ID: 2, Self: true, Moved: true, From: 1}))
	if got := b.tags(); !strings.Contains(got, `a1 {"brand": true, "season": "Autumn"}`) {
		t.Errorf("tags:\n%s", got)
	}
}

func TestAnOlderVersionDoesNotOverwriteANewerOnesTags(t *testing.T) {
	b := annotated(t)
	older := b.version(strings.Replace(rules, "acme", "pear", 1), 2*time.Hour)
	_, told := b.handle(b.delivery(older, event.Change{ID: 3, Self: true}))
	if got := b.tags(); got != tagged {
		t.Errorf("tags:\n%s", got)
	}
	if told != "leat.rollup 3+self" {
		t.Errorf("it went on as %q", told)
	}
	newer := b.version(strings.Replace(rules, "acme", "pear", 1), time.Minute)
	if newer.Hash != older.Hash {
		t.Fatal("the same text is another version")
	}
	b.handle(b.delivery(newer, event.Change{ID: 3, Self: true}))
	if got := b.tags(); !strings.Contains(got, `a2 {"brand": true`) {
		t.Errorf("tags under the newer version:\n%s", got)
	}
}

func TestWhatChangesBetweenTheGuessAndTheWriteIsAnnotatedAgain(t *testing.T) {
	b := annotated(t)
	s := b.stage()
	version, err := s.Sources.Version(t.Context(), b.src.Hash)
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[int64]catalog.Version{2: version}
	g, err := s.guess(t.Context(), nil, wanted)
	if err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE objects SET name = 'Plum' WHERE id = 2`)
	b.exec(`UPDATE objects SET name = 'Winter' WHERE id = 1`)
	if err := postgres.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		said, err := s.write(t.Context(), tx, wanted, g)
		if err == nil && !said.changed[2] {
			t.Error("the tags are said to be the same")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := b.tags(); !strings.Contains(got, `a1 {"brand": false, "season": "Winter"}`) {
		t.Errorf("tags:\n%s", got)
	}
}

func TestAnnotatorsSideBySideEndWithTheNewest(t *testing.T) {
	b := annotated(t)
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			s := b.stage()
			for range 8 {
				in := pipeline.Batch{b.delivery(b.src, event.Change{ID: 2, Self: true}, event.Change{ID: 3, Self: true}, event.Change{ID: 1, Self: true})}
				if _, err := s.Handle(t.Context(), in); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, name := range []string{"Acme one", "two", "Acme three", "four"} {
		b.exec(`UPDATE objects SET name = $1 WHERE id IN (2, 3)`, name)
	}
	workers.Wait()
	b.handle(b.delivery(b.src, event.Change{ID: 2, Self: true}, event.Change{ID: 3, Self: true}))
	if got := b.tags(); strings.Contains(got, "true") {
		t.Errorf("tags:\n%s", got)
	}
}

func TestAnObjectThatIsGoneOrHasNoRulesGoesOnWithoutTags(t *testing.T) {
	b := newBench(t)
	plain := b.version("source: ads\nrecords:\n  - each: campaigns\n    object: {type: campaign, key: id}\n", time.Minute)
	_, told := b.handle(b.delivery(plain, event.Change{ID: 1, Self: true}, event.Change{ID: 99, Self: true}))
	if told != "leat.rollup 1+self 99+self" || b.tags() != "" {
		t.Errorf("it went on as %q, tags: %s", told, b.tags())
	}
}

func TestAnAnnotatorThatFailsCostsItsTagOnly(t *testing.T) {
	b := newBench(t)
	failing := b.version(strings.Replace(rules, `'name matches "(?i)acme"'`, `'int(name) > 0'`, 1), time.Minute)
	b.handle(b.delivery(failing, event.Change{ID: 2, Self: true}))
	if got := b.tags(); got != `a1 {"season": "Spring"}` {
		t.Errorf("tags: %s", got)
	}
	if got := b.text(`SELECT counts->>'tags.failed' FROM ledger`); got != "1" {
		t.Errorf("%s failed", got)
	}
}
