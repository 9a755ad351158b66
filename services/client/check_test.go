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
				`shop/item/other/2026H1: MongoDB has it, rows say that it should not be`,
				`shop/junk: MongoDB has it, rows say that it should not be`,
				`stranger/a/b/2026H1: MongoDB has it, rows say that it should not be`,
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
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i.t = t
			i.fill()
			test.spoil()
			_, texts := i.check(Checking{})
			if !slices.Equal(texts, test.want) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestCheckAddsUpHours(t *testing.T) {
	i := installed(t)
	i.fill()
	i.exec(`UPDATE leat.stats SET hours = '{"13": {"clicks": 2}, "23": {"clicks": 2, "cost": 1.50}}' WHERE day = '2026-11-14'`)
	checked, texts := i.check(Checking{})
	want := `shop/item/i/1 stats 2026-11-14 dims "os=ios": the hours add up to {"cost": 1.50, "clicks": 4}, the day says {"cost": 1.5, "clicks": 3}`
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
