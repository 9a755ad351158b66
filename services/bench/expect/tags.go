package expect

import (
	"math/big"
	"regexp"
	"strings"
	"unicode/utf8"
)

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
