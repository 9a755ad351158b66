package demosource

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults are what goes wrong. Of all requests each share fails in its own way;
// which ones is decided by the request's number and the seed.
type Faults struct {
	// Latency is how long an answer takes before it begins.
	Latency time.Duration
	// Fail429 is the share answered 429 with Retry-After.
	Fail429 float64
	// Fail503 is the share answered 503.
	Fail503 float64
	// Cut is the share cut off in the middle of the body: half of them with a
	// Content-Length that is not met, half chunked and not ended.
	Cut float64
	// Garbage is the share answered 200 with what is not data: half of them
	// HTML, half JSON that breaks off.
	Garbage float64
	// Hang is the share that is never answered.
	Hang float64
	// Next are what the coming requests meet, one each, in this order and before
	// any share: 429, 503, cut, garbage, hang, html, error, expired and loop. Expired and
	// loop wait for a request that they can happen to.
	Next []string
	// RetryAfter goes with 429. Defaults to a second.
	RetryAfter time.Duration
	// SlowReport is how often a report that was ordered says that it is not ready.
	SlowReport int
	// FailReport is the share of those that never are.
	FailReport float64
}

// faultNames are the flags and the parameters of /admin/faults.
var faultNames = []string{"latency", "fail-429", "fail-503", "cut", "garbage", "hang", "next", "retry-after", "slow-report", "fail-report"}

// Set changes one fault by its flag's name.
func (f *Faults) Set(name, value string) error {
	switch name {
	case "latency":
		return setDuration(&f.Latency, name, value)
	case "retry-after":
		return setDuration(&f.RetryAfter, name, value)
	case "fail-429", "429":
		return setShare(&f.Fail429, name, value)
	case "fail-503", "503":
		return setShare(&f.Fail503, name, value)
	case "cut":
		return setShare(&f.Cut, name, value)
	case "garbage":
		return setShare(&f.Garbage, name, value)
	case "hang":
		return setShare(&f.Hang, name, value)
	case "next":
		f.Next = strings.Split(value, ",")
		for _, one := range f.Next {
			if !slices.Contains(strikes, one) {
				return fmt.Errorf("next has %q; there are %s", one, strings.Join(strikes, ", "))
			}
		}
		return nil
	case "slow-report":
		return setTimes(&f.SlowReport, name, value)
	case "fail-report":
		return setShare(&f.FailReport, name, value)
	}
	return fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(faultNames, ", "))
}

func setDuration(to *time.Duration, name, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return fmt.Errorf("%s is %q; it must be a duration such as 200ms", name, value)
	}
	*to = d
	return nil
}

func setTimes(to *int, name, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return fmt.Errorf("%s is %q; it must be a number of times", name, value)
	}
	*to = n
	return nil
}

func setShare(to *float64, name, value string) error {
	share, err := strconv.ParseFloat(value, 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return fmt.Errorf("%s is %q; it must be a share from 0 to 1", name, value)
	}
	*to = share
	return nil
}

// parseFaults reads the parameter fault: "cut", "429:0.5", "latency:2s,cut" or
// "none". What it does not name does not happen.
func parseFaults(text string, retryAfter time.Duration) (Faults, error) {
	f := Faults{RetryAfter: retryAfter}
	if text == "none" {
		return f, nil
	}
	for one := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(one, ":")
		if !ok {
			value = "1"
		}
		if err := f.Set(name, value); err != nil {
			return f, bad("fault: %v", err)
		}
	}
	return f, nil
}

// faultsOf are the faults that one request may meet.
func (s *server) faultsOf(r *http.Request) (Faults, error) {
	s.mu.Lock()
	f := s.state.faults
	s.mu.Unlock()
	if text := r.URL.Query().Get("fault"); text != "" {
		return parseFaults(text, f.RetryAfter)
	}
	return f, nil
}

