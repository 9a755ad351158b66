package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/deadletter"
)

// A Server serves the JSON API and the pages. It asks nobody for a password: it
// listens on loopback, or stands behind a proxy that lets only operators in.
type Server struct {
	Store      deadletter.Store
	Hosts      []string // names that it may be asked for by, besides addresses and localhost
	UserHeader string   // in which the proxy says who asks; empty: everybody is anonymous
	Log        *zap.Logger
}

// Start serves until stop is called. Requests under way then end at once: they
// are cheap to ask again.
func (s *Server) Start(listen string) (stop func(), err error) {
	l, err := daemon.Listen(listen)
	if err != nil || l == nil {
		return func() {}, err
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with ErrServerClosed
	}()
	s.Log.Info("serving", zap.Stringer("console", l.Addr()))
	return func() { _ = server.Close(); <-done }, nil
}

// Handler serves requests of people and programs. A browser's page of another
// site can neither post to it nor, by a host name of its own, read from it.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.routeAPI(mux)
	s.routePages(mux)
	inner := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
		if !s.mayBeAskedAs(r.Host) {
			http.Error(w, "this host name is not in console.hosts", http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

func (s *Server) mayBeAskedAs(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = string(bytes.Trim([]byte(host), "[]"))
	return host == "localhost" || net.ParseIP(host) != nil || slices.Contains(s.Hosts, host)
}

// by is who asks.
func (s *Server) by(r *http.Request) audit.By {
	who := "anonymous"
	if s.UserHeader != "" && r.Header.Get(s.UserHeader) != "" {
		who = r.Header.Get(s.UserHeader)
	}
	return audit.By{Who: who[:min(len(who), 200)], Via: "http"}
}

// answer writes what f returns as JSON, without passwords.
func (s *Server) answer(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		status := http.StatusOK
		if err != nil {
			status, v = s.status(err), map[string]string{"error": err.Error()}
		}
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			s.Log.Error("answer", zap.String("path", r.URL.Path), zap.Error(err))
			status = http.StatusInternalServerError
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(redact.Text(text.String()))) // the client has gone away: nobody to tell
	}
}

// status is HTTP's word for an error.
func (s *Server) status(err error) int {
	err = postgres.Classify(err)
	switch {
	case errors.Is(err, deadletter.ErrNone):
		return http.StatusNotFound
	case errors.Is(err, deadletter.ErrAsked):
		return http.StatusBadRequest
	case pipeline.IsUnavailable(err):
		return http.StatusServiceUnavailable
	}
	s.Log.Error("request", zap.Error(err))
	return http.StatusInternalServerError
}
