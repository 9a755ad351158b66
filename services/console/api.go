package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/deadletter"
)

const (
	fewLetters  = 50      // of a page
	manyLetters = 1000    // that one may ask for
	longestBody = 9 << 20 // of a request: an edited message, and its frame
)

func (s *Server) routeAPI(mux *http.ServeMux) {
	for pattern, f := range map[string]func(*http.Request) (any, error){
		"GET /api/dead":                   s.list,
		"GET /api/dead/groups":            s.groups,
		"GET /api/dead/{id}":              s.show,
		"POST /api/dead/{id}/edit":        s.edit,
		"POST /api/dead/replay":           s.replay,
		"POST /api/dead/drop":             s.drop,
		"GET /api/replays":                s.replays,
		"GET /api/replays/{id}":           s.progress,
		"POST /api/replays/{id}/{action}": s.control,
		"GET /api/audit":                  s.audit,
	} {
		mux.HandleFunc(pattern, s.answer(f))
	}
}

// A page says which letters a request is about.
type page struct {
	filter deadletter.Filter
	before int64
	limit  int
}

func pageOf(q url.Values) (p page, err error) {
	p.filter = deadletter.Filter{
		State: q.Get("state"), Stage: q.Get("stage"), Class: q.Get("error_class"), Source: q.Get("source"), Job: q.Get("job_id"), Group: q.Get("fingerprint"),
	}
	if text := q.Get("since"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return p, deadletter.Asked("since: found %q; a time such as 2026-11-20T15:04:05Z is allowed", text)
		}
		p.filter.Since = &since
	}
	if p.before, err = numberOf(q, "before", 0, 1<<62); err != nil {
		return p, err
	}
	limit, err := numberOf(q, "limit", fewLetters, manyLetters)
	p.limit = int(limit)
	return p, err
}

func numberOf(q url.Values, name string, standard, most int64) (int64, error) {
	text := q.Get(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, deadletter.Asked("%s: found %q; a number from 1 to %d is allowed", name, text, most)
	}
	return n, nil
}

func idOf(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, deadletter.Asked("found %q; an id is a number", r.PathValue("id"))
	}
	return id, nil
}

// read reads a request's JSON; a field that is not known is an error.
func read(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, longestBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return deadletter.Asked("the request: %w", err)
	}
	return nil
}

func (s *Server) list(r *http.Request) (any, error) {
	p, err := pageOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	return s.Store.List(r.Context(), p.filter, p.before, p.limit)
}

func (s *Server) groups(r *http.Request) (any, error) {
	p, err := pageOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	return s.Store.Groups(r.Context(), p.filter, p.limit)
}

func (s *Server) show(r *http.Request) (any, error) {
	id, err := idOf(r)
	if err != nil {
		return nil, err
	}
	return s.Store.Show(r.Context(), id)
}

// edit takes the new body as JSON, or as a text that holds it.
func (s *Server) edit(r *http.Request) (any, error) {
	var ask struct {
		Body json.RawMessage `json:"body"`
		Why  string          `json:"why"`
	}
	id, err := idOf(r)
	if err == nil {
		err = read(r, &ask)
	}
	if err != nil {
		return nil, err
	}
	body := []byte(ask.Body)
	var text string
	if json.Unmarshal(body, &text) == nil {
		body = []byte(text)
	}
	return s.Store.Edit(r.Context(), id, body, s.by(r), ask.Why)
}

// A choice is the letters that are replayed or dropped. All stands for a filter
// that lets all pass; with a count, that many must be meant.
type choice struct {
	Filter deadletter.Filter `json:"filter"`
	All    bool              `json:"all"`
	Count  *int              `json:"count"`
	Rate   int               `json:"rate"`
	Why    string            `json:"why"`
}

func (s *Server) chosen(r *http.Request) (ask choice, ids []int64, err error) {
	if err := read(r, &ask); err != nil {
		return ask, nil, err
	}
	if ids, err = s.meant(r, ask); err != nil {
		return ask, nil, err
	}
	return ask, ids, nil
}

func (s *Server) meant(r *http.Request, ask choice) ([]int64, error) {
	if ask.Filter.Empty() && !ask.All {
		return nil, deadletter.Asked(`say which letters: a filter, or "all": true`)
	}
	ids, err := s.Store.IDs(r.Context(), ask.Filter)
	if err == nil && ask.Count != nil && *ask.Count != len(ids) {
		err = deadletter.Asked("count: %d were expected, %d are meant now; nothing was done", *ask.Count, len(ids))
	}
	return ids, err
}

func (s *Server) replay(r *http.Request) (any, error) {
	ask, ids, err := s.chosen(r)
	if err != nil {
		return nil, err
	}
	return s.Store.Start(r.Context(), deadletter.Plan{IDs: ids, Rate: ask.Rate, By: s.by(r), Why: ask.Why})
}

func (s *Server) drop(r *http.Request) (any, error) {
	ask, ids, err := s.chosen(r)
	if err != nil {
		return nil, err
	}
	n, err := s.Store.Drop(r.Context(), ids, s.by(r), ask.Why)
	return map[string]int{"dropped": n}, err
}

func (s *Server) replays(r *http.Request) (any, error) {
	limit, err := numberOf(r.URL.Query(), "limit", fewLetters, manyLetters)
	if err != nil {
		return nil, err
	}
	return s.Store.Replays(r.Context(), int(limit))
}

func (s *Server) progress(r *http.Request) (any, error) {
	id, err := idOf(r)
	if err != nil {
		return nil, err
	}
	return s.Store.Replay(r.Context(), id)
}

func (s *Server) control(r *http.Request) (any, error) {
	var ask struct {
		Why string `json:"why"`
	}
	id, err := idOf(r)
	if err == nil {
		err = read(r, &ask)
	}
	if err != nil {
		return nil, err
	}
	return s.Store.Control(r.Context(), id, r.PathValue("action"), s.by(r), ask.Why)
}

func (s *Server) audit(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, err := numberOf(q, "limit", fewLetters, manyLetters)
	if err != nil {
		return nil, err
	}
	before, err := numberOf(q, "before", 0, 1<<62)
	if err != nil {
		return nil, err
	}
	return audit.List(r.Context(), s.Store.DB, audit.Filter{Action: q.Get("action"), Subject: q.Get("subject"), Before: before, Limit: int(limit)})
}
