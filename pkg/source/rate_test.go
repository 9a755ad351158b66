package source

import (
	"strings"
	"testing"
	"time"
)

func rateFile(rate string) string {
	return rest + "http: {base_url: 'http://h', rate: {" + rate + "}}\n"
}

func TestEachMistakeOfARateSaysWhatIsAllowed(t *testing.T) {
	for rate, want := range map[string]string{
		"":                           "http.rate: needs requests, concurrency or both",
		"requests: 0":                "http.rate.requests: found 0; allowed are 1 to 1000, so that 6000 in 1m are 100 in 1s",
		"requests: 6000, per: 1m":    "http.rate.requests: found 6000",
		"requests: ten":              `http.rate.requests: found "ten"; it must be a whole number`,
		"concurrency: 0":             "http.rate.concurrency: found 0",
		"requests: 5, burst: 0":      "http.rate.burst: found 0",
		"concurrency: 5, per: 1m":    "http.rate.requests: missing; per and burst go with it",
		"requests: 5, per: 2h":       "http.rate.per: found \"2h\"; it must be a time such as 30s",
		"request: 5, concurrency: 2": "http.rate.request: unknown key; did you mean requests?",
	} {
		if _, err := Parse([]byte(rateFile(rate)), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", rate, err, want)
		}
	}
}

func TestARateIsExplained(t *testing.T) {
	for rate, want := range map[string]string{
		"requests: 10": "  asked at most 10 times in 1s\n",
		"requests: 10, burst: 20, per: 1m, concurrency: 1": "  asked at most 10 times in 1m0s, 20 at once by 1 request at the same time\n",
		"concurrency: 4": "  asked at most by 4 requests at the same time\n",
	} {
		var b strings.Builder
		if err := parsed(t, rateFile(rate)).Explain(&b); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v, got\n%s", rate, err, b.String())
		}
	}
	if got := (&Rate{Requests: 10, Per: time.Second, Burst: 20}).Window(); got != 2*time.Second {
		t.Errorf("20 at once of 10 in a second: a window of %s", got)
	}
}
