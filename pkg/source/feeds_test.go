package source

import (
	"slices"
	"strings"
	"testing"
)

// gigs has two feeds that differ in nearly everything.
const gigs = `source: gigs
timezone: Europe/Berlin
http: {base_url: "https://tickets.example", auth: {bearer: "${TICKETS_TOKEN}"}, rate: {requests: 5}}
dates: [DD.MM.YYYY, iso]
feeds:
  tickets:
    fetch: {report: {path: "/gigs?day={from}", slice: 1d}}
    records:
      - object: {type: concert, key: "{artist|slug}/{day|date}", name: title, attributes: [price, url]}
  venues:
    http: {base_url: "https://venues.example"}
    fetch: {report: {format: csv}}
    dates: ["MM/DD/YYYY"]
    numbers: {decimal: ","}
    records:
      - object: {type: venue, key: hall, attributes: [city]}
      - object: {type: concert, key: "{artist|slug}/{day|date}", attributes: [doors, price], parent: {type: venue, key: hall}}
        stat: {day: day, metrics: [seats]}
annotate:
  cheap: 'price != nil and price < 20'
  place: 'parent("venue").city'
  late: 'doors != nil'
`

func parseFeeds(t *testing.T, text string) *Source {
	t.Helper()
	s, err := Parse([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func feedOf(t *testing.T, s *Source, name string) *Source {
	t.Helper()
	view, err := s.Feed(name)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func TestAFeedIsTheSourceWithWhatIsItsOwn(t *testing.T) {
	s := parseFeeds(t, gigs)
	tickets, venues := feedOf(t, s, "tickets"), feedOf(t, s, "venues")
	if tickets.HTTP.BaseURL != "https://tickets.example" || tickets.HTTP.Auth == nil || tickets.HTTP.Rate.Burst != 5 || tickets.Fetch.Report.Format != formatJSON {
		t.Errorf("tickets: %+v, %+v", tickets.HTTP, tickets.Fetch.Report)
	}
	if venues.HTTP.BaseURL != "https://venues.example" || venues.HTTP.Auth != nil || venues.HTTP.Rate != nil || venues.HTTP.Timeout != usualTimeout || venues.Fetch.Report.Format != formatCSV {
		t.Errorf("venues: %+v, %+v", venues.HTTP, venues.Fetch.Report)
	}
	if s.Hash == "" || tickets.Hash != s.Hash || venues.Hash != s.Hash || tickets.FeedName() != "tickets" || !slices.Equal(s.FeedNames(), []string{"tickets", "venues"}) {
		t.Errorf("versions %s, %s, %s; feeds %v", s.Hash, tickets.Hash, venues.Hash, s.FeedNames())
	}
	c := cutBytes(t, tickets, formatJSON, []byte(`[{"artist":"Ärzte","day":"20.11.2026","title":"Die Ärzte","price":19}]`))
	if len(c.parts) != 1 || len(c.rejects) > 0 {
		t.Fatal(c)
	}
	if p := c.parts[0]; p.Feed != "tickets" || p.Objects[0].Key != "arzte/2026-11-20" {
		t.Errorf("the part of tickets: %+v", p)
	}
	c = cutBytes(t, venues, formatCSV, []byte("artist,day,hall,city,doors,price,seats\nÄrzte,11/20/2026,Arena,Berlin,19:00,,\"1200,5\"\n"))
	if len(c.parts) != 1 || len(c.rejects) > 0 {
		t.Fatal(c)
	}
	if p := c.parts[0]; p.Feed != "venues" || p.Objects[1].Key != "arzte/2026-11-20" || string(p.Stats[0].Metrics.AppendJSON(nil)) != `{"seats":1200.5}` {
		t.Errorf("the part of venues: %+v", p)
	}
}

func TestTypesAreThoseOfAllFeeds(t *testing.T) {
	s := parseFeeds(t, gigs)
	venue, concert := s.Types()[0], s.Types()[1]
	if venue.Name != "venue" || concert.Name != "concert" || concert.Parent != "venue" || concert.Depth != 1 || !venue.RollsUp || !concert.HasStats {
		t.Errorf("types: %+v, %+v", venue, concert)
	}
	if got := strings.Join(concert.Attributes, " "); got != "doors price url" {
		t.Errorf("attributes of a concert: %s", got)
	}
	tags, failed := s.Annotate(Object{Type: "concert", Key: "a", Attrs: map[string]any{"price": 9, "doors": "19:00"}, Parents: []Object{{Type: "venue", Key: "Arena", Attrs: map[string]any{"city": "Berlin"}}}}, nil)
	if tags["cheap"] != true || tags["late"] != true || tags["place"] != "Berlin" || len(failed) > 0 {
		t.Errorf("tags %v, failed %v", tags, failed)
	}
	view := feedOf(t, s, "tickets")
	if of, ok := view.Type("concert"); !ok || of != concert {
		t.Error("a feed's concert is another type")
	}
	if rule, ok := s.StatRule("concert", ""); !ok || rule.Metrics.Names[0] != "seats" || concert.SharesStats() {
		t.Error("the stat rule of one feed is not the source's")
	}
}

func TestAFeedThatIsNotThereIsSaid(t *testing.T) {
	s, plain := parseFeeds(t, gigs), parseFeeds(t, rest)
	for _, c := range []struct {
		src        *Source
		feed, want string
	}{
		{s, "ticket", `feed: found "ticket"; source gigs has tickets, venues`},
		{s, "", `feed: missing; source gigs has tickets, venues`},
		{plain, "tickets", `feed: found "tickets", but source x has no feeds`},
	} {
		if _, err := c.src.Feed(c.feed); err == nil || err.Error() != c.want {
			t.Errorf("feed %q: %v, want %s", c.feed, err, c.want)
		}
	}
	if view, err := plain.Feed(""); view != plain || err != nil {
		t.Error("a source without feeds is not its own")
	}
}

func TestEachMistakeOfAFeedSaysWhatIsAllowed(t *testing.T) {
	const song = "{object: {type: song, key: id}}"
	for _, c := range []struct{ name, text, want string }{
		{"none", "feeds: {}\n", "2:8: feeds: found none; it must be a map of names to feeds, such as {tickets: {fetch: …, records: …}}"},
		{"a list", "feeds: [a]\n", "2:8: feeds: found a list; it must be a map of names to feeds, such as {tickets: {fetch: …, records: …}}"},
		{"a name", "feeds: {a-b: {records: [" + song + "]}}\n", `2:14: feeds.a-b: found "a-b"; a name has letters, digits and _, begins with a letter or _, and is at most 63 long`},
		{"a key", "feeds: {a: {record: [" + song + "]}}\n", "2:13: feeds.a.record: unknown key; did you mean records? allowed: http, fetch, records, numbers, dates"},
		{"no records", "feeds: {a: {fetch: {}}}\n", "2:12: feeds.a.records: missing; it says what the answer's records are"},
		{"records beside them", "records: [" + song + "]\nfeeds: {a: {records: [" + song + "]}}\n", "2:10: records: has no use beside feeds: each feed has its own"},
		{"a path without address", "feeds: {a: {fetch: {report: {path: /x}}, records: [" + song + "]}}\n", "2:12: feeds.a.http.base_url: missing; fetch.report.path is relative to it"},
		{"a secret in a feed", "feeds: {a: {http: {base_url: 'http://h', auth: {bearer: x}}, records: [" + song + "]}}\n",
			"2:57: feeds.a.http.auth.bearer: holds no ${NAME} or ${file:/path}; a secret is taken from the worker's environment or a file, and never written here"},
		{"two parents", "feeds:\n a: {records: [{object: {type: song, key: id, parent: {type: album, key: a}}}]}\n b: {records: [{object: {type: song, key: id, parent: {type: label, key: a}}}]}\n",
			"4:25: feeds.b.records[0].object: type song is below label here, and below album in a feed above; its objects have parents of one type"},
		{"a circle", "feeds:\n a: {records: [{object: {type: song, key: id, parent: {type: album, key: a}}}]}\n b: {records: [{object: {type: album, key: id, parent: {type: song, key: a}}}]}\n",
			"4:25: feeds.b.records[0].object: type album is below song here, which is below it in a feed above"},
		{"stats of one type without names", "feeds:\n a: {records: [{object: {type: song, key: id}, stat: {day: d, rule: a, metrics: [n]}}]}\n b: {records: [{object: {type: song, key: id}, stat: {day: d, metrics: [n]}}]}\n",
			"4:54: feeds.b.records[0].stat.rule: missing; type song has 2 stat rules, so each needs a name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte("source: x\n"+c.text), nil)
			if err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestExplainSaysWhatEachFeedDoes(t *testing.T) {
	var b strings.Builder
	if err := parseFeeds(t, gigs).Explain(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Asks, for its feed tickets\n  https://tickets.example/gigs?day={from}; the answer is json\n",
		"Asks, for its feed venues\n  nothing by itself: a job names the url; the answer is csv\n",
		"  concert, below venue\n    tickets: key {artist|slug}/{day|date}, name title, attributes price, url\n    venues: key {artist|slug}/{day|date}, name as the key, attributes doors, price\n",
		"  where feeds differ, the first that says something wins: tickets, venues\n",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("it lacks\n%sit is\n%s", line, b.String())
		}
	}
}
