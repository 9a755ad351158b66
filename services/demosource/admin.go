package demosource

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// adminRoutes change the platform while it runs, and say what it was asked.
func (s *server) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /admin/requests", s.showRequests)
	mux.HandleFunc("DELETE /admin/requests", s.resetRequests)
	mux.HandleFunc("GET /admin/state", s.showState)
	mux.HandleFunc("POST /admin/faults", s.change(setFaults))
	mux.HandleFunc("POST /admin/revise", s.change(revise))
	mux.HandleFunc("POST /admin/clock", s.change(s.setClock))
}

func (s *server) showRequests(w http.ResponseWriter, _ *http.Request) {
	endpoints := s.requests.counts()
	var count, bytes int64
	for _, t := range endpoints {
		count += t.Count
		bytes += t.Bytes
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": count, "bytes": bytes, "endpoints": endpoints})
}

func (s *server) resetRequests(w http.ResponseWriter, _ *http.Request) {
	s.requests.reset()
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) showState(w http.ResponseWriter, _ *http.Request) {
	m := s.snapshot()
	s.mu.Lock()
	f := s.state.faults
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"as_of":    m.asOf,
		"today":    m.today().Format(time.DateOnly),
		"revision": len(m.revisions),
		"cursor":   m.present().String(),
		"faults": map[string]any{
			"latency": f.Latency.String(), "retry-after": f.RetryAfter.String(),
			"fail-429": f.Fail429, "fail-503": f.Fail503, "cut": f.Cut, "garbage": f.Garbage, "hang": f.Hang, "next": f.Next, "slow-report": f.SlowReport, "fail-report": f.FailReport,
		},
	})
}

// change makes an endpoint of a change to the state; it answers with the state.
func (s *server) change(apply func(state, url.Values) (state, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.apply(apply, r.URL.Query()); err != nil {
			writeError(w, problem{http.StatusBadRequest, err.Error()})
			return
		}
		s.showState(w, r)
	}
}

func (s *server) apply(apply func(state, url.Values) (state, error), asked url.Values) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := apply(s.state, asked)
	if err == nil {
		s.state = next
	}
	return err
}

// setFaults sets the faults named; all others cease.
func setFaults(st state, asked url.Values) (state, error) {
	st.faults = Faults{RetryAfter: st.faults.RetryAfter}
	for name := range asked {
		if err := st.faults.Set(name, asked.Get(name)); err != nil {
			return st, err
		}
	}
	return st, nil
}

// revise changes a share of all (ad, day) pairs, today's too, at once.
func revise(st state, asked url.Values) (state, error) {
	share := 0.01
	if text := asked.Get("share"); text != "" {
		if err := setShare(&share, "share", text); err != nil {
			return st, err
		}
	}
	st.revisions = append(st.revisions, millionths(share))
	return st, nil
}

// setClock puts the clock to a time (at) or forward (advance); it goes on from there.
func (s *server) setClock(st state, asked url.Values) (state, error) {
	if text := asked.Get("advance"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return st, fmt.Errorf("advance is %s; it must be a duration such as 1h", strconv.Quote(text))
		}
		st.offset += d
		return st, nil
	}
	at, err := time.Parse(time.RFC3339, asked.Get("at"))
	if err != nil {
		return st, fmt.Errorf("at is %s; it must be a time such as 2026-11-14T13:00:00Z, or else advance be given", strconv.Quote(asked.Get("at")))
	}
	st.offset = at.Sub(s.cfg.Now())
	return st, nil
}
