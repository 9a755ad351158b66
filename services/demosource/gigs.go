package demosource

import (
	"strconv"
	"strings"
	"time"
)

// Three feeds tell of the same concerts, each in its own words and each of four
// of five. A file of a day has a line for each time that somebody looked, so most
// of its lines are there many times. Every hour one price of twenty is another,
// and one concert of a thousand sells out.

const (
	ahead       = 90 // days that concerts are announced before
	looks       = 40 // lines for each concert, about
	mostLooks   = 1_000_000
	usualLooks  = 2000
	newPrices   = 20   // one price of so many each hour
	newSellouts = 1000 // one concert of so many each hour
)

var (
	artists = []string{"Die Ärzte", "Mötley Crüe", "Björk", "Sigur Rós", "Beyoncé", "AC/DC", "Kraftwerk", "Florence + the Machine", "Élan", "Motörhead", "Sofi Tukker", "The National"}
	halls   = []struct{ name, city string }{
		{"Columbiahalle", "Berlin"}, {"Große Freiheit 36", "Hamburg"}, {"Zenith", "München"}, {"Palladium", "Köln"}, {"Täubchenthal", "Leipzig"}, {"Schlachthof", "Wiesbaden"},
	}
	genres = []string{"rock", "pop", "electronic", "indie"}
)

// A gig is a concert: the n'th that is known on a day.
type gig struct {
	seed    uint64
	artist  string
	hall    int
	at      time.Time
	price   int64 // cents
	soldOut bool
	told    uint64 // bits of the feeds that do not tell of it
}

// gigWriter writes the lines of one feed.
type gigWriter interface {
	begin()
	gig(g gig)
	end()
}

// gigs answers /gigs/tickets, /gigs/venues and /gigs/listings: what a feed tells
// on a day of the concerts ahead, in about looks lines.
func (s *server) gigs(feed uint64, format string, writer func(out *output) gigWriter) answerFunc {
	return func(q query, m moment) (*answer, error) {
		date, err := q.date("day", m.today())
		if err != nil {
			return nil, err
		}
		count, err := q.number("looks", usualLooks, 0, mostLooks)
		if err != nil {
			return nil, err
		}
		return &answer{contentType: contentTypes[format], write: func(out *output) {
			w := writer(out)
			w.begin()
			seed := mixString(s.cfg.Seed, "gigs")
			for i := 0; i < count && out.ok(); i++ {
				look := mix(seed ^ feed<<40 ^ mix(uint64(i)))
				if g := m.gig(seed, date, below(look, int64(max(1, count/looks)))); g.told>>feed&1 == 0 {
					w.gig(g)
				}
			}
			w.end()
		}}, nil
	}
}

// gig makes up a concert as it is known now. Those of a day are known from the
// one on which they are announced.
func (m moment) gig(seed uint64, day time.Time, n int64) gig {
	h := mix(seed ^ mix(uint64(n)))
	of := func(turn uint64, count int) int { return int(below(mix(h^turn), int64(count))) }
	in, artist, hall := 1+of(1, ahead), of(2, len(artists)), of(3, len(halls))
	h = mix(seed ^ mix(uint64(in)<<16^uint64(artist)<<8^uint64(hall))) // two of one artist, hall and day are one
	at := time.Date(day.Year(), day.Month(), day.Day()+in, 18+of(4, 4), 30*of(5, 2), 0, 0, m.zone)
	g := gig{seed: h, artist: artists[artist], hall: hall, at: at, told: mix(h ^ 6)}
	if g.told %= 5; g.told < 3 { // one feed of three does not tell of it
		g.told = 1 << g.told
	} else {
		g.told = 0
	}
	hour := uint64(m.hour)
	g.price = 1500 + 100*below(mix(h^7^mix(turns(h, hour, newPrices))), 60)
	g.soldOut = turns(h^8, hour, newSellouts)%4 == 3
	return g
}

// turns counts how often something that happens in one hour of many has happened.
func turns(h, hour, many uint64) uint64 { return (hour + h%many) / many }

// ticketLines are NDJSON.
type ticketLines struct{ *output }

func (ticketLines) begin() {}
func (ticketLines) end()   {}

func (w ticketLines) gig(g gig) {
	w.field(`{"artist":`, g.artist)
	w.field(`,"venue":`, halls[g.hall].name)
	w.field(`,"starts_at":`, g.at.Format(time.RFC3339))
	w.field(`,"title":`, g.artist+" live")
	w.text(`,"price":`)
	w.cents(g.price)
	w.field(`,"url":`, "https://tickets.example.com/"+strconv.FormatUint(g.seed, 36))
	w.text("}\n")
}

// venueRows are CSV as spreadsheets in Germany write it.
type venueRows struct{ *output }

func (w venueRows) begin() { w.text("act;hall;city;day;doors;sold_out\n") }
func (venueRows) end()     {}

func (w venueRows) gig(g gig) {
	h := halls[g.hall]
	w.text(strings.ToUpper(g.artist), ";", h.name, ";", h.city, ";", g.at.Format("02.01.2006"), ";", g.at.Add(-time.Hour).Format("15:04"), ";", strconv.FormatBool(g.soldOut), "\n")
}

// listing is one JSON document.
type listing struct {
	*output
	many bool
}

func (w *listing) begin() { w.text(`{"gigs":[`) }
func (w *listing) end()   { w.text("]}\n") }

func (w *listing) gig(g gig) {
	if w.many {
		w.text(",")
	}
	w.many = true
	w.field("\n"+`{"who":`, g.artist)
	w.field(`,"where":`, halls[g.hall].name)
	w.field(`,"on":`, g.at.Format(time.DateOnly))
	w.field(`,"title":`, g.artist+" in "+halls[g.hall].city)
	w.field(`,"genre":`, genres[g.seed%uint64(len(genres))])
	w.text("}")
}
