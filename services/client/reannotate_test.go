package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes the source file with another rule for brands.
func (i *installation) file(rule string) {
	i.t.Helper()
	text := strings.Replace(shop, `color == "red"`, rule, 1)
	if err := os.WriteFile(filepath.Join(i.cfg.Sources, "shop.yaml"), []byte(text), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// A rule that changed is sent to annotate for those of which it says something
// else, and for no others; the job is there when the message is.
func TestAChangedRuleReannotatesWhatItAffects(t *testing.T) {
	i := installed(t)
	i.fill()
	for _, step := range []struct {
		rule          string
		what          Reannotation
		looked, sends int
	}{
		{`color == "red"`, Reannotation{}, 3, 0},
		{`color == "red"`, Reannotation{All: true}, 3, 3},
		{`color == "red"`, Reannotation{Failed: true}, 0, 0},
		{`color == "blue"`, Reannotation{Type: "photo"}, 1, 0},
		{`color == "blue"`, Reannotation{Tag: "brand"}, 1, 1},
		{`color == "blue"`, Reannotation{Why: "blue it is"}, 3, 1},
	} {
		i.file(step.rule)
		step.what.Source = "shop"
		i.exec(`TRUNCATE leat.jobs, leat.ledger, leat.audit CASCADE`)
		done, err := i.Reannotate(t.Context(), step.what)
		if err != nil || done.Looked != step.looked || done.Objects != step.sends {
			t.Fatalf("%+v: %+v, %v", step.what, done, err)
		}
		if jobs := i.count(`SELECT count(*) FROM leat.jobs WHERE mode = 'reannotate' AND state = 'running'`); jobs != min(step.sends, 1) || jobs != len(done.Jobs) {
			t.Errorf("%+v: %d jobs", step.what, jobs)
		}
		if n := i.count(`SELECT count(*) FROM leat.audit WHERE action = 'reannotate'`); n != min(step.sends, 1) {
			t.Errorf("%+v: %d audit rows", step.what, n)
		}
		if step.what.All {
			i.exec(`TRUNCATE leat.tags`)
			i.annotate(2)
		}
	}
	if n := i.count(`SELECT count(*) FROM leat.audit WHERE why = 'blue it is'`); n != 1 {
		t.Error("audit does not know why")
	}
	i.exec(`UPDATE leat.tags SET failed = '{"brand": "no rule"}'`)
	if done, err := i.Reannotate(t.Context(), Reannotation{Source: "shop", Failed: true, Tag: "brand"}); err != nil || done.Objects != 1 {
		t.Errorf("failed: %+v, %v", done, err)
	}
	if n := i.count(`SELECT count(*) FROM leat.tags WHERE inputs_hash = ''`); n != 1 {
		t.Error("the failed one's tags pass for made of the same inputs")
	}
	for what, says := range map[Reannotation]string{
		{Source: "shop", Type: "itm"}:                `type: found "itm"; shop has shop, item, photo`,
		{Source: "shop", Tag: "brnd"}:                `tag: found "brnd"; shop has brand`,
		{Source: "shop", Type: "shop", Tag: "brand"}: "no shop can have the tag brand",
		{Source: "shp"}:                              `found "shp"`,
	} {
		if _, err := i.Reannotate(t.Context(), what); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %s", what, err, says)
		}
	}
	i.file(`color == "red"`)
	if _, err := i.Reannotate(t.Context(), Reannotation{Source: "shop"}); err == nil || !strings.Contains(err.Error(), "another version was in use since") {
		t.Errorf("an older file: %v", err)
	}
}
