package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leatflow/leat/services/demosource"
)

var sourceNames = []string{"ads", "shop", "hours", "plays"}

// Sources are what Leat fetches: four of them, one of each kind. They restate
// all the while, and what they say in the end is what Leat must hold.
//
//	ads    totals, nested JSON. Its clock is put forward and back: what it said returns
//	shop   totals, absent: zero, and objects that move
//	hours  hours; its clock goes forward
//	plays  events, of which each counts once; so does its
type sources struct {
	base      time.Time // where the clocks begin
	shop      *shop
	ads       *httptest.Server // clock goes both ways
	feeds     *httptest.Server // clock goes forward
	shops     *httptest.Server
	adsClock  time.Duration // relative to base
	feedClock time.Duration
}

func newSources(r *rand.Rand) *sources {
	y, m, d := time.Now().UTC().AddDate(0, 0, -2).Date() // events are kept for 7 days, so the day is not longer ago
	s := &sources{base: time.Date(y, m, d, 1, 0, 0, 0, time.UTC)}
	cfg := demosource.DefaultConfig()
	cfg.Size, cfg.Seed, cfg.Now = 60_000, r.Uint64(), func() time.Time { return s.base }
	s.shop = newShop(s.day(-shopDays), r)
	s.ads, s.feeds = httptest.NewServer(demosource.New(cfg)), httptest.NewServer(demosource.New(cfg))
	s.shops = httptest.NewServer(s.shop)
	return s
}

func (s *sources) close() {
	for _, server := range []*httptest.Server{s.ads, s.feeds, s.shops} {
		server.CloseClientConnections()
		server.Close()
	}
}

// day is a day relative to that of the clocks.
func (s *sources) day(n int) time.Time { return s.base.Truncate(24*time.Hour).AddDate(0, 0, n) }

// jobs are the jobs that fetch all that the sources say, one each.
func (s *sources) jobs() []string {
	job := func(source string, from, to int) string {
		return fmt.Sprintf(`{"source":%q,"mode":"backfill","from":%q,"to":%q}`, source, s.day(from).Format(time.DateOnly), s.day(to).Format(time.DateOnly))
	}
	return []string{job("ads", -14, -5), job("shop", -shopDays, -1), job("hours", -1, 0), job("plays", -1, 0)}
}

// write puts the source files into a folder: the shipped ones with other addresses.
func (s *sources) write(shipped, folder string) error {
	files := map[string]string{"shop.yaml": fmt.Sprintf(shopSource, s.shops.URL)}
	for name, server := range map[string]*httptest.Server{"ads.yaml": s.ads, "markets.csv": s.ads, "hours.yaml": s.feeds, "plays.yaml": s.feeds} {
		text, err := os.ReadFile(filepath.Join(shipped, name))
		if err != nil {
			return err
		}
		files[name] = strings.ReplaceAll(string(text), "http://127.0.0.1:8090", server.URL)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// restate has one of the sources say something else.
func (s *sources) restate(r *rand.Rand) error {
	switch r.IntN(4) {
	case 0:
		return admin(s.ads, "revise", url.Values{"share": {"0.1"}})
	case 1: // hours and days, as of a source whose clock was put right
		s.adsClock = time.Duration(r.IntN(6*24)-3*24) * time.Hour
		return s.setClock(s.ads, s.adsClock)
	case 2:
		if s.feedClock < 21*time.Hour { // within the day
			s.feedClock += 20 * time.Minute
		}
		return s.setClock(s.feeds, s.feedClock)
	}
	s.shop.revise(r, revised)
	return nil
}

func (s *sources) setClock(of *httptest.Server, to time.Duration) error {
	return admin(of, "clock", url.Values{"at": {s.base.Add(to).Format(time.RFC3339)}})
}

// waver has ads and shop say something else until back is called.
func (s *sources) waver(r *rand.Rand) (back func() error, err error) {
	shopBack := s.shop.waver(r)
	return func() error {
		shopBack()
		return s.setClock(s.ads, s.adsClock)
	}, s.setClock(s.ads, s.adsClock+100*time.Hour)
}

// lie has the platforms answer badly: a share of answers is cut off, garbage,
// 503 or 429. None of it: they are well again.
func (s *sources) lie(faults url.Values) error {
	if err := admin(s.ads, "faults", faults); err != nil {
		return err
	}
	return admin(s.feeds, "faults", faults)
}

func admin(of *httptest.Server, what string, values url.Values) error {
	response, err := http.Post(of.URL+"/admin/"+what+"?"+values.Encode(), "", nil) //nolint:noctx // it is in this process
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", what, response.Status)
	}
	return nil
}
