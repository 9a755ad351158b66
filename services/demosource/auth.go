package demosource

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// authorize asks for the token, if there is one, or for one that was given.
func (s *server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Token != "" && shownToken(r) != s.cfg.Token || s.cfg.Client != "" && !s.grants.good(bearer(r), s.now()) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, problem{http.StatusUnauthorized, "a token is needed, and it must be the right one"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// shownToken is the token of a request, in whichever way it is shown.
func shownToken(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	for _, token := range []string{r.Header.Get("X-Api-Key"), r.URL.Query().Get("key")} {
		if token != "" {
			return token
		}
	}
	return bearer(r)
}

// grants are the tokens that were given.
type grants struct {
	mu      sync.Mutex
	count   int
	access  map[string]time.Time // until when
	refresh string               // the one that is good now; "": the first
}

func (g *grants) good(token string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Before(g.access[token])
}

// give gives a token, and a refresh token for one that was good: first is the first.
func (g *grants) give(until time.Time, old, first string) (access, refresh string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old != "" && old != cmp.Or(g.refresh, first) {
		return "", "", false
	}
	g.count++
	access = fmt.Sprintf("access-%d-%x", g.count, mix(uint64(g.count)))
	if old != "" {
		refresh = fmt.Sprintf("refresh-%d-%x", g.count, mix(uint64(g.count)+1<<32))
		g.refresh = refresh
	}
	if g.access == nil {
		g.access = map[string]time.Time{}
	}
	g.access[access] = until
	return access, refresh, true
}

// grant answers /oauth/token.
func (s *server) grant(w http.ResponseWriter, r *http.Request) {
	id, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	if user, password, ok := r.BasicAuth(); ok { // each is encoded as in a form: RFC 6749, 2.3.1
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	if s.cfg.Client == "" || id+":"+secret != s.cfg.Client {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	lifetime := cmp.Or(s.cfg.TokenLifetime, time.Hour)
	old := ""
	switch kind := r.PostFormValue("grant_type"); kind {
	case "client_credentials":
	case "refresh_token":
		old = r.PostFormValue("refresh_token")
	default:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"})
		return
	}
	access, refresh, ok := s.grants.give(s.now().Add(lifetime), old, secret)
	if !ok {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	token := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(lifetime / time.Second)}
	if refresh != "" {
		token["refresh_token"] = refresh
	}
	writeJSON(w, http.StatusOK, token)
}
