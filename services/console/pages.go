package console

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/deadletter"
)

//go:embed pages/*.html
var files embed.FS

var pages = parsePages("groups", "letters", "letter", "confirm", "replays", "replay", "audit", "wrong")

func parsePages(names ...string) map[string]*template.Template {
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = redacting(template.Must(template.New("frame.html").Funcs(template.FuncMap{
			"time":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
			"json":     pretty,
			"redacted": redacted,
		}).ParseFS(files, "pages/frame.html", "pages/"+name+".html")))
	}
	return all
}

// pretty writes what is JSON for reading, and anything else as it is.
func pretty(body []byte) string {
	var text bytes.Buffer
	switch {
	case json.Indent(&text, body, "", "  ") == nil:
		return text.String()
	case utf8.Valid(body):
		return string(body)
	}
	return fmt.Sprintf("%q", body)
}

func (s *Server) routePages(mux *http.ServeMux) {
	for pattern, p := range map[string]struct {
		name string
		data func(*http.Request) (any, error)
	}{
		"GET /{$}":          {"groups", s.groupsPage},
		"GET /dead":         {"letters", s.lettersPage},
		"GET /dead/{id}":    {"letter", s.letterPage},
		"GET /confirm":      {"confirm", s.confirmPage},
		"GET /replays":      {"replays", s.replays},
		"GET /replays/{id}": {"replay", s.progress},
		"GET /audit":        {"audit", s.audit},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			data, err := p.data(r)
			s.render(w, p.name, data, err)
		})
	}
	for pattern, do := range map[string]func(*http.Request) (to string, err error){
		"POST /dead/{id}":    s.editForm,
		"POST /confirm":      s.confirmForm,
		"POST /replays/{id}": s.controlForm,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, longestBody)
			to, err := do(r)
			if err != nil {
				s.render(w, "", nil, err)
				return
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
		})
	}
}

// render writes a page without passwords, or says what went wrong.
func (s *Server) render(w http.ResponseWriter, name string, data any, err error) {
	var text bytes.Buffer
	status := http.StatusOK
	if err == nil {
		err = pages[name].Execute(&text, data)
	}
	if err != nil {
		status = s.status(err)
		text.Reset()
		_ = pages["wrong"].Execute(&text, err.Error()) // it has nothing that could fail
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(redact.Text(text.String()))) // the client has gone away: nobody to tell
}

func (s *Server) groupsPage(r *http.Request) (any, error) { return s.groups(r) }

// A lettersView is a page of the list.
type lettersView struct {
	Query   url.Values
	States  []string
	Letters []deadletter.Letter
	Next    string // the address of the next page
	All     string // the query that means all of the list, where something can be done to it
}

func (s *Server) lettersPage(r *http.Request) (any, error) {
	q := r.URL.Query()
	p, err := pageOf(q)
	if err != nil {
		return nil, err
	}
	v := lettersView{Query: q, States: deadletter.States}
	if v.Letters, err = s.Store.List(r.Context(), p.filter, p.before, p.limit); err != nil {
		return nil, err
	}
	q.Del("before")
	if p.filter.State == "" || p.filter.State == deadletter.Dead || p.filter.State == deadletter.Dropped {
		q.Set("state", p.filter.State)
		v.All = q.Encode()
	}
	if n := len(v.Letters); n == p.limit {
		q.Set("before", strconv.FormatInt(v.Letters[n-1].ID, 10))
		v.Next = "/dead?" + q.Encode()
	}
	return v, nil
}

// A letterView is all about one letter.
type letterView struct {
	deadletter.Shown
	Text     string
	Editable bool // a body with a password is not: the page shows it without
}

func (s *Server) letterPage(r *http.Request) (any, error) {
	id, err := idOf(r)
	if err != nil {
		return nil, err
	}
	d, err := s.Store.Show(r.Context(), id)
	if err != nil {
		return nil, err
	}
	text := pretty(d.Raw())
	return letterView{Shown: d, Text: text, Editable: d.State == deadletter.Dead && redact.Text(text) == text}, nil
}

func (s *Server) editForm(r *http.Request) (string, error) {
	id, err := idOf(r)
	if err != nil {
		return "", err
	}
	if _, err := s.Store.Edit(r.Context(), id, []byte(r.PostFormValue("body")), s.by(r), r.PostFormValue("why")); err != nil {
		return "", err
	}
	return fmt.Sprint("/dead/", id), nil
}

// A confirmView asks whether what the query means is to be replayed or dropped.
type confirmView struct {
	Query  string
	Count  int
	Groups []deadletter.Group
}

func (s *Server) confirmPage(r *http.Request) (any, error) {
	f, err := filterOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	v := confirmView{Query: r.URL.RawQuery}
	ids, err := s.Store.IDs(r.Context(), f)
	if err != nil {
		return nil, err
	}
	v.Count = len(ids)
	v.Groups, err = s.Store.Groups(r.Context(), f, fewLetters)
	return v, err
}

// filterOf is the filter of a query, with the ids that it names.
func filterOf(q url.Values) (deadletter.Filter, error) {
	p, err := pageOf(q)
	if err != nil {
		return p.filter, err
	}
	for _, text := range q["id"] {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return p.filter, deadletter.Asked("found %q; an id is a number", text)
		}
		p.filter.IDs = append(p.filter.IDs, id)
	}
	return p.filter, nil
}

// confirmForm does what was confirmed, to as many letters as were shown.
func (s *Server) confirmForm(r *http.Request) (string, error) {
	q, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		return "", deadletter.Asked("query: %w", err)
	}
	ask := choice{All: true, Why: strings.TrimSpace(r.PostFormValue("why"))}
	if ask.Filter, err = filterOf(q); err != nil {
		return "", err
	}
	count, err := strconv.Atoi(r.PostFormValue("count"))
	if ask.Rate = 0; err == nil && r.PostFormValue("rate") != "" {
		ask.Rate, err = strconv.Atoi(r.PostFormValue("rate"))
	}
	if err != nil {
		return "", deadletter.Asked("count, rate: numbers are allowed")
	}
	ask.Count = &count
	ids, err := s.meant(r, ask)
	if err != nil {
		return "", err
	}
	switch r.PostFormValue("do") {
	case audit.Replay:
		replay, err := s.Store.Start(r.Context(), deadletter.Plan{IDs: ids, Rate: ask.Rate, By: s.by(r), Why: ask.Why})
		return fmt.Sprint("/replays/", replay.ID), err
	case audit.Drop:
		_, err := s.Store.Drop(r.Context(), ids, s.by(r), ask.Why)
		return "/", err
	}
	return "", deadletter.Asked("do: replay and drop are allowed")
}

func (s *Server) controlForm(r *http.Request) (string, error) {
	id, err := idOf(r)
	if err != nil {
		return "", err
	}
	_, err = s.Store.Control(r.Context(), id, r.PostFormValue("do"), s.by(r), r.PostFormValue("why"))
	return fmt.Sprint("/replays/", id), err
}
