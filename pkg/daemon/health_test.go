package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func get(t *testing.T, h *Health, path string) (status int, body string) {
	t.Helper()
	return getFrom(handler(h, newMetrics("leat-test", h).gatherer, true), path)
}

func getFrom(h http.Handler, path string) (status int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestReadiness(t *testing.T) {
	h := NewHealth()
	want := func(when string, status int, body string) {
		t.Helper()
		if s, b := get(t, h, "/readyz"); s != status || b != body {
			t.Errorf("%s: %d %s, want %d %s", when, s, b, status, body)
		}
	}
	want("before anything has reported", 503, `{"ready":false,"reasons":{"daemon":"starting"}}`)
	h.Expect("consumer", "postgres")
	h.Set("postgres", nil)
	want("while one of two is missing", 503, `{"ready":false,"reasons":{"consumer":"has not reported yet"}}`)
	h.Set("consumer", nil)
	want("when all are fine", 200, `{"ready":true,"reasons":{}}`)
	h.Expect("consumer")
	want("when what is fine is expected again", 200, `{"ready":true,"reasons":{}}`)
	h.Set("mongodb", errors.New("dial mongodb://u:s3cret@h: refused"))
	want("when one that nobody expected is not fine", 503, `{"ready":false,"reasons":{"mongodb":"dial mongodb://u:xxxxx@h: refused"}}`)
	h.Set("mongodb", nil)
	want("when it is fine again", 200, `{"ready":true,"reasons":{}}`)
	h.Note("sources", "ads.yaml is broken, postgres://u:s3cret@h too")
	want("with a note", 200, `{"ready":true,"reasons":{},"notes":{"sources":"ads.yaml is broken, postgres://u:xxxxx@h too"}}`)
	h.Note("sources", "")
	want("when that is over", 200, `{"ready":true,"reasons":{}}`)
	h.stop()
	want("when it stops", 503, `{"ready":false,"reasons":{"daemon":"stopping"}}`)
}

func TestADaemonIsAliveUnlessAWatchSaysNo(t *testing.T) {
	h := NewHealth()
	h.Set("postgres", errors.New("away"))
	if s, b := get(t, h, "/healthz"); s != 200 || b != `{"alive":true,"reasons":{}}` {
		t.Errorf("not ready: %d %s, want it alive", s, b)
	}
	stuck := errors.New("no batch has ended for 10m")
	h.Watch("worker", func() error { return stuck })
	if s, b := get(t, h, "/healthz"); s != 503 || !strings.Contains(b, stuck.Error()) {
		t.Errorf("stuck: %d %s, want 503 and the reason", s, b)
	}
	stuck = nil
	if s, _ := get(t, h, "/healthz"); s != 200 {
		t.Errorf("no longer stuck: %d, want 200", s)
	}
}

func TestAWatchThatNeverAnswersIsStuckAndIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth()
		var calls atomic.Int32
		release := make(chan struct{})
		h.Watch("worker", func() error {
			calls.Add(1)
			<-release
			return nil
		})
		h.Watch("other", func() error { return nil })
		for range 3 {
			alive, reasons := h.Alive(context.Background())
			if alive || reasons["worker"] == "" || len(reasons) != 1 {
				t.Errorf("alive = %v, %v, want the worker alone to be stuck", alive, reasons)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("it was called %d times while the first call was under way", n)
		}
		close(release)
		if alive, reasons := h.Alive(context.Background()); !alive {
			t.Errorf("after it has answered: %v, want it alive", reasons)
		}
	})
}

