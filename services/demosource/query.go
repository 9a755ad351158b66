package demosource

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostIDs is how many ads one request may name.
const mostIDs = 1000

// ids reads the ads that are asked for; nil for all.
func (q query) ids() (map[string]bool, error) {
	if q.Get("ids") == "" {
		return nil, nil
	}
	list := strings.Split(q.Get("ids"), ",")
	if len(list) > mostIDs {
		return nil, bad("ids are %d; at most %d at once", len(list), mostIDs)
	}
	only := make(map[string]bool, len(list))
	for _, id := range list {
		only[id] = true
	}
	return only, nil
}

// mostDays is the longest period that one request may ask for.
const mostDays = 400

// query reads the parameters of a request; its errors are for the client.
type query struct{ url.Values }

func (s *server) account(q query) (*account, error) {
	name := q.Get("account")
	allowed := strings.Join(s.cfg.Accounts, ", ")
	if name == "" {
		return nil, bad("account is missing; it is one of %s", allowed)
	}
	a, ok := s.accounts[name]
	if !ok {
		return nil, problem{http.StatusNotFound, "there is no account " + strconv.Quote(name) + "; there are " + allowed}
	}
	return a, nil
}

// period reads from and to; without them it is the last seven days.
func (q query) period(m moment) (from, to time.Time, err error) {
	if to, err = q.date("to", m.today()); err != nil {
		return from, to, err
	}
	if from, err = q.date("from", to.AddDate(0, 0, -6)); err != nil {
		return from, to, err
	}
	if from.After(to) {
		return from, to, bad("from %s is after to %s", from.Format(time.DateOnly), to.Format(time.DateOnly))
	}
	if days := int(to.Sub(from)/(24*time.Hour)) + 1; days > mostDays {
		return from, to, bad("from and to are %d days; at most %d at once", days, mostDays)
	}
	return from, to, nil
}

func (q query) date(name string, fallback time.Time) (time.Time, error) {
	text := q.Get(name)
	if text == "" {
		return fallback, nil
	}
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return d, bad("%s is %q; it must be a day such as 2026-11-14", name, text)
	}
	return d, nil
}

func (q query) number(name string, fallback, least, most int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, bad("%s is %q; it must be a number from %d to %d", name, text, least, most)
	}
	return n, nil
}

// oneOf reads a choice; the first is taken if there is none.
func (q query) oneOf(name string, choices ...string) (string, error) {
	text := q.Get(name)
	if text == "" {
		return choices[0], nil
	}
	if !slices.Contains(choices, text) {
		return "", bad("%s is %q; it must be one of %s", name, text, strings.Join(choices, ", "))
	}
	return text, nil
}
