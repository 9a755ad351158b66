package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// shopSource restates everything a source can: names, parents, numbers, and
// stats that are absent now. Few values, so that what was once true becomes true
// again: what is seen and equal is not written, and must be remembered all the same.
const shopSource = `
source: shop
timezone: UTC
http: {base_url: "%s"}
fetch:
  report: {path: "/shop?from={from}&to={to}", format: json, slice: 2d, lookback: 6d}
records:
  - each: rows
    object: {type: item, key: item, name: name, attributes: [color], parent: {type: shelf, key: shelf}}
    stat: {day: day, dimensions: [os], metrics: [sold, seen]}
stats: {kind: total, absent: zero}
annotate:
  where: 'parent("shelf").key + "/" + name'
rollup: {dimensions: [os]}
`

const (
	shopItems  = 40
	shopShelf  = 5 // shelves; item i < shopShelf never leaves shelf i, so that none is ever empty
	shopDays   = 6
	revised    = 0.3                     // of all values, at a revision
	apart      = 1200 * time.Millisecond // two whole answers of a source with absent: zero are told apart if a second lies between
	shopColors = 3
)

type shopItem struct {
	shelf, name, color int
	sold               [shopDays][2]int // by os; that of the first is never 0, that of the second is absent when it is
}

// A shop is a source that can say anything from one revision to the next.
type shop struct {
	first  time.Time // day
	mu     sync.Mutex
	items  [shopItems]shopItem
	served time.Time // when the last answer began
}

func newShop(first time.Time, r *rand.Rand) *shop {
	s := &shop{first: first}
	s.revise(r, 1)
	return s
}

// revise draws a share of all values anew.
func (s *shop) revise(r *rand.Rand, share float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait()
	draw := func(v *int, from, to int) {
		if r.Float64() < share {
			*v = from + r.IntN(to-from+1)
		}
	}
	for i := range s.items {
		it := &s.items[i]
		draw(&it.shelf, 0, shopShelf-1)
		if i < shopShelf {
			it.shelf = i
		}
		draw(&it.name, 0, 2)
		draw(&it.color, 0, shopColors-1)
		for day := range it.sold {
			draw(&it.sold[day][0], 1, 3)
			draw(&it.sold[day][1], 0, 2)
		}
	}
}

// waver revises everything, until back is called.
func (s *shop) waver(r *rand.Rand) (back func()) {
	s.mu.Lock()
	before := s.items
	s.mu.Unlock()
	s.revise(r, 1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wait()
		s.items = before
	}
}

// wait waits until an answer that differs from the last is told apart from it.
func (s *shop) wait() { time.Sleep(time.Until(s.served.Add(apart))) }

type shopRow struct {
	Item  string `json:"item"`
	Name  string `json:"name"`
	Color string `json:"color"`
	Shelf string `json:"shelf"`
	Day   string `json:"day"`
	OS    string `json:"os"`
	Sold  int    `json:"sold"`
	Seen  int    `json:"seen"`
}

// ServeHTTP answers with the rows of the days asked for.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rows := s.rows(r.URL.Query().Get("from"), r.URL.Query().Get("to"))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"rows": rows}) // the client may be killed
}

func (s *shop) rows(from, to string) []shopRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served = time.Now()
	rows := []shopRow{}
	for i, it := range s.items {
		for d, sold := range it.sold {
			day := s.first.AddDate(0, 0, d).Format(time.DateOnly)
			for os, n := range sold {
				if day < from || day > to || n == 0 {
					continue
				}
				rows = append(rows, shopRow{
					fmt.Sprintf("i%d", i), fmt.Sprintf("name %d", it.name), fmt.Sprintf("c%d", it.color), fmt.Sprintf("s%d", it.shelf),
					day, [2]string{"ios", "android"}[os], n, 10 * n,
				})
			}
		}
	}
	return rows
}
