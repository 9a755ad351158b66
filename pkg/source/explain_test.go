package source

import (
	"errors"
	"strings"
	"testing"
)

func TestExplainSaysWhatASourceDoes(t *testing.T) {
	s := parsed(t, design)
	var b strings.Builder
	if err := s.Explain(&b); err != nil {
		t.Fatal(err)
	}
	want := `Source ads, version ` + s.Hash + `

Asks
  http://127.0.0.1:8090/ads/report?account={account}&from={from}&to={to}; the answer is json
  a backfill asks for the last 14 days, 7 days a request; mode full begins at 2026-01-01
  raw answers are kept for 30 days
  accounts: acme, globex
  a day begins in Europe/Berlin, for acme in America/New_York

Objects
  campaign: key id, name name, attributes budget, status
  adgroup, below campaign: key id, name name
  ad, below adgroup: key id, name name, attributes headline, url

Stats, of kind total: a value is the day's total as known now, and replaces the one before
  what is absent from an answer that has others of its object and day is zero
  ad: day date, by os, every other field with a number is a metric

Tags
  brand, of campaign, adgroup, ad: name matches "(?i)acme"
  market, of adgroup, ad: lookup("markets", parent("campaign").name)

Documents, in the collection ads
  campaign: one for each and half-year, by day and hour, by os; the sums of what is below it
  adgroup: one for each and half-year, by day and hour, by os; the sums of what is below it
  ad: one for each and half-year, by day and hour, by os
  not added up in parents: reach
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestExplainSaysWhatIsNotThere(t *testing.T) {
	s := parsed(t, with("records: [{object: {type: song, key: id, parent: {type: band, key: band}}}]\n"))
	var b strings.Builder
	if err := s.Explain(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  nothing by itself: a job names the url; the answer is json\n",
		"  band: only named as the parent of others; its name is its key\n",
		"  song, below band: key id, name as the key\n",
		"replaces the one before\n  none\n", "Tags\n  none\n", "  song: one for each, without days\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestExplainReturnsTheWritersError(t *testing.T) {
	if err := parsed(t, design).Explain(full{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}
