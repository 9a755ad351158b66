package expect

import (
	"encoding/csv"
	"io"
	"math/big"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Annotators follow the word annotate in the shipped source file: with its four
// they are ten. What they say is said again in Go below.
const Annotators = `
  season: 'split(parent("campaign").name, " ")[0]'
  size: 'parent("campaign").budget >= 5000 ? "large" : "small"'
  form: 'find(["Video", "Banner", "Carousel", "Story", "Search"], name contains #)'
  secure: 'url startsWith "https://"'
  offer: 'headline contains "€" or headline contains "one"'
  shouting: 'len(headline) > 20'
`

// ReadMarkets reads the table that the shipped file looks up.
func ReadMarkets(r io.Reader) (map[string]string, error) {
	rows, err := csv.NewReader(r).ReadAll()
	markets := map[string]string{}
	for _, row := range rows {
		markets[row[0]] = row[1]
	}
	return markets, err
}

// tags are what the annotators say of an object.
func (w *walk) tags(o *object) map[string]any {
	tags := map[string]any{"brand": brand(o.name)}
	if f := form(o.name); f != "" {
		tags["form"] = f
	}
	if c := o.campaign(); c != nil {
		w.below(tags, c)
	}
	if o.typ == "ad" {
		about(tags, o.attrs["url"].(string), o.attrs["headline"].(string))
	}
	return tags
}

// campaign is the one above.
func (o *object) campaign() *object {
	for p := o.parent; p != nil; p = p.parent {
		if p.typ == "campaign" {
			return p
		}
	}
	return nil
}

var brands = regexp.MustCompile(`(?i)\b(acme|globex)\b`)

func brand(name string) bool { return brands.MatchString(name) }

// form is the first of the forms that is in the name.
func form(name string) string {
	for _, f := range []string{"Video", "Banner", "Carousel", "Story", "Search"} {
		if strings.Contains(name, f) {
			return f
		}
	}
	return ""
}

// below adds what is said of what stands below a campaign.
func (w *walk) below(tags map[string]any, campaign *object) {
	if market, ok := w.Markets[campaign.name]; ok {
		tags["market"] = market
	}
	tags["paused"] = campaign.attrs["status"] == "paused"
	tags["season"] = strings.Split(campaign.name, " ")[0]
	tags["size"] = "small"
	if number(campaign.attrs["budget"]).Cmp(big.NewInt(5000*million)) >= 0 {
		tags["size"] = "large"
	}
}

// about adds what is said of an ad.
func about(tags map[string]any, url, headline string) {
	tags["landing"] = strings.Split(url, "/")[2]
	tags["secure"] = strings.HasPrefix(url, "https://")
	tags["offer"] = strings.Contains(headline, "€") || strings.Contains(headline, "one")
	tags["shouting"] = utf8.RuneCountInString(headline) > 20
}
