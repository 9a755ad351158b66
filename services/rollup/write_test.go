package rollup

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// filled has the tree, one stat of a1 and its mark.
func filled(t *testing.T) *bench {
	t.Helper()
	b := withMongo(t)
	b.tree()
	b.stat(a1, "2026-11-14", "os=ios", `{"clicks": 3}`)
	b.changed(event.Change{ID: a1, Self: true, New: true, Days: days(t, "2026-11-14")})
	return b
}

const clicks3 = `{"2026-11-14":{"by":[{"d":{"os":"ios"},"m":{"clicks":3}}],"m":{"clicks":3}}}`

func TestAChangeBecomesDocumentsOnceEach(t *testing.T) {
	b := filled(t)
	if b.doc("ad/a1/2026H2") != nil {
		t.Error("a document was written before Idle")
	}
	b.write()
	for _, id := range []string{"ad/a1/2026H2", "group/g1/2026H2", "campaign/c1/2026H2"} {
		if got := b.days(id); got != clicks3 {
			t.Errorf("%s: %s", id, got)
		}
	}
	doc := b.doc("ad/a1/2026H2")
	delete(doc, "days")
	delete(doc, "rev")
	if got, want := text(t, doc), `{"_id":"ad/a1/2026H2","attrs":{},"half":"2026H2","key":"a1","name":"Apple","path":["campaign/c1","group/g1"],"source":"ads","tags":{},"type":"ad"}`; got != want {
		t.Errorf("document: %s, want %s", got, want)
	}
	if got := b.marks() + " " + b.state(b.job) + " " + b.text(`SELECT counts->'documents'->>'written' FROM jobs WHERE id = $1`, b.job); got != "0 done 3" {
		t.Errorf("marks, state, documents written: %s", got)
	}
	if feed := b.sink.to("leat.feed"); len(feed) != 1 || strings.Count(string(feed[0].Body), `"rev":`) != 3 {
		t.Errorf("feed: %+v", feed)
	}
}

func TestATypeWithoutStatsHasOneDocument(t *testing.T) {
	b := withMongo(t)
	b.tree()
	b.changed(event.Change{ID: p1, Self: true, New: true})
	b.write()
	doc := b.doc("photo/p1/all")
	if doc["half"] != "all" || doc["days"] != nil {
		t.Errorf("document: %v", doc)
	}
}

func TestADayThatBecomesZeroIsUnsetAndADocumentWithoutRowsIsEmptied(t *testing.T) {
	b := filled(t)
	b.write()
	b.stat(a1, "2026-11-14", "os=ios", `{}`)
	b.job = b.newJob("done")
	b.changed(event.Change{ID: a1, Days: days(t, "2026-11-14")})
	b.write()
	if got := b.days("ad/a1/2026H2"); got != `{}` {
		t.Errorf("days: %s", got)
	}
	b.exec(`DELETE FROM stats`)
	b.job = b.newJob("done")
	b.changed(event.Change{ID: a1, Days: days(t, "2026-11-14")})
	b.write()
	if doc := b.doc("ad/a1/2026H2"); doc["gone"] == nil || doc["name"] != nil || doc["rev"] == nil {
		t.Errorf("document: %v", doc)
	}
	b.stat(a1, "2026-11-14", "os=ios", `{"clicks": 3}`)
	b.job = b.newJob("done")
	b.changed(event.Change{ID: a1, Days: days(t, "2026-11-14")})
	b.write()
	if doc := b.doc("ad/a1/2026H2"); doc["gone"] != nil || b.days("ad/a1/2026H2") != clicks3 {
		t.Errorf("document that came back: %v", doc)
	}
}

