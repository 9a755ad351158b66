package demosource

import (
	"iter"
	"math"
	"strconv"
	"strings"
)

// adBytes is about what an ad takes in a report of 14 days.
const adBytes = 5020

// account is one customer: its ads are counted, not kept.
type account struct {
	name  string
	title string // how the name stands in texts
	seed  uint64
	ads   int   // how many there are
	fan   int64 // mean number of ads in an adgroup, and of adgroups in a campaign
}

func newAccounts(cfg Config) map[string]*account {
	accounts := make(map[string]*account, len(cfg.Accounts))
	for _, name := range cfg.Accounts {
		ads := max(1, int(cfg.Size/int64(len(cfg.Accounts))/adBytes))
		accounts[name] = &account{
			name:  name,
			title: strings.ToUpper(name[:1]) + name[1:],
			seed:  mixString(cfg.Seed, name),
			ads:   ads,
			fan:   min(10, int64(math.Round(math.Cbrt(float64(ads))))),
		}
	}
	return accounts
}

// ad is one ad and where it hangs. Campaigns, adgroups and ads are numbered
// from 1 within the account.
type ad struct {
	number, group, campaign int
	seed                    uint64
}

// all goes through the account's ads, those of an adgroup and of a campaign together.
func (a *account) all() iter.Seq[ad] {
	return func(yield func(ad) bool) {
		number, group := 0, 0
		for campaign := 1; ; campaign++ {
			for range a.children("campaign", campaign) {
				group++
				for range a.children("adgroup", group) {
					number++
					if number > a.ads || !yield(a.ad(number, group, campaign)) {
						return
					}
				}
			}
		}
	}
}

func (a *account) ad(number, group, campaign int) ad {
	return ad{number, group, campaign, a.hash("ad", number)}
}

// children is how many adgroups a campaign has, or ads an adgroup: half to one
// and a half times the mean.
func (a *account) children(kind string, number int) int {
	least := (a.fan + 1) / 2
	return int(least + below(a.hash(kind, number), 2*(a.fan-least)+1))
}

func (a *account) hash(kind string, number int) uint64 {
	return mix(mixString(a.seed, kind) ^ uint64(number))
}

var (
	themes = []string{"Autumn Sale", "Open Air", "Club Nights", "Season Pass", "Brand", "Last Minute", "Festival", "Newcomers"}
	places = []string{"Germany", "Österreich", "Switzerland", "France", "Italia", "España", "Nederland", "Polska", "Danmark", "Česko"}
	groups = []string{"Prospecting", "Retargeting", "Lookalike", "Broad", "Keywords, exact", "Interests"}
	forms  = []string{"Video", "Banner", "Carousel", "Story", "Search"}
	slogan = []string{"Tickets from 19 €", `The "Night of the Year"`, "Only today, only here", "Listen first", "Front row seats", "Two for one"}
	states = []string{"active", "active", "active", "paused"}
)

func (a *account) campaignID(n int) string { return a.id("-c", n) }
func (a *account) groupID(n int) string    { return a.id("-g", n) }
func (a *account) adID(n int) string       { return a.id("-a", n) }

func (a *account) id(kind string, n int) string { return a.name + kind + strconv.Itoa(n) }

// campaignName is one of 80, so that a lookup table of them can be written.
func (a *account) campaignName(n int) string {
	h := a.hash("campaign name", n)
	return pick(h, themes) + " " + pick(mix(h), places)
}

func (a *account) campaignStatus(n int) string { return pick(a.hash("status", n), states) }

// campaignBudget is a decimal with two places.
func (a *account) campaignBudget(n int) string {
	return strconv.FormatInt(50*(1+below(a.hash("budget", n), 200)), 10) + ".00"
}

func (a *account) groupName(n int) string {
	return pick(a.hash("group name", n), groups) + " " + strconv.Itoa(n)
}

// adName bears the account's name for every other ad.
func (a *account) adName(one ad) string {
	name := pick(mix(one.seed+1), forms) + " " + strconv.Itoa(one.number)
	if one.seed&1 == 0 {
		return a.title + " " + name
	}
	return name
}

// headline changes every 30 days, on a day of the ad's own.
func (a *account) headline(one ad, today uint64) string {
	return pick(mix(one.seed+headlineTurn(one, today)), slogan)
}

func headlineTurn(one ad, today uint64) uint64 { return (today + one.seed%30) / 30 }

func (a *account) url(one ad) string {
	return "https://shop.example.com/" + a.name + "/" + strconv.Itoa(one.campaign) + "?ad=" + a.adID(one.number) + "&utm_medium=ads"
}
