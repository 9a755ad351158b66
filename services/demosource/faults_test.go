package demosource

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const small = "/ads/report?account=acme&from=2026-11-20&to=2026-11-20"

// statuses are those of the first n requests.
func (p *platform) statuses(n int) []int {
	var list []int
	for range n {
		list = append(list, p.do("GET", small).Code)
	}
	return list
}

func count(list []int, want int) (n int) {
	for _, one := range list {
		if one == want {
			n++
		}
	}
	return n
}

func TestFaultsStrikeTheirShareAndAlwaysTheSameRequests(t *testing.T) {
	faulty := func(c *Config) { c.Faults.Fail429, c.Faults.Fail503 = 0.2, 0.1 }
	one := newPlatform(t, faulty).statuses(500)
	if !slices.Equal(one, newPlatform(t, faulty).statuses(500)) {
		t.Error("other requests failed the second time")
	}
	if n := count(one, 429); n < 70 || n > 130 {
		t.Errorf("%d of 500 were answered 429, want about 100", n)
	}
	if n := count(one, 503); n < 30 || n > 70 {
		t.Errorf("%d of 500 were answered 503, want about 50", n)
	}
}

func TestA429SaysWhenToComeBack(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Faults.RetryAfter = 3 * time.Second })
	w := p.want(http.StatusTooManyRequests, "GET", small+"&fault=429")
	if got := w.Header().Get("Retry-After"); got != "3" {
		t.Errorf("Retry-After: %q, want 3", got)
	}
}

func TestACutBodyIsAnUnexpectedEnd(t *testing.T) {
	server := httptest.NewServer(newPlatform(t))
	defer server.Close()
	declared := 0
	for range 4 {
		answer, err := http.Get(server.URL + "/ads/report?account=acme&fault=cut")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) == 0 {
			t.Errorf("%d bytes and error %v, want some and an unexpected end", len(body), err)
		}
		if answer.ContentLength > int64(len(body)) {
			declared++
		}
	}
	if declared != 2 {
		t.Errorf("%d of 4 declared their length, want 2", declared)
	}
}

func TestGarbageIs200ButNotData(t *testing.T) {
	p := newPlatform(t)
	kinds := map[string]bool{}
	for range 2 {
		w := p.want(http.StatusOK, "GET", small+"&fault=garbage")
		kinds[w.Header().Get("Content-Type")] = true
		if json.Valid(w.Body.Bytes()) {
			t.Errorf("valid JSON: %s", w.Body)
		}
	}
	if len(kinds) != 2 {
		t.Errorf("garbage is always %v", kinds)
	}
}

func TestLatencyComesBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatform(t)
		start := time.Now()
		p.get(small + "&fault=latency:200ms")
		if took := time.Since(start); took != 200*time.Millisecond {
			t.Errorf("took %s, want 200ms", took)
		}
	})
}

func TestFaultsAreSwitchedWhileItRuns(t *testing.T) {
	p := newPlatform(t)
	p.post("/admin/faults?fail-503=1")
	p.want(http.StatusServiceUnavailable, "GET", small)
	p.want(http.StatusOK, "GET", small+"&fault=none")
	p.want(http.StatusBadRequest, "POST", "/admin/faults?fail-503=2")
	p.want(http.StatusServiceUnavailable, "GET", small)
	p.post("/admin/faults")
	p.want(http.StatusOK, "GET", small)
}

func TestFlagsSetTheConfiguration(t *testing.T) {
	cfg := DefaultConfig()
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	cfg.Flags(fs)
	args := "--accounts a,b --size 1.5MB --seed 7 --changed 0.5 --timezone America/New_York --now 2026-11-14T13:00:00Z --gzip " +
		"--token x --latency 200ms --fail-429 0.1 --fail-503 0.2 --cut 0.3 --garbage 0.4 --retry-after 5s"
	if err := fs.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	want := Faults{Latency: 200 * time.Millisecond, Fail429: 0.1, Fail503: 0.2, Cut: 0.3, Garbage: 0.4, RetryAfter: 5 * time.Second}
	if !reflect.DeepEqual(cfg.Faults, want) {
		t.Errorf("faults %+v, want %+v", cfg.Faults, want)
	}
	if len(cfg.Accounts) != 2 || cfg.Size != 1_500_000 || cfg.Seed != 7 || cfg.Location.String() != "America/New_York" || cfg.Now().Hour() != 13 {
		t.Errorf("configuration %+v", cfg)
	}
	for _, wrong := range []string{"--size=big", "--size=-1MB", "--cut=2", "--now=noon", "--timezone=Mars", "--latency=1"} {
		if fs.Parse([]string{wrong}) == nil {
			t.Errorf("%s: no error", wrong)
		}
	}
}

func TestTheNextRequestsMeetWhatTheyAreTold(t *testing.T) {
	p := newPlatform(t)
	p.want(http.StatusOK, "POST", "/admin/faults?next=expired,loop,503,html,error")
	p.want(http.StatusServiceUnavailable, "GET", small)
	if w := p.want(http.StatusOK, "GET", small); !strings.Contains(w.Body.String(), "<!doctype html>") {
		t.Errorf("no HTML: %s", w.Body)
	}
	if w := p.want(http.StatusOK, "GET", small); !strings.Contains(w.Body.String(), `"code":17`) {
		t.Errorf("no error: %s", w.Body)
	}
	p.want(http.StatusOK, "GET", small)
	p.want(http.StatusOK, "GET", "/ads/changes?account=acme")
	p.want(http.StatusGone, "GET", "/ads/changes?account=acme&since=1.0")
	if w := p.want(http.StatusOK, "GET", "/ads/pages?account=acme&limit=1&cursor=1"); !strings.Contains(w.Body.String(), `"paging":{"next":"1"}`) {
		t.Errorf("no circle: %s", w.Body)
	}
	p.want(http.StatusBadRequest, "POST", "/admin/faults?next=flood")
}