func TestAnObjectThatMovedTakesItsHistoryAlong(t *testing.T) {
	b := filled(t)
	b.stat(a2, "2026-05-01", "os=ios", `{"clicks": 4}`)
	b.changed(event.Change{ID: a2, Self: true, Days: days(t, "2026-05-01")})
	b.write()
	b.exec(`UPDATE objects SET parent_id = 2 WHERE id = 3`)
	b.job = b.newJob("done")
	b.changed(event.Change{ID: g1, Self: true, Moved: true, From: c1})
	b.write()
	for _, id := range []string{"campaign/c1/2026H2", "campaign/c1/2026H1"} {
		if doc := b.doc(id); doc["gone"] == nil {
			t.Errorf("%s is still there: %v", id, doc)
		}
	}
	if got := b.days("campaign/c2/2026H2"); got != clicks3 {
		t.Errorf("the new parent: %s", got)
	}
	for _, id := range []string{"ad/a1/2026H2", "ad/a2/2026H1"} {
		if got := text(t, b.doc(id)["path"]); got != `["campaign/c2","group/g1"]` {
			t.Errorf("path of %s: %s", id, got)
		}
	}
}

func TestAChangedNameIsInAllDocumentsOfTheObject(t *testing.T) {
	b := filled(t)
	b.stat(a1, "2026-05-01", "os=ios", `{"clicks": 4}`)
	b.changed(event.Change{ID: a1, Days: days(t, "2026-05-01")})
	b.write()
	b.exec(`UPDATE objects SET name = 'Plum' WHERE id = 4`)
	b.exec(`INSERT INTO tags (object_id, tags) VALUES (4, '{"brand": true, "rank": 2}')`)
	b.job = b.newJob("done")
	b.changed(event.Change{ID: a1, Self: true})
	b.write()
	for _, half := range []string{"2026H1", "2026H2"} {
		if doc := b.doc("ad/a1/" + half); doc["name"] != "Plum" || text(t, doc["tags"]) != `{"brand":true,"rank":2}` || len(b.days("ad/a1/"+half)) < 10 {
			t.Errorf("%s: %v", half, doc)
		}
	}
	if n := b.text(`SELECT counts->'documents'->>'written' FROM jobs WHERE id = $1`, b.job); n != "2" {
		t.Errorf("%s documents written, want 2: those of others are the same", n)
	}
}

func TestACrashBeforeTheCommitLeavesTheMarks(t *testing.T) {
	b := filled(t)
	b.sink.fails = 1
	if err := idle(t.Context(), b.stage()); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	if got := b.marks() + b.state(b.job); !strings.HasSuffix(got, "running") || got[0] == '0' {
		t.Fatalf("marks and state after the crash: %s", got)
	}
	first := b.doc("ad/a1/2026H2")["rev"]
	b.stat(a1, "2026-11-14", "os=ios", `{"clicks": 9}`)
	b.write()
	if got := b.days("ad/a1/2026H2"); got != strings.ReplaceAll(clicks3, "3", "9") {
		t.Errorf("days: %s", got)
	}
	if again := b.doc("ad/a1/2026H2")["rev"]; again.(int64) <= first.(int64) {
		t.Errorf("rev %v, then %v", first, again)
	}
	if got := b.marks() + " " + b.state(b.job); got != "0 done" {
		t.Errorf("in the end: %s", got)
	}
}

