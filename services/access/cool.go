package access

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/leatflow/leat/pkg/postgres"
)

// Heed notes that there is an answer, and has nobody ask with this credential
// until the time that it says, if it does. Asked is the address as people may see
// it.
func (b Budget) Heed(ctx context.Context, asked string, r *http.Response) error {
	if err := b.Answered(ctx); err != nil {
		return err
	}
	wait := coolDown(r.StatusCode, r.Header, time.Now())
	if wait <= 0 {
		return nil
	}
	return b.CoolDown(ctx, wait, fmt.Sprintf("%s answered %s", asked, r.Status))
}

// CoolDown has nobody ask with this credential for some time.
func (b Budget) CoolDown(ctx context.Context, wait time.Duration, why string) error {
	why = fmt.Sprintf("%s; nothing is asked of it so for %s", why, wait.Round(time.Second))
	_, err := b.DB.Exec(ctx, `
		INSERT INTO budgets AS b (name, cool, why) VALUES ($1, clock_timestamp() + $2 * interval '1 second', $3)
		ON CONFLICT (name) DO UPDATE SET cool = excluded.cool, why = excluded.why WHERE b.cool < excluded.cool`,
		b.Name, wait.Seconds(), why)
	return postgres.Classify(err)
}

const longestCoolDown = 24 * time.Hour

// coolDown is how long nothing is to be asked, by what an answer's status and
// header say, whether it is an answer or a refusal.
func coolDown(status int, h http.Header, now time.Time) time.Duration {
	wait := time.Duration(0)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && h.Get("Retry-After") != "" {
		wait = RetryAfter(h.Get("Retry-After"))
	}
	for _, prefix := range []string{"X-RateLimit-", "RateLimit-", "X-Rate-Limit-"} {
		if h.Get(prefix+"Remaining") != "0" {
			continue
		}
		reset, err := strconv.ParseFloat(h.Get(prefix+"Reset"), 64)
		if err != nil {
			continue
		}
		if reset > 1e9 { // a moment, and not a time
			reset -= float64(now.UnixMilli()) / 1000
		}
		wait = max(wait, time.Duration(min(reset, longestCoolDown.Seconds())*float64(time.Second)))
	}
	return min(wait, longestCoolDown)
}

// RetryAfter reads the header of that name: seconds or a date.
func RetryAfter(header string) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return time.Until(at)
	}
	return 10 * time.Second
}
