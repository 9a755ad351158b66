package client

import (
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func (i *installation) check(what Checking) (Checked, []string) {
	i.t.Helper()
	var texts []string
	checked, err := i.Check(i.t.Context(), what, func(d Difference) { texts = append(texts, d.Text) })
	if err != nil {
		i.t.Fatal(err)
	}
	if int(checked.Differences) != len(texts) {
		i.t.Errorf("told of %d differences, counted %d", len(texts), checked.Differences)
	}
	slices.Sort(texts)
	return checked, texts
}

const openJob = "00000000-0000-4000-8000-000000000001"

// job writes a job that has done its own message, which names others.
func (i *installation) job(state, names string) {
	i.t.Helper()
	i.exec(`INSERT INTO leat.jobs (id, source, mode, params, via, state, finished_at) VALUES ($1, 'shop', 'full', '{"source": "shop"}', 'test', $2, CASE WHEN $2 <> 'running' THEN now() END)`, openJob, state)
	i.exec(`INSERT INTO leat.ledger (stage, message_id, job_id, source, state, names) VALUES ('fetch', $1::text, $1::text::uuid, 'shop', 'done', string_to_array($2, ' '))`, openJob, names)
}

func TestCheckAgrees(t *testing.T) {
	i := installed(t)
	i.fill()
	checked, texts := i.check(Checking{})
	if len(texts) > 0 {
		t.Errorf("found differences where there are none:\n%s", strings.Join(texts, "\n"))
	}
	if checked.Objects != 3 || checked.Documents != 5 {
		t.Errorf("compared %d objects and %d documents, want 3 and 5", checked.Objects, checked.Documents)
	}
}

func TestCheckFindsEveryDifference(t *testing.T) {
	i := installed(t)
	tests := map[string]struct {
		spoil func()
		want  []string
	}{
		"a metric in stats changed": {
			func() { i.exec(`UPDATE leat.stats SET metrics = '{"clicks": 5}' WHERE day = '2026-05-01'`) },
			[]string{
				`shop/item/i/1/2026H1 days.2026-05-01.by[os=android].m.clicks: rows say 5, document says 4`,
				`shop/item/i/1/2026H1 days.2026-05-01.m.clicks: rows say 5, document says 4`,
				`shop/shop/s1/2026H1 days.2026-05-01.by[os=android].m.clicks: rows say 5, document says 4`,
				`shop/shop/s1/2026H1 days.2026-05-01.m.clicks: rows say 5, document says 4`,
			},
		},
		"a tag changed": {
			func() { i.exec(`UPDATE leat.tags SET tags = '{"brand": false}'`) },
			[]string{
				`shop/item/i/1/2026H1 tags.brand: rows say false, document says true`,
				`shop/item/i/1/2026H2 tags.brand: rows say false, document says true`,
				`shop/item/i/1: the annotators give the tags {"brand":true}, the table tags has {"brand":false}`,
			},
		},
		"a name changed": {
			func() { i.exec(`UPDATE leat.objects SET name = 'Square' WHERE id = 3`) },
			[]string{`shop/photo/p1/all name: rows say "Square", document says "p1"`},
		},
		"an attribute is a double that was whole": {
			func() { i.update("item/i/1/2026H2", bson.M{"$set": bson.M{"attrs.color": 2.0}}) },
			[]string{`shop/item/i/1/2026H2 attrs.color: rows say "red", document says 2 (a double)`},
		},
		"a path changed": {
			func() { i.update("photo/p1/all", bson.M{"$set": bson.M{"path": bson.A{"shop/s1", "shop/s2"}}}) },
			[]string{`shop/photo/p1/all path[1]: rows have none, document says "shop/s2"`},
		},
		"an hour of a document changed": {
			func() { i.update("item/i/1/2026H2", bson.M{"$set": bson.M{"days.2026-11-14.h.13.clicks": int64(2)}}) },
			[]string{`shop/item/i/1/2026H2 days.2026-11-14.h.13.clicks: rows say 1, document says 2`},
		},
		"a breakdown has an entry too many": {
			func() {
				i.update("item/i/1/2026H1", bson.M{"$push": bson.M{"days.2026-05-01.by": bson.M{"d": bson.M{"os": "tv"}, "m": bson.M{"clicks": int64(1)}}}})
			},
			[]string{
				`shop/item/i/1/2026H1 days.2026-05-01.by[os=tv].d.os: rows have none, document says "tv"`,
				`shop/item/i/1/2026H1 days.2026-05-01.by[os=tv].m.clicks: rows have none, document says 1`,
			},
		},
		"a metric of a document removed": {
			func() { i.update("shop/s1/2026H1", bson.M{"$unset": bson.M{"days.2026-05-01.m.clicks": ""}}) },
			[]string{
				`shop/shop/s1/2026H1 days.2026-05-01.m.clicks: rows say 4, document has none`,
				`shop/shop/s1/2026H1 days.2026-05-01.m: rows have none, document says {}`,
			},
		},
		"a document removed": {
			func() { i.remove("item/i/1/2026H2") },
			[]string{`shop/item/i/1/2026H2: rows say that it should be, MongoDB does not have it`},
		},
		"documents that should not be": {
			func() {
				i.insert("shop", bson.M{"_id": "item/i/1/2025H1"}, bson.M{"_id": "item/other/2026H1"}, bson.M{"_id": "item/i/1/all"}, bson.M{"_id": "junk"})
				i.insert("stranger", bson.M{"_id": "a/b/2026H1"})
			},
			[]string{
				`shop/item/i/1/2025H1: MongoDB has it, rows say that it should not be`,
				`shop/item/i/1/all: MongoDB has it, rows say that it should not be`,
				`shop/item/other/2026H1: MongoDB has it, and there is no such object`,
				`shop/junk: MongoDB has it, and there is no such object`,
				`stranger/a/b/2026H1: MongoDB has it, and there is no such object`,
			},
		},
		"rows without an object": {
			func() {
				i.exec(`INSERT INTO leat.stats (object_id, day, metrics, observed_at) VALUES (99, '2026-11-14', '{}', now()), (99, '2026-11-15', '{}', now())`)
				i.exec(`INSERT INTO leat.documents VALUES (98, '2026H1')`)
			},
			[]string{
				`table documents, object_id 98: 1 rows for 2026H1, and no such object`,
				`table stats, object_id 99: 2 rows of 2026-11-14 to 2026-11-15, and no such object`,
			},
		},
		"the table documents is wrong": {
			func() {
				i.exec(`DELETE FROM leat.documents WHERE object_id = 3`)
				i.exec(`INSERT INTO leat.documents VALUES (2, '2024H2')`)
			},
			[]string{
				`shop/item/i/1/2024H2: the table documents lists it; neither rows nor MongoDB know of it`,
				`shop/photo/p1/all: the table documents does not list it`,
			},
		},
		"tags of an object that has none": {
			func() {
				i.exec(`INSERT INTO leat.tags (object_id, tags) VALUES (3, '{"brand": true}')`)
				i.update("photo/p1/all", bson.M{"$set": bson.M{"tags": bson.M{"brand": true}}})
			},
			[]string{`shop/photo/p1: the annotators give the tags {}, the table tags has {"brand":true}`},
		},
		"an object that nobody has annotated": {
			func() {
				i.exec(`DELETE FROM leat.tags`)
				for _, half := range []string{"2026H1", "2026H2"} {
					i.update("item/i/1/"+half, bson.M{"$set": bson.M{"tags": bson.M{}}})
				}
			},
			[]string{`shop/item/i/1: the annotators give the tags {"brand":true}, the table tags has {}`},
		},
		"an object that changed and was not annotated since": {
			func() {
				i.exec(`UPDATE leat.objects SET attrs = '{"color": "blue", "weight": 1.5}' WHERE id = 2`)
				for _, half := range []string{"2026H1", "2026H2"} {
					i.update("item/i/1/"+half, bson.M{"$set": bson.M{"attrs.color": "blue"}})
				}
			},
			[]string{`shop/item/i/1: the annotators give the tags {"brand":false}, the table tags has {"brand":true}`},
		},
		"a metric that is too large, has too many digits, is zero, no number, or has no name": {
			func() {
				i.exec(`UPDATE leat.stats SET metrics = '{"a": 10000000000000, "b": 0.1234567, "c": 0, "d": "x", "e e": 1, "f": 1.50, "g": 9999999999999, "sum": 9000000000000.5, "less": -0.5}' WHERE day = '2026-05-02'`)
			},
			[]string{
				`shop/item/i/1 stats 2026-05-02 dims "os=android": a metric has a name, at most 12 digits before the point and 6 after it, and is not zero; ` +
					`found metrics.a 10000000000000, metrics.b 0.1234567, metrics.c 0, metrics.d "x", metrics.e e 1, metrics.f 1.50, metrics.g 9999999999999`,
				`shop/item/i/1/2026H1: it cannot be compared: `,
				`shop/shop/s1/2026H1: it cannot be compared: `,
			},
		},
		"an hour that is none, and one that holds a zero": {
			func() {
				i.exec(`UPDATE leat.stats SET hours = '{"13": {"clicks": 1, "cost": 0}, "23": {"clicks": 2, "cost": 1.5}, "25": {"x": 1}, "3": 7}', metrics = '{"clicks": 3, "cost": 1.5, "x": 1}' WHERE day = '2026-11-14'`)
			},
			[]string{
				`shop/item/i/1 stats 2026-11-14 dims "os=ios": a metric has a name, at most 12 digits before the point and 6 after it, and is not zero; found hours.13.cost 0, hours.25.x 1, hours.3 7`,
				`shop/item/i/1/2026H2: it cannot be compared: `,
				`shop/shop/s1/2026H2: it cannot be compared: `,
			},
		},
		"dims that are not canonical": {
			func() {
				i.exec(`
					INSERT INTO leat.stats (object_id, day, dims, metrics, observed_at) VALUES
						(2, '2026-05-02', 'os=a,country=DE', '{}', now()), (2, '2026-05-02', 'os=a,os=b', '{}', now()),
						(2, '2026-05-02', 'os=50%', '{}', now()), (2, '2026-05-02', 'os', '{}', now()), (2, '2026-05-02', 'a=1,b=50%25', '{}', now())`)
			},
			[]string{
				`shop/item/i/1 stats 2026-05-02 dims "os": dims have their names in order, each once, and %, comma and = percent-encoded in the values`,
				`shop/item/i/1 stats 2026-05-02 dims "os=50%": dims have their names in order, each once, and %, comma and = percent-encoded in the values`,
				`shop/item/i/1 stats 2026-05-02 dims "os=a,country=DE": dims have their names in order, each once, and %, comma and = percent-encoded in the values`,
				`shop/item/i/1 stats 2026-05-02 dims "os=a,os=b": dims have their names in order, each once, and %, comma and = percent-encoded in the values`,
			},
		},
		"a parent that does not stand above": {
			func() { i.exec(`UPDATE leat.objects SET depth = 0 WHERE id = 3`) },
			[]string{`shop/photo/p1: its depth is 0, and that of its parent shop/s1 is 0: a parent stands above`},
		},
		"parents in a circle": {
			func() { i.exec(`UPDATE leat.objects SET parent_id = 2 WHERE id = 1`) },
			[]string{
				`shop/item/i/1/2026H1: it cannot be compared: its parents go round in a circle`,
				`shop/item/i/1/2026H2: it cannot be compared: its parents go round in a circle`,
				`shop/photo/p1/all: it cannot be compared: its parents go round in a circle`,
				`shop/shop/s1/2026H1: it cannot be compared: its parents go round in a circle`,
				`shop/shop/s1/2026H2: it cannot be compared: its parents go round in a circle`,
				`shop/shop/s1: its depth is 0, and that of its parent item/i/1 is 1: a parent stands above`,
			},
		},
		"a parent of another source": {
			func() {
				i.exec(`INSERT INTO leat.objects (id, source, type, key, depth, name, observed_at) OVERRIDING SYSTEM VALUE VALUES (4, 'stranger', 'shop', 's1', 0, 's1', now())`)
				i.exec(`UPDATE leat.objects SET parent_id = 4 WHERE id = 3`)
				i.exec(`INSERT INTO leat.source_versions (hash, source, text) SELECT 'x', 'stranger', replace(text, 'source: shop', 'source: stranger') FROM leat.source_versions WHERE source = 'shop' LIMIT 1 ON CONFLICT DO NOTHING`)
			},
			[]string{`shop/photo/p1: its parent shop/s1 is of the source stranger`},
		},
		"a document newer than the sequence": {
			func() { i.update("shop/s1/2026H1", bson.M{"$set": bson.M{"rev": int64(1000)}}) },
			[]string{`shop/shop/s1/2026H1: its rev is 1000, and the sequence is at 100: PostgreSQL was restored from a backup, and rollup writes nothing; run ` + "`leat rebuild`"},
		},
		"ids that will be given out again": {
			func() { i.exec(`SELECT setval('leat.objects_id_seq', 2)`) },
			[]string{`table objects: its sequence of ids is at 2, and there is an object 3: new objects will fail; ALTER TABLE leat.objects ALTER id RESTART WITH 4`},
		},
		"an answer that is gone": {
			func() {
				i.job("running", "")
				i.exec(`INSERT INTO leat.answers (job_id, n, message_id, url, hash, bytes, format, observed_at, asked_at)
					SELECT '` + openJob + `', n, 's', 'u', 'h', 1, 'json', now(), now() FROM unnest('{0,2}'::int[]) AS n`)
			},
			[]string{`shop job ` + openJob + `: it has had 3 answers, and 2 of them are kept in the table answers`},
		},
		"marks that nobody comes to": {
			func() {
				i.exec(`INSERT INTO leat.dirty (object_id, root_id, half, job_id, due) VALUES (2, 1, '', '` + openJob + `', '2026-01-02 03:04:05Z')`)
			},
			[]string{`shop job ` + openJob + `: 1 of its marks were due at 2026-01-02T03:04:05Z, and rollup has not written them: does a leat-rollup run, and what does it log?`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i.t = t
			i.fill()
			test.spoil()
			_, texts := i.check(Checking{})
			if !slices.EqualFunc(texts, test.want, strings.HasPrefix) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestCheckAddsUpHours(t *testing.T) {
	i := installed(t)
	i.fill()
	i.exec(`UPDATE leat.stats SET hours = '{"13": {"clicks": 2}, "23": {"clicks": 2, "cost": 1.5}}' WHERE day = '2026-11-14'`)
	checked, texts := i.check(Checking{})
	want := `shop/item/i/1 stats 2026-11-14 dims "os=ios": the hours add up to {"cost": 1.5, "clicks": 4}, the day says {"cost": 1.5, "clicks": 3}`
	if !slices.Contains(texts, want) || checked.Beyond != 1 {
		t.Errorf("found\n%s\nwant among them\n%s", strings.Join(texts, "\n"), want)
	}
}

func TestCheckPassesOverWhatIsMarked(t *testing.T) {
	i := installed(t)
	i.fill()
	i.remove("item/i/1/2026H1")
	i.remove("item/i/1/2026H2")
	i.insert("shop", bson.M{"_id": "junk"})
	i.exec(`
		INSERT INTO leat.dirty (object_id, root_id, half, job_id, due)
		SELECT o, 1, h, gen_random_uuid(), now() FROM (VALUES (2, ''), (0, 'shop/junk')) AS v(o, h)`)
	checked, texts := i.check(Checking{})
	if len(texts) > 0 || checked.Passed != 3 {
		t.Errorf("found %q and passed over %d, want none and 3", texts, checked.Passed)
	}
}

func TestCheckOfOneSource(t *testing.T) {
	i := installed(t)
	i.fill()
	i.insert("stranger", bson.M{"_id": "a/b/2026H1"})
	if _, texts := i.check(Checking{Source: "shop"}); len(texts) > 0 {
		t.Errorf("found what is not of the source: %q", texts)
	}
	if _, err := i.Check(t.Context(), Checking{Source: "shpo"}, nil); err == nil || !strings.Contains(err.Error(), "shop, stranger") {
		t.Errorf("a source that is not there: %v, want an error that lists those that are", err)
	}
}

func TestRepairMarks(t *testing.T) {
	i := installed(t)
	i.fill()
	i.remove("item/i/1/2026H2")
	i.insert("shop", bson.M{"_id": "item/i/1/all"}, bson.M{"_id": "item/i/1/2024H1"}, bson.M{"_id": "junk"})
	checked, _ := i.check(Checking{Repair: true})
	if len(checked.Repairs) != 1 || checked.Repairs[0].Source != "shop" || checked.Repairs[0].Documents != 4 {
		t.Fatalf("repairs: %+v, want one of 4 documents of shop", checked.Repairs)
	}
	job := checked.Repairs[0].Job
	for sql, want := range map[string]int{
		`SELECT count(*) FROM jobs WHERE id = $1 AND mode = 'repair' AND state = 'running' AND source = 'shop'`:                         1,
		`SELECT count(*) FROM ledger WHERE job_id = $1 AND stage = 'fetch' AND message_id = $1::text AND state = 'done'`:                1,
		`SELECT count(*) FROM dirty WHERE job_id = $1 AND days IS NULL AND due <= now()`:                                                4,
		`SELECT count(*) FROM dirty WHERE job_id = $1 AND object_id = 2 AND root_id = 1 AND half IN ('2026H2', '2024H1')`:               2,
		`SELECT count(*) FROM dirty WHERE job_id = $1 AND object_id = 0 AND root_id = 0 AND half IN ('shop/item/i/1/all', 'shop/junk')`: 2,
	} {
		if n := i.count(strings.ReplaceAll(sql, "$1", "'"+job+"'::uuid")); n != want {
			t.Errorf("%s: %d, want %d", sql, n, want)
		}
	}
	again, texts := i.check(Checking{})
	if len(texts) > 0 || again.Passed != 4 {
		t.Errorf("after the repair %d are passed over, and told of are %q; want 4 and none", again.Passed, texts)
	}
}

// What differs is looked at again, told and repaired before it is too much to keep.
func TestManyDifferencesAreRepairedInRounds(t *testing.T) {
	const many = suspectsAtOnce + 600
	i := installed(t)
	i.exec(`
		INSERT INTO leat.objects (source, type, key, depth, name, observed_at)
		SELECT 'shop', 'photo', 'p' || n, 0, '', now() FROM generate_series(1, $1::int) AS n`, many)
	checked, texts := i.check(Checking{Repair: true})
	if len(texts) != many || len(checked.Repairs) != 2 || checked.Repairs[0].Documents+checked.Repairs[1].Documents != many || checked.Repairs[0].Documents < suspectsAtOnce {
		t.Errorf("told of %d, repairs %+v; want two of %d documents", len(texts), checked.Repairs, many)
	}
	if n := i.count(`SELECT count(DISTINCT object_id) FROM leat.dirty`); n != many {
		t.Errorf("%d objects are marked, want %d", n, many)
	}
}