func TestANewerDocumentStands(t *testing.T) {
	b := filled(t)
	b.exec(`SELECT setval('rev', 100)`)
	s := b.stage()
	wants := []Want{{Object: a1, Half: "2026H2", Days: days(t, "2026-11-14")}}
	slow, err := Compute(t.Context(), b.db, s.latest(t.Context()), wants)
	if err != nil {
		t.Fatal(err)
	}
	b.stat(a1, "2026-11-14", "os=ios", `{"clicks": 9}`)
	b.write() // by another worker, meanwhile: rev 101

	c := &claim{rev: 100, docs: slow, redo: map[int64]bool{}, refused: map[*Document]string{}}
	if err := s.send(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if !c.redo[a1] {
		t.Error("the slow worker's marks would go")
	}
	if got := b.days("ad/a1/2026H2"); got != strings.ReplaceAll(clicks3, "3", "9") {
		t.Errorf("the slow worker has written %s", got)
	}
}

func TestWhatANewerRevHoldsIsDoneAgain(t *testing.T) {
	b := filled(t)
	b.exec(`SELECT setval('rev', 50)`)
	if _, err := b.mongo.Collection("ads").InsertOne(t.Context(), bson.M{"_id": "ad/a1/2026H2", "rev": int64(52), "days": bson.M{}}); err != nil {
		t.Fatal(err)
	}
	b.exec(`SELECT setval('rev', 52)`) // others took revs meanwhile
	s := b.stage()
	c := &claim{rev: 51, redo: map[int64]bool{}, refused: map[*Document]string{}}
	var err error
	if c.docs, err = Compute(t.Context(), b.db, s.latest(t.Context()), []Want{all(a1, "2026H2"), all(c1, "2026H2")}); err != nil {
		t.Fatal(err)
	}
	if err := s.send(t.Context(), c); err != nil || !c.redo[a1] || c.redo[c1] {
		t.Fatalf("to be done again: %v, %v", c.redo, err)
	}
	b.write()
	if got := b.days("ad/a1/2026H2"); got != clicks3 {
		t.Errorf("days: %s", got)
	}
}

func TestADocumentFromTheFutureMeansARestore(t *testing.T) {
	b := filled(t)
	if _, err := b.mongo.Collection("ads").InsertOne(t.Context(), bson.M{"_id": "ad/a1/2026H2", "rev": int64(1_000_000)}); err != nil {
		t.Fatal(err)
	}
	err := idle(t.Context(), b.stage())
	if !errors.Is(err, ErrRestored) || !strings.Contains(err.Error(), "ads/ad/a1/2026H2: rev 1000000") {
		t.Errorf("got %v", err)
	}
	if b.marks() == "0" {
		t.Error("the marks are gone")
	}
}

func TestWorkersSideBySideWriteEachDocumentOnce(t *testing.T) {
	b := withMongo(t)
	b.tree()
	b.exec(`
		INSERT INTO objects (source, type, key, parent_id, depth, name, observed_at)
		SELECT 'ads', 'ad', 'x' || n, 3, 2, 'x' || n, now() FROM generate_series(1, 40) AS n`)
	b.exec(`INSERT INTO stats (object_id, day, metrics, observed_at) SELECT id, '2026-11-14', '{"clicks": 1}', now() FROM objects WHERE type = 'ad'`)
	var ids []int64
	if err := b.db.QueryRow(t.Context(), `SELECT array_agg(id) FROM objects WHERE type = 'ad'`).Scan(&ids); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		b.changed(event.Change{ID: id, Self: true, Days: days(t, "2026-11-14")})
		if i%10 == 9 {
			b.exec(`UPDATE dirty SET due = now()`)
		}
	}
	var workers sync.WaitGroup
	for range 3 {
		s := b.stage()
		s.Documents = 7
		workers.Go(func() {
			if err := idle(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	b.write()
	if got := b.days("campaign/c1/2026H2"); got != `{"2026-11-14":{"by":[{"d":{"os":""},"m":{"clicks":42}}],"m":{"clicks":42}}}` {
		t.Errorf("the top: %s", got)
	}
	if got, want := b.state(b.job)+" "+b.text(`SELECT counts->'documents'->>'written' FROM jobs WHERE id = $1`, b.job), fmt.Sprintf("done %d", len(ids)+2); got != want {
		t.Errorf("state and documents written: %s, want %s", got, want)
	}
}

func TestARefusedDocumentIsADeadLetterOfItsOwn(t *testing.T) {
	b := filled(t)
	b.exec(`UPDATE objects SET attrs = jsonb_build_object('text', repeat('x', 17000000)) WHERE id = 6`)
	b.changed(event.Change{ID: p1, Self: true})
	b.write()
	if got := b.days("ad/a1/2026H2"); got != clicks3 {
		t.Errorf("the rest: %s", got)
	}
	letters := b.sink.to("leat.dead")
	if len(letters) != 1 || letters[0].Key != "photo/p1/all" || letters[0].Job != b.job || letters[0].Headers["error"] == "" {
		t.Errorf("dead letters: %+v", letters)
	}
	if got := b.marks() + " " + b.state(b.job); got != "0 incomplete" {
		t.Errorf("marks and state: %s", got)
	}
}

func TestAJobEndsWhenNothingOfItIsLeft(t *testing.T) {
	b := withMongo(t)
	b.tree()
	record := func(job, stage, id, state string, names ...string) {
		if names == nil {
			names = []string{}
		}
		b.exec(`INSERT INTO ledger (stage, message_id, job_id, state, names) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (stage, message_id) DO UPDATE SET state = excluded.state, names = excluded.names`, stage, id, job, state, names)
	}
	for _, c := range []struct {
		name string
		rows func(job string)
		want string
	}{
		{"its own message is not done", func(job string) { record(job, "fetch", job, "started") }, "running"},
		{"a slice is not done", func(job string) { record(job, "fetch", job, "done", "slice/"+job) }, "running"},
		{"a part is done before the slice that names it", func(job string) {
			record(job, "fetch", job, "done", "slice/"+job)
			record(job, "delta", "part/"+job, "done")
		}, "running"},
		{"a part is not done", func(job string) {
			record(job, "fetch", job, "done", "slice/"+job)
			record(job, "fetch", "slice/"+job, "done", "part/"+job)
		}, "running"},
		{"all is done", func(job string) {
			record(job, "fetch", job, "done", "slice/"+job)
			record(job, "fetch", "slice/"+job, "done", "part/"+job)
			record(job, "delta", "part/"+job, "done")
		}, "done"},
		{"a part is dead", func(job string) {
			record(job, "fetch", job, "done", "part/"+job, "other/"+job)
			record(job, "delta", "part/"+job, "dead")
			record(job, "delta", "other/"+job, "done")
		}, "incomplete"},
		{"all parts are dead", func(job string) {
			record(job, "fetch", job, "done", "part/"+job)
			record(job, "delta", "part/"+job, "dead")
		}, "failed"},
		{"a job that it made runs", func(job string) {
			b.exec(`UPDATE jobs SET parent_id = $1 WHERE id = $2`, job, b.newJob("started"))
		}, "running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := b.newJob("done")
			c.rows(job)
			b.write()
			if got := b.state(job); got != c.want {
				t.Errorf("the job is %s, want %s", got, c.want)
			}
		})
	}
}

func TestMarksAreWrittenLateInAJobThatRuns(t *testing.T) {
	b := withMongo(t)
	b.tree()
	b.job = b.newJob("started")
	b.stat(a1, "2026-11-14", "os=ios", `{"clicks": 3}`)
	b.changed(event.Change{ID: a1, Days: days(t, "2026-11-14")})
	b.write()
	if b.doc("ad/a1/2026H2") != nil {
		t.Error("a document was written while its job has more to come, and its mark is young")
	}
	b.exec(`UPDATE dirty SET due = now() - interval '1 second'`)
	b.write()
	if got := b.days("ad/a1/2026H2"); got != clicks3 {
		t.Errorf("days: %s", got)
	}
	b.changed(event.Change{ID: a1, Days: days(t, "2026-11-14")})
	b.exec(`UPDATE ledger SET state = 'done' WHERE message_id = $1`, b.job)
	b.write()
	if n := b.text(`SELECT counts->'documents'->>'written' FROM jobs WHERE id = $1`, b.job); n != "3" {
		t.Errorf("%s documents written, want 3: each counts once a job", n)
	}
}

func TestARedeliveredChangeMarksOnce(t *testing.T) {
	b := withMongo(t)
	b.tree()
	in := pipeline.Batch{{Envelope: pipeline.Envelope{ID: "m", Kind: "leat.changes.v1", Job: b.job,
		Body: fmt.Appendf(nil, `{"source":"ads","version":%q,"objects":[{"id":4,"days":["2026-11-14"]}]}`, b.src.Hash)}}}
	for range 2 {
		if _, err := b.stage().Handle(t.Context(), append(in, in...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.text(`SELECT concat_ws('/', object_id, root_id, half, cardinality(days)) FROM dirty ORDER BY object_id`); got != "1/1//1 3/1//1 4/1//1" {
		t.Errorf("marks: %s", got)
	}
}