// strike chooses what happens to the request with this hash: "" for nothing.
func (f Faults) strike(hash uint64) string {
	at := float64(hash>>11) / (1 << 53)
	for _, one := range []struct {
		name  string
		share float64
	}{{"429", f.Fail429}, {"503", f.Fail503}, {"cut", f.Cut}, {"garbage", f.Garbage}, {"hang", f.Hang}} {
		if at < one.share {
			return one.name
		}
		at -= one.share
	}
	return ""
}

// strikes are what can happen to a request.
var strikes = []string{"429", "503", "cut", "garbage", "hang", "html", "error", "expired", "loop"}

// queued takes the first of the faults to come that can happen to a request.
func (s *server) queued(r *http.Request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.state.faults.Next, func(fault string) bool {
		switch fault {
		case "expired":
			return r.URL.Query().Get("since") != ""
		case "loop":
			return r.URL.Query().Get("cursor") != ""
		}
		return true
	})
	if i < 0 {
		return ""
	}
	fault := s.state.faults.Next[i]
	s.state.faults.Next = slices.Delete(slices.Clone(s.state.faults.Next), i, i+1)
	return fault
}

const faultHeader = "X-Demosource-Fault"

// misbehave answers as next does, unless a fault strikes.
func (s *server) misbehave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := s.faultsOf(r)
		if err != nil {
			writeError(w, err)
			return
		}
		if !sleep(r, f.Latency) {
			return
		}
		number := s.numbers.Add(1)
		fault := s.queued(r)
		if fault == "" {
			fault = f.strike(mix(s.cfg.Seed ^ mix(number)))
		}
		if fault == "cut" && r.Method != http.MethodGet { // it would be done twice, to learn how long its answer is
			fault = "503"
		}
		if fault == "" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set(faultHeader, fault)
		switch fault {
		case "429":
			w.Header().Set("Retry-After", strconv.Itoa(int(max(time.Second, f.RetryAfter)/time.Second)))
			writeError(w, problem{http.StatusTooManyRequests, "too many requests"})
		case "503":
			writeError(w, problem{http.StatusServiceUnavailable, "the platform is having a rest"})
		case "cut":
			cut(next, w, r, number%2 == 0)
		case "garbage":
			garbage(w, number%2 == 0)
		case "hang":
			<-r.Context().Done()
		case "html":
			garbage(w, true)
		case "error":
			writeJSON(w, http.StatusOK, map[string]any{"error": map[string]any{"code": 17, "message": "the limit of calls is reached"}})
		case "expired":
			writeError(w, problem{http.StatusGone, "since is too old; ask for all"})
		case "loop":
			next.ServeHTTP(w, looping(r))
		}
	})
}

// looping is a request for a page that names itself as the next.
func looping(r *http.Request) *http.Request {
	again, q := r.Clone(r.Context()), r.URL.Query()
	q.Set("loop", "true")
	again.URL.RawQuery = q.Encode()
	return again
}

// sleep waits and says whether the client is still there.
func sleep(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func garbage(w http.ResponseWriter, html bool) {
	kind, body := contentTypes["json"], `{"account":"acme","campaigns":[{"id":"acme-c1","name":"Autu`
	if html {
		kind, body = contentTypes["html"], "<!doctype html>\n<title>Sign in</title>\n<p>Your session has expired. Please sign in.\n"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = io.WriteString(w, body) // the client is gone
}

// cut sends half of the body and closes the connection. The answer is made
// twice, the first time to learn how long it is.
func cut(next http.Handler, w http.ResponseWriter, r *http.Request, declare bool) {
	probe := &sizer{header: http.Header{}}
	next.ServeHTTP(probe, r)
	if declare {
		w.Header().Set("Content-Length", strconv.FormatInt(probe.size, 10))
	}
	next.ServeHTTP(&cutter{ResponseWriter: w, left: probe.size / 2}, r)
}

// sizer counts a body and throws it away.
type sizer struct {
	header http.Header
	size   int64
}

func (s *sizer) Header() http.Header { return s.header }
func (s *sizer) WriteHeader(int)     {}
func (s *sizer) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	return len(p), nil
}

// cutter lets a number of bytes through and then breaks the connection.
type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(p))
	return c.ResponseWriter.Write(p)
}
