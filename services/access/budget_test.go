package access

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/source"
)

func TestTake(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1e9, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	full := func() *state { return &state{Answered: []time.Time{at(-0.5), at(-0.2)}} }
	rate := &source.Rate{Requests: 2, Per: time.Second, Burst: 2}
	for _, c := range []struct {
		name string
		b    *state
		rate *source.Rate
		turn time.Time
		wait time.Duration
		away time.Duration
	}{
		{name: "nothing was asked", b: &state{}, rate: rate},
		{name: "no budget", b: full()},
		{name: "a moment", b: full(), rate: rate, wait: 500 * time.Millisecond},
		{name: "its turn is later", b: &state{}, rate: rate, turn: at(35), away: 10 * time.Second},
		{name: "its turn has come", b: full(), rate: rate, turn: at(-1), wait: 500 * time.Millisecond},
		{name: "others stand in line", b: &state{Answered: full().Answered, Line: at(2)}, rate: rate, away: time.Second},
		{name: "a long line", b: &state{Answered: full().Answered, Line: at(90)}, rate: rate, away: time.Minute},
		{name: "cool", b: &state{Cool: at(700)}, rate: rate, away: 10 * time.Minute},
		{name: "cool without a budget", b: &state{Cool: at(0.5)}, away: time.Second},
		{name: "cool before all", b: &state{Cool: at(20)}, rate: rate, turn: at(-3), away: 10 * time.Second},
		{name: "two in an hour", b: full(), rate: &source.Rate{Requests: 2, Per: time.Hour, Burst: 2}, away: 10 * time.Minute},
		{name: "one that is not answered", b: &state{Answered: []time.Time{at(-0.4)}, Sent: 1}, rate: rate, wait: 600 * time.Millisecond},
		{name: "none that is answered", b: &state{Sent: 2}, rate: rate, wait: 100 * time.Millisecond},
		{name: "answered long ago", b: &state{Answered: []time.Time{at(-3), at(-2)}, Sent: 1}, rate: rate},
		{name: "a burst", b: full(), rate: &source.Rate{Requests: 2, Per: time.Second, Burst: 3}},
	} {
		wait, turn, away := c.b.take(c.rate, at(0), c.turn)
		got := time.Duration(0)
		if away != nil {
			got = away.Wait
		}
		if wait != c.wait || got != c.away {
			t.Errorf("%s: wait %s, away %s (turn %s), want %s, %s", c.name, wait, got, turn, c.wait, c.away)
		}
	}
}

func TestCoolDown(t *testing.T) {
	now := time.Unix(2e9, 0)
	header := func(fields ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(fields); i += 2 {
			h.Set(fields[i], fields[i+1])
		}
		return h
	}
	for _, c := range []struct {
		status int
		header http.Header
		want   time.Duration
	}{
		{200, header(), 0},
		{429, header(), 10 * time.Second},
		{429, header("Retry-After", "120"), 2 * time.Minute},
		{429, header("Retry-After", "9999999"), 24 * time.Hour},
		{503, header(), 0}, // this one alone has a rest
		{503, header("Retry-After", "7"), 7 * time.Second},
		{200, header("Retry-After", "7"), 0},
		{200, header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30"), 30 * time.Second},
		{200, header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", strconv.Itoa(2e9+45)), 45 * time.Second},
		{200, header("RateLimit-Remaining", "0", "RateLimit-Reset", "5"), 5 * time.Second},
		{200, header("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "30"), 0},
		{200, header("X-RateLimit-Remaining", "0"), 0},
		{403, header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "60"), time.Minute},
	} {
		if got := coolDown(c.status, c.header, now); got != c.want {
			t.Errorf("%d %v: %s, want %s", c.status, c.header, got, c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	if got := RetryAfter("120"); got != 2*time.Minute {
		t.Errorf("seconds: %s", got)
	}
	at := time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat)
	if got := RetryAfter(at); got < 4*time.Minute || got > 5*time.Minute {
		t.Errorf("a date: %s", got)
	}
	for _, header := range []string{"", "soon"} {
		if got := RetryAfter(header); got != 10*time.Second {
			t.Errorf("%q: %s", header, got)
		}
	}
}
