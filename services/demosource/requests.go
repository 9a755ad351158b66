package demosource

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tally counts the requests of one endpoint.
type tally struct {
	Count    int64            `json:"count"`
	Bytes    int64            `json:"bytes"`
	Statuses map[string]int64 `json:"statuses"`
	Faults   map[string]int64 `json:"faults"`
	Sound    map[string]int64 `json:"sound"`            // the statuses of answers without a fault
	Most     int              `json:"most_in_a_second"` // whichever second it is

	second []time.Time // when the last requests came, in order
}

// requestLog counts requests by endpoint, status and fault.
type requestLog struct {
	mu        sync.Mutex
	endpoints map[string]tally
}

// count counts what next answers, also if the answer breaks off.
func (l *requestLog) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &counter{ResponseWriter: w, status: http.StatusOK}
		came := time.Now()
		defer func() { l.add(endpoint(r), came, c) }()
		next.ServeHTTP(c, r)
	})
}

// endpoint is the path as the mux knows it, so that the log cannot grow.
func endpoint(r *http.Request) string {
	switch method, path, ok := strings.Cut(r.Pattern, " "); {
	case ok && method == http.MethodDelete:
		return r.Pattern
	case ok:
		return path
	}
	return "other"
}

func (l *requestLog) add(endpoint string, came time.Time, c *counter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.endpoints[endpoint]
	if !ok {
		t = tally{Statuses: map[string]int64{}, Faults: map[string]int64{}, Sound: map[string]int64{}}
	}
	t.Count++
	t.arrive(came)
	t.Bytes += c.bytes
	status := strconv.Itoa(c.status)
	t.Statuses[status]++
	if fault := c.Header().Get(faultHeader); fault != "" {
		t.Faults[fault]++
	} else {
		t.Sound[status]++
	}
	if l.endpoints == nil {
		l.endpoints = map[string]tally{}
	}
	l.endpoints[endpoint] = t
}

// arrive counts the requests of each second that a new one is in. Those that came
// later may have ended sooner.
func (t *tally) arrive(came time.Time) {
	at, _ := slices.BinarySearchFunc(t.second, came, time.Time.Compare)
	t.second = slices.Insert(t.second, at, came)
	for first := at; first >= 0 && came.Sub(t.second[first]) < time.Second; first-- {
		end, _ := slices.BinarySearchFunc(t.second, t.second[first].Add(time.Second), time.Time.Compare)
		t.Most = max(t.Most, end-first)
	}
	last := t.second[len(t.second)-1]
	t.second = slices.DeleteFunc(t.second, func(at time.Time) bool { return last.Sub(at) > remembered })
}

// remembered is longer than an answer takes.
const remembered = 2 * time.Second

// counts returns a copy.
func (l *requestLog) counts() map[string]tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	endpoints := make(map[string]tally, len(l.endpoints))
	for name, t := range l.endpoints {
		t.Statuses, t.Faults, t.Sound = maps.Clone(t.Statuses), maps.Clone(t.Faults), maps.Clone(t.Sound)
		endpoints[name] = t
	}
	return endpoints
}

func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endpoints = nil
}

// counter notes an answer's status and size.
type counter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *counter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
