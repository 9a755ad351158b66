package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/services/client"
)

// A content is what rows and documents hold: of each thing its fields.
type content map[string]map[string]string

func (c content) set(thing, field, value string) {
	if c[thing] == nil {
		c[thing] = map[string]string{}
	}
	c[thing][field] = value
}

// content reads lines of thing, field and value.
func (s *system) content(sql string) content {
	s.t.Helper()
	c := content{}
	for _, line := range s.query(`SELECT jsonb_build_array(thing, field, value)::text FROM (` + sql + `) AS q`) {
		var text string
		var cells [3]string
		if json.Unmarshal([]byte(line), &text) != nil || json.Unmarshal([]byte(text), &cells) != nil {
			s.t.Fatal(line)
		}
		c.set(cells[0], cells[1], cells[2])
	}
	return c
}

// contents are all that a job may change.
func (s *system) contents() map[string]content {
	s.t.Helper()
	name := func(o string) string { return fmt.Sprintf("%[1]s.type || '/' || %[1]s.key", o) }
	stat := name("o") + ` || ' ' || s.day || ' ' || s.rule || ' ' || s.dims`
	all := map[string]content{
		"objects": s.content(`
			SELECT ` + name("o") + ` AS thing, 'name' AS field, to_json(o.name)::text AS value FROM objects o WHERE isfinite(o.observed_at)
			UNION ALL SELECT ` + name("o") + `, 'parent', to_json(` + name("p") + `)::text FROM objects o JOIN objects p ON p.id = o.parent_id WHERE isfinite(o.observed_at)
			UNION ALL SELECT ` + name("o") + `, 'attributes.' || a.key, a.value::text FROM objects o, jsonb_each(o.attrs) a WHERE isfinite(o.observed_at)`),
		"stats": s.content(`
			SELECT ` + stat + ` AS thing, m.key AS field, m.value::text AS value FROM stats s JOIN objects o ON o.id = s.object_id, jsonb_each(s.metrics) m`),
		"hours": s.content(`
			SELECT ` + stat + ` AS thing, h.key AS field, h.value::text AS value
			FROM stats s JOIN objects o ON o.id = s.object_id, jsonb_each(coalesce(s.hours, jsonb_build_object('23', s.metrics))) h`),
		"tags": s.content(`
			SELECT ` + name("o") + ` AS thing, m.key AS field, m.value::text AS value FROM tags t JOIN objects o ON o.id = t.object_id, jsonb_each(t.tags) m`),
		"documents": {},
	}
	names, err := s.docs.ListCollectionNames(s.t.Context(), bson.M{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		cursor, err := s.docs.Collection(name).Find(s.t.Context(), bson.M{})
		if err != nil {
			s.t.Fatal(err)
		}
		var found []bson.M
		if err := cursor.All(s.t.Context(), &found); err != nil {
			s.t.Fatal(err)
		}
		for _, d := range found {
			all["documents"].set(d["_id"].(string), "rev", fmt.Sprint(d["rev"]))
		}
	}
	return all
}

// until is what differs in a later content, a line each.
func (c content) until(later content, line func(thing, field, before, after string) string) (lines []string) {
	things := map[string]bool{}
	for _, all := range []content{c, later} {
		for thing, fields := range all {
			for field := range fields {
				if key := thing + "\x00" + field; c[thing][field] != later[thing][field] && !things[key] {
					things[key] = true
					lines = append(lines, line(thing, field, c[thing][field], later[thing][field]))
				}
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func valued(thing, field, before, after string) string {
	return fmt.Sprintf("%s %s %s>%s", thing, field, before, after)
}

// foretells is what a trial says, as until writes what came.
func foretells(e client.Effect) map[string][]string {
	all := map[string][]string{}
	add := func(what, thing string, fields []client.Field) {
		for _, f := range fields {
			all[what] = append(all[what], valued(thing, f.Name, string(f.Before), string(f.After)))
		}
	}
	for _, o := range e.Objects {
		add("objects", o.Object, o.Fields)
	}
	for _, s := range e.Stats {
		row := strings.Join([]string{s.Object, s.Day, s.Rule, s.Dims}, " ")
		add("stats", row, s.Metrics)
		for _, h := range s.Hours {
			all["hours"] = append(all["hours"], fmt.Sprint(row, " ", h))
		}
	}
	for _, t := range e.Tags {
		add("tags", t.Object, t.Tags)
	}
	for _, d := range e.Documents {
		all["documents"] = append(all["documents"], d.ID)
	}
	for what := range all {
		slices.Sort(all[what])
	}
	return all
}

// foretold tries, sees that nothing was written, has the job done, and compares
// what came with what the trial said.
func (s *system) foretold(c *client.Client, r client.TryRequest, job string) client.Trial {
	s.t.Helper()
	held, before, hour := s.held(), s.contents(), time.Now().UTC().Hour()
	r.Limit = client.MaxTried
	trial, err := c.Try(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	if trial.More || len(trial.Effect.Documents) == 0 {
		s.t.Fatalf("the trial is of a piece, or of nothing: %+v", trial)
	}
	s.sameLines("held after a trial", s.held(), held)
	stop := s.start(1)
	_, counts := s.await(s.submit(job), patience)
	stop()
	for _, what := range []string{"objects.new", "objects.changed", "objects.unchanged", "stats.new", "stats.changed", "stats.unchanged"} {
		group, name, _ := strings.Cut(what, ".")
		s.want(what, trial.Effect.Counts[what], counts[group][name])
	}
	want, after := foretells(trial.Effect), s.contents()
	for _, what := range []string{"objects", "stats", "tags"} {
		s.sameLines(what, want[what], before[what].until(after[what], valued))
	}
	if time.Now().UTC().Hour() == hour { // else the job was credited to another
		s.sameLines("hours", want["hours"], before["hours"].until(after["hours"], func(thing, field, _, _ string) string { return thing + " " + field }))
	}
	s.sameLines("documents", want["documents"], before["documents"].until(after["documents"], func(thing, _, _, _ string) string { return thing }))
	return trial
}

// held is how many rows each table has and how many documents there are, but for
// what a request costs, and the rows themselves.
func (s *system) held() []string {
	s.t.Helper()
	var all []string
	for _, table := range s.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'leat' AND tablename NOT LIKE 'budget%' ORDER BY 1`) {
		all = append(all, table+s.query(`SELECT count(*) FROM leat.` + table)[0])
	}
	return append(append(all, s.rows()...), fmt.Sprint(s.contents()["documents"]))
}
