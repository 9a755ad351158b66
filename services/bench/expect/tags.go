package expect

import (
	"encoding/csv"
	"io"
	"math/big"
	"regexp"
	"strings"
)

// ReadMarkets reads the table that the shipped file looks up.
func ReadMarkets(r io.Reader) (map[string]string, error) {
	rows, err := csv.NewReader(r).ReadAll()
	markets := map[string]string{}
	for _, row := range rows {
		markets[row[0]] = row[1]
	}
	return markets, err
}

// tags are what the annotators of the shipped source file say of an object, said
// again in Go.
func (w *walk) tags(o *object) map[string]any {
	tags := map[string]any{"brand": brand(o.name)}
	if f := form(o.name); f != "" {
		tags["form"] = f
	}
	if c := o.above("campaign"); c != nil {
		w.below(tags, c)
	}
	if o.typ == "ad" {
		tags["audience"], _, _ = strings.Cut(strings.ReplaceAll(o.above("adgroup").name, ",", " "), " ")
		about(tags, o.attrs["url"].(string), o.attrs["headline"].(string))
	}
	return tags
}

// above is the ancestor of a type.
func (o *object) above(typ string) *object {
	for p := o.parent; p != nil; p = p.parent {
		if p.typ == typ {
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
	if last := strings.LastIndex(campaign.name, " "); last > 0 {
		tags["theme"] = campaign.name[:last]
	}
	tags["size"] = size(number(campaign.attrs["budget"]))
}

func size(budget *big.Int) string {
	switch {
	case budget.Cmp(big.NewInt(1000*million)) < 0:
		return "<1000"
	case budget.Cmp(big.NewInt(5000*million)) < 0:
		return "1000-5000"
	}
	return "5000+"
}

// about adds what is said of an ad.
func about(tags map[string]any, url, headline string) {
	tags["landing"] = strings.Split(url, "/")[2]
	if _, rest, ok := strings.Cut(url, "&utm_medium="); ok {
		tags["medium"], _, _ = strings.Cut(rest, "&")
	}
	if before, _, ok := strings.Cut(headline, " €"); ok {
		words := strings.Fields(before)
		tags["price"] = words[len(words)-1]
	}
}
