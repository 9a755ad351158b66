// Package demosource is a make-believe ad platform and event feed over HTTP, to
// try Leat on and to test it with.
//
// In: a seed, a size and a clock. Out: reports of campaigns, adgroups, ads and
// their daily metrics, a list of what changed, pages of ads, page-view events,
// hourly rows, and concerts as three feeds tell of them.
//
// Every answer is a pure function of the seed, the account, the days asked for,
// the hour it is and the revisions made: within an hour the same request has
// the same bytes; the posts of feedapart go by the second. Today's totals grow by the hour and never shrink; a day that
// is over is restated now and then for 30 days. Nothing is stored but which
// reports were ordered, so an answer of a gigabyte needs no more memory than one of a kilobyte.
//
//	GET    /ads/report      account, from, to, ids, format (json, ndjson, csv)
//	GET    /ads/changes     account, since
//	GET    /ads/pages       account, from, to, ids, cursor, limit
//	POST   /ads/reports     account, from, to, ids, format: begins a report; a body of JSON may have them
//	GET    /ads/reports/ID  whether it is ready; DELETE forgets it
//	GET    /ads/reports/ID/file
//	GET    /events          day, count
//	GET    /hours           day, pages
//	GET    /companies/list  count: names as CSV, one of them with a NUL in it
//	GET    /companies/website  name: the company's site, or 404
//	GET    /companies/grade    site: A to E
//	GET    /gigs/tickets    day, looks (ndjson)
//	GET    /gigs/venues     day, looks (csv)
//	GET    /gigs/listings   day, looks (json)
//	GET    /feedapart/messages  every, lasts, since: a stream of server-sent events
//	GET    /feedapart/photos    every
//	POST   /oauth/token     OAuth 2: client_credentials, refresh_token
//	GET    /healthz
//	GET    /admin/requests  what was asked; DELETE begins the count anew
//	GET    /admin/state     the hour, the revision and the faults
//	POST   /admin/faults    latency, fail-429, fail-503, cut, garbage, hang, next, retry-after, slow-report, fail-report
//	POST   /admin/revise    share
//	POST   /admin/clock     at, advance
//
// The feeds also take fault (cut, garbage:0.5, latency:2s,503 or none),
// which holds for that request alone.
package demosource

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "time/tzdata" // Location must not depend on what the machine has installed
)

// Config says what the make-believe platform looks like and how it misbehaves.
type Config struct {
	// Accounts are the platform's customers. Every id begins with its account's name.
	Accounts []string
	// Seed makes another platform of the same size.
	Seed uint64
	// Size is about how many bytes the JSON reports of all accounts together
	// have, for 14 days that are over. See ParseSize.
	Size int64
	// Changed is the share of all (ad, day) pairs of the last 30 days that is
	// restated each hour.
	Changed float64
	// Location decides when a day begins. Defaults to UTC.
	Location *time.Location
	// Now is the clock. Answers depend only on its hour. Defaults to time.Now.
	Now func() time.Time
	// Gzip lets answers be compressed for clients that accept it.
	Gzip bool
	// Token, if set, must be sent to the feeds: as a bearer token, the password of
	// any user, the header X-Api-Key or the parameter key.
	Token string
	// Client is an OAuth 2 client, ID:SECRET. If set, the feeds ask for a bearer
	// token that /oauth/token has given. A refresh token is good for one time; the
	// first is the client's secret.
	Client string
	// TokenLifetime is how long such a token is good for. Defaults to an hour.
	TokenLifetime time.Duration
	// Faults are what goes wrong from the start; /admin/faults changes them.
	Faults Faults
}

// DefaultConfig returns two small accounts that keep Berlin's days and do nothing wrong.
func DefaultConfig() Config {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(fmt.Sprintf("demosource: the time zones compiled in lack Berlin: %v", err))
	}
	return Config{
		Accounts: []string{"acme", "globex"},
		Seed:     1,
		Size:     200_000,
		Changed:  0.01,
		Location: berlin,
		Now:      time.Now,
		Faults:   Faults{RetryAfter: time.Second},
	}
}

var accountName = regexp.MustCompile(`^[A-Za-z0-9_]{1,40}$`)

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	if len(c.Accounts) == 0 {
		return errors.New("accounts: at least one is needed")
	}
	for _, name := range c.Accounts {
		if !accountName.MatchString(name) {
			return fmt.Errorf("accounts: %q must be 1 to 40 letters, digits or _", name)
		}
	}
	if id, secret, ok := strings.Cut(c.Client, ":"); c.Client != "" && (!ok || id == "" || secret == "") {
		return errors.New("client: it must be ID:SECRET")
	}
	if !(c.Changed >= 0 && c.Changed <= 1) {
		return fmt.Errorf("changed: %v is not a share from 0 to 1", c.Changed)
	}
	return nil
}

// server answers requests. What can be changed while it runs is in state.
type server struct {
	cfg      Config
	accounts map[string]*account
	requests requestLog
	grants   grants
	orders   orders
	numbers  atomic.Uint64 // of the requests so far; decides which of them fail

	mu    sync.Mutex
	state state
}

// state is what /admin changes.
type state struct {
	faults    Faults
	revisions []int64       // of each revision, the share it changed, in millionths
	offset    time.Duration // added to the clock
}

// New returns the platform, to be served by http.Server or httptest.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	s := &server{cfg: cfg, accounts: newAccounts(cfg), state: state{faults: cfg.Faults}}
	mux := http.NewServeMux()
	s.adminRoutes(mux)
	mux.HandleFunc("POST /oauth/token", s.grant)
	s.feedRoutes(mux)
	return s.requests.count(mux)
}

// feedRoutes are the endpoints that play the platform, and misbehave on demand.
func (s *server) feedRoutes(mux *http.ServeMux) {
	for path, answer := range map[string]answerFunc{
		"/ads/report":  s.report,
		"/ads/changes": s.changes,
		"/ads/pages":   s.pages,
		"/events":      s.events,
		"/hours":       s.hours,

		"/companies/list":    s.companyList,
		"/companies/website": s.website,
		"/companies/grade":   s.grade,
		"/gigs/tickets":      s.gigs(0, "ndjson", func(out *output) gigWriter { return ticketLines{out} }),
		"/gigs/venues":       s.gigs(1, "csv", func(out *output) gigWriter { return venueRows{out} }),
		"/gigs/listings":     s.gigs(2, "json", func(out *output) gigWriter { return &listing{output: out} }),
	} {
		mux.Handle("GET "+path, s.misbehave(s.authorize(s.feed(answer))))
	}
	s.orderRoutes(mux)
	mux.Handle("GET /feedapart/messages", s.authorize(http.HandlerFunc(s.messages))) // to cut it off its length is not known: lasts does
	mux.Handle("GET /feedapart/photos", s.misbehave(s.authorize(http.HandlerFunc(s.photos))))
}

// snapshot is the moment that one request is answered at.
func (s *server) snapshot() moment {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return newMoment(now, s.cfg, s.state.revisions)
}

// now is the platform's clock.
func (s *server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Now().Add(s.state.offset)
}
