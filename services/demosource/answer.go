package demosource

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// answerFunc decides what is answered; nothing is written before it returns.
type answerFunc func(q query, m moment) (*answer, error)

// answer is a body yet to be written.
type answer struct {
	contentType string
	link        string // the Link header, if any
	write       func(out *output)
}

// feed sends an answer with its ETag, or 304 if the client has it already.
func (s *server) feed(decide answerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := s.snapshot()
		a, err := decide(query{r.URL.Query()}, m)
		if err != nil {
			writeError(w, err)
			return
		}
		tag := s.etag(r.URL, m)
		w.Header().Set("ETag", tag)
		if strings.Contains(r.Header.Get("If-None-Match"), strings.TrimPrefix(tag, "W/")) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if a.link != "" {
			w.Header().Set("Link", a.link)
		}
		w.Header().Set("Content-Type", a.contentType)
		s.send(w, r, a)
	})
}

func (s *server) send(w http.ResponseWriter, r *http.Request, a *answer) {
	zip := s.cfg.Gzip && acceptsGzip(r)
	if s.cfg.Gzip {
		w.Header().Set("Vary", "Accept-Encoding")
	}
	if zip {
		w.Header().Set("Content-Encoding", "gzip")
	}
	if r.Method == http.MethodHead {
		return
	}
	if zip {
		sendGzip(w, a)
		return
	}
	sendPlain(w, a)
}

func sendPlain(w io.Writer, a *answer) {
	out := newOutput(w)
	a.write(out)
	out.flush()
}

// sendGzip, like sendPlain, lets a write error be: the client is gone.
func sendGzip(w io.Writer, a *answer) {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	sendPlain(z, a)
	_ = z.Close()
}

func acceptsGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(one, " ", ""), ";")
		if name == "gzip" && weight != "q=0" {
			return true
		}
	}
	return false
}

// etag names all that an answer depends on. It is weak, since the same answer
// may be sent compressed or not.
func (s *server) etag(u *url.URL, m moment) string {
	asked := u.Query()
	asked.Del("fault")
	seed := mix(s.cfg.Seed ^ mix(uint64(s.cfg.Size)) ^ uint64(m.changed))
	for _, share := range m.revisions {
		seed = mix(seed ^ uint64(share))
	}
	name := fmt.Sprint(u.Path, "?", asked.Encode(), m.hour, m.zone, len(m.revisions))
	return fmt.Sprintf(`W/"%016x"`, mixString(seed, name))
}

// problem is an error that the client is told, with its status.
type problem struct {
	status int
	text   string
}

func (p problem) Error() string { return p.text }

func bad(format string, args ...any) error {
	return problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if p, ok := errors.AsType[problem](err); ok {
		status = p.status
	}
	writeJSON(w, status, map[string]any{"error": map[string]any{"status": status, "message": err.Error()}})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}