func TestMetricsCarryTheService(t *testing.T) {
	_, body := get(t, NewHealth(), "/metrics")
	for _, want := range []string{`leat_ready{service="leat-test"} 0`, `leat_build_info{`, `go_goroutines{service="leat-test"}`, `process_open_fds{`} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

func TestProfilesAreServedOnLoopbackOnly(t *testing.T) {
	h := NewHealth()
	gatherer := newMetrics("leat-test", h).gatherer
	if s, _ := getFrom(handler(h, gatherer, true), "/debug/pprof/cmdline"); s != http.StatusOK {
		t.Errorf("on loopback: %d, want 200", s)
	}
	if s, _ := getFrom(handler(h, gatherer, false), "/debug/pprof/cmdline"); s != http.StatusNotFound {
		t.Errorf("elsewhere: %d, want 404", s)
	}
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "0.0.0.0:1": false, "192.0.2.1:1": false} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if isLoopback(tcp) != want {
			t.Errorf("isLoopback(%s) = %v", addr, !want)
		}
	}
}

func TestParseListen(t *testing.T) {
	for in, want := range map[string]addresses{
		"":                    {off: true},
		"off":                 {off: true},
		"127.0.0.1:9180-9279": {host: "127.0.0.1", first: 9180, last: 9279},
		":9180":               {first: 9180, last: 9180},
		"[::1]:0":             {host: "::1"},
	} {
		if got, err := parseListen(in); err != nil || got != want {
			t.Errorf("parseListen(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"9180", "h:", "h:x", "h:70000", "h:2-1", "h:1-", "h:-1"} {
		if got, err := parseListen(in); err == nil {
			t.Errorf("parseListen(%q) = %+v, want an error", in, got)
		}
	}
}

func TestWorkersOfOneHostTakeTheFirstFreePort(t *testing.T) {
	first := freePort(t)
	listen := "127.0.0.1:" + strconv.Itoa(first) + "-" + strconv.Itoa(first+1)
	h := NewHealth()
	serve := func() (*server, error) { return listenAndServe(listen, h, newMetrics("leat-test", h).gatherer) }

	one, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	two, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(two)
	if one.addr != "127.0.0.1:"+strconv.Itoa(first) || two.addr != "127.0.0.1:"+strconv.Itoa(first+1) {
		t.Errorf("they listen at %s and %s, want %s", one.addr, two.addr, listen)
	}
	if _, err := serve(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the third of two: %v, want that all ports are in use", err)
	}
	closeQuietly(one)
	again, err := serve()
	if err != nil {
		t.Fatalf("after the first has gone: %v, want its port", err)
	}
	closeQuietly(again)
}

// freePort finds two ports side by side that nobody has.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+1))
		closeQuietly(l)
		if err == nil {
			closeQuietly(next)
			return port
		}
	}
	t.Fatal("no two free ports side by side")
	return 0
}

func TestHealthcheckAsksTheDaemonThatListens(t *testing.T) {
	h := NewHealth()
	listen := "127.0.0.1:" + strconv.Itoa(freePort(t))
	if err := askReady(listen); err == nil {
		t.Error("nobody listens, and it was said to be ready")
	}
	s, err := listenAndServe(strings.Replace(listen, "127.0.0.1", "0.0.0.0", 1), h, newMetrics("leat-test", h).gatherer)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(s)
	h.Set("postgres", errors.New("away"))
	if err := askReady(listen); err == nil || !strings.Contains(err.Error(), "postgres: away") {
		t.Errorf("not ready: %v, want the reason", err)
	}
	h.Set("postgres", nil)
	if err := askReady(strings.Replace(listen, "127.0.0.1", "0.0.0.0", 1)); err != nil {
		t.Errorf("ready: %v", err)
	}
	if err := askReady("off"); err == nil {
		t.Error("off, and it was said to be ready")
	}
}

func TestReasonsAreJSONWhateverTheyHold(t *testing.T) {
	h := NewHealth()
	h.Set("x", errors.New("a \"quoted\"\nline with \x00"))
	_, body := get(t, h, "/readyz")
	var report struct{ Reasons map[string]string }
	if err := json.Unmarshal([]byte(body), &report); err != nil || report.Reasons["x"] == "" {
		t.Errorf("%s: %v", body, err)
	}
}
