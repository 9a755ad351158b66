package demosource

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Flags makes the configuration's fields flags of a program.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.Func("accounts", "`names` of the accounts, with commas between (default acme,globex)", c.setAccounts)
	fs.Func("size", "about how `much` the reports of all accounts have, as JSON for 14 days: 10KB, 1MB, 100MB, 1GB (default 200KB)", c.setSize)
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "another `number`, another platform")
	fs.Float64Var(&c.Changed, "changed", c.Changed, "`share` of the (ad, day) pairs of the last 30 days restated each hour")
	fs.Func("timezone", "`zone` whose days are reported (default Europe/Berlin)", c.setTimezone)
	fs.Func("now", "fix the clock at a `time` such as 2026-11-14T13:00:00Z", c.setNow)
	fs.BoolVar(&c.Gzip, "gzip", c.Gzip, "compress for clients that accept it")
	fs.StringVar(&c.Token, "token", c.Token, "`token` to ask for: bearer, password, X-Api-Key or key")
	fs.StringVar(&c.Client, "client", c.Client, "OAuth 2 client, `ID:SECRET`, whose tokens to ask for; /oauth/token gives them")
	for _, name := range faultNames {
		fs.Func(name, faultUsage[name], func(value string) error { return c.Faults.Set(name, value) })
	}
}

var faultUsage = map[string]string{
	"latency":     "`duration` before each answer",
	"fail-429":    "`share` of requests answered 429 with Retry-After",
	"fail-503":    "`share` of requests answered 503",
	"cut":         "`share` of bodies cut off in the middle",
	"garbage":     "`share` of answers that are HTML or broken JSON",
	"hang":        "`share` of requests that are never answered",
	"next":        "`list` of what the first requests meet, one each: 429, 503, cut, garbage, hang, html, error, expired, loop",
	"retry-after": "`duration` that goes with 429 (default 1s)",
	"slow-report": "`times` that a report which was ordered is not ready",
	"fail-report": "`share` of reports that never are",
}

func (c *Config) setAccounts(text string) error {
	c.Accounts = strings.Split(text, ",")
	return nil
}

func (c *Config) setSize(text string) (err error) {
	c.Size, err = ParseSize(text)
	return err
}

func (c *Config) setTimezone(text string) (err error) {
	c.Location, err = time.LoadLocation(text)
	return err
}

func (c *Config) setNow(text string) error {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return err
	}
	c.Now = func() time.Time { return at }
	return nil
}

var units = []struct {
	name  string
	bytes float64
}{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// ParseSize reads 10KB, 1.5MB, 1GB or a plain number of bytes; units are decimal.
func ParseSize(text string) (int64, error) {
	for _, unit := range units {
		number, ok := strings.CutSuffix(strings.ToUpper(text), unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n <= 0 || n*unit.bytes > 1e12 {
			break
		}
		return int64(n * unit.bytes), nil
	}
	return 0, fmt.Errorf("size %q must be such as 10KB, 100MB or 1GB", text)
}
