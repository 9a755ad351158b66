package client

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/source"
)

// rule keeps a version of the shop with another rule for brands.
func (i *installation) rule(text string) {
	i.t.Helper()
	src, err := source.Parse([]byte(strings.Replace(shop, `color == "red"`, text, 1)), nil)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := i.sources.Put(i.t.Context(), src); err != nil {
		i.t.Fatal(err)
	}
}

// The item's tags are of the version before, and so it is with the photo, which
// had no rule: each is annotated under the new one at its next change.
func TestARuleThatIsNewerThanTheTagsIsNoDifference(t *testing.T) {
	i := installed(t)
	i.fill()
	i.rule(`name == "nobody"`)
	if _, texts := i.check(Checking{}); len(texts) > 0 {
		t.Errorf("found %q", texts)
	}
	i.exec(`DELETE FROM leat.tags`)
	i.annotate(2) // under the new version now
	for _, half := range []string{"2026H1", "2026H2"} {
		i.update("item/i/1/"+half, bson.M{"$set": bson.M{"tags": bson.M{"brand": false}}})
	}
	if _, texts := i.check(Checking{}); len(texts) > 0 {
		t.Errorf("found %q after the item was annotated under the new rule", texts)
	}
	i.exec(`UPDATE leat.tags SET tags = '{"brand": true}'`)
	if _, texts := i.check(Checking{}); len(texts) == 0 || !strings.Contains(strings.Join(texts, "\n"), `give the tags {"brand":false}`) {
		t.Errorf("found %q, want what the new rule gives", texts)
	}
}

// A type that a version gives its first rule: what changed under the version
// before is not missed, nor what a job wrote that began with it.
func TestTagsAreNotMissedWhereNoRuleWasMeant(t *testing.T) {
	i := installed(t)
	i.fill()
	i.rule(`type in ["item", "photo", "shop"] ? name == "Corner" : nil`)
	i.exec(`UPDATE leat.objects SET changed_at = now()`)
	if _, texts := i.check(Checking{}); len(texts) > 0 {
		t.Errorf("found %q of objects that a job of the version before may have written", texts)
	}
	i.rule(`type in ["item", "photo", "shop"] ? name == "Nobody" : nil`)
	i.exec(`UPDATE leat.objects SET changed_at = now()`)
	_, texts := i.check(Checking{})
	found := strings.Join(texts, "\n")
	if len(texts) != 2 || !strings.Contains(found, "shop/shop/s1: the annotators give") || !strings.Contains(found, "shop/photo/p1: the annotators give") {
		t.Errorf("found\n%s\nwant the shop and the photo, for which both versions have a rule", found)
	}
}

// While a job runs, the change of an object may be on its way to annotate; what
// was annotated with the very same inputs is not.
func TestWhatIsNotAnnotatedYetIsPassedOver(t *testing.T) {
	i := installed(t)
	i.fill()
	i.job("running", "")
	i.exec(`UPDATE leat.objects SET attrs = '{"color": "blue", "weight": 1.5}' WHERE id = 2`)
	for _, half := range []string{"2026H1", "2026H2"} {
		i.update("item/i/1/"+half, bson.M{"$set": bson.M{"attrs.color": "blue"}})
	}
	if checked, texts := i.check(Checking{}); len(texts) > 0 || checked.Passed != 1 {
		t.Errorf("found %q, passed over %d; want none and 1", texts, checked.Passed)
	}
	i.fill()
	i.job("running", "")
	i.exec(`UPDATE leat.tags SET tags = '{}'`)
	if _, texts := i.check(Checking{}); !strings.Contains(strings.Join(texts, "\n"), "the annotators give") {
		t.Errorf("found %q, want the tags that somebody edited, though a job runs", texts)
	}
}

// A tag that failed, and that another try may give, is told once no job tries it.
func TestATagThatFailedIsFound(t *testing.T) {
	i := installed(t)
	i.fill()
	i.exec(`UPDATE leat.tags SET failed = '{"brand": "the host answered 503"}', retry = true`)
	_, texts := i.check(Checking{})
	if found := strings.Join(texts, "\n"); !strings.Contains(found, "the tag brand failed: the host answered 503") {
		t.Errorf("found %q", texts)
	}
	i.exec(`UPDATE leat.tags SET retry = false`)
	if _, texts := i.check(Checking{}); len(texts) > 0 {
		t.Errorf("found %q of what cannot pass", texts)
	}
}
