package source

import (
	"fmt"
	"time"
)

// Rate is how much may be asked of a host with one credential, by all processes
// together.
type Rate struct {
	Requests    int           `yaml:"requests"`    // at most so many
	Per         time.Duration `yaml:"per"`         // in any such time; default 1s
	Burst       int           `yaml:"burst"`       // so many may go at once, if as much less go in the time after; default: Requests
	Concurrency int           `yaml:"concurrency"` // at most so many at the same time; absent: any number
}

// Window is a time in which no more than Burst requests may go.
func (r *Rate) Window() time.Duration {
	return time.Duration(int64(r.Per) * int64(r.Burst) / int64(r.Requests))
}

const maxRate = 1000 // requests that are remembered

// rate checks the budget and fills in what it does not say.
func (v *validator) rate(at string, r *Rate) {
	if r == nil {
		return
	}
	setDefault(&r.Per, time.Second)
	if !v.has(join(at, "burst")) {
		r.Burst = r.Requests
	}
	for name, n := range map[string]int{"requests": r.Requests, "burst": r.Burst, "concurrency": r.Concurrency} {
		if v.has(join(at, name)) && (n < 1 || n > maxRate) {
			v.failf(join(at, name), "found %d; allowed are 1 to %d, so that 6000 in 1m are 100 in 1s", n, maxRate)
		}
	}
	if r.Requests == 0 && r.Concurrency == 0 {
		v.failf(at, "needs requests, concurrency or both")
	}
	if r.Requests == 0 && (v.has(join(at, "burst")) || v.has(join(at, "per"))) {
		v.failf(join(at, "requests"), "missing; per and burst go with it")
	}
}

func (r *Rate) explain(perAccount bool) string {
	text := "asked at most"
	if r.Requests > 0 {
		text += fmt.Sprintf(" %s in %s", count(r.Requests, "time"), r.Per)
		if r.Burst != r.Requests {
			text += fmt.Sprintf(", %d at once", r.Burst)
		}
	}
	if r.Concurrency > 0 {
		text += fmt.Sprintf(" by %s at the same time", count(r.Concurrency, "request"))
	}
	if perAccount {
		text += ", each account"
	}
	return text
}
