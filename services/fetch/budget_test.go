package fetch

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
)

// A fleet is several processes with a queue that all take from, and waiting
// queues, as the broker has them.
type fleet struct {
	t     *testing.T
	mu    sync.Mutex
	left  int // slices that are not done
	parks int
	queue chan pipeline.Envelope
	over  chan struct{}
}

// start begins n processes, each with so many slots, and gives them slices.
func start(b *bench, n, slots int, slices ...pipeline.Envelope) *fleet {
	f := &fleet{t: b.t.(*testing.T), left: len(slices), queue: make(chan pipeline.Envelope, 10*len(slices)), over: make(chan struct{})}
	for _, e := range slices {
		f.queue <- e
	}
	var processes sync.WaitGroup
	for range n {
		stage := b.another()
		stage.Slots = slots
		for range slots {
			processes.Go(func() { f.slot(stage) })
		}
	}
	b.t.Cleanup(processes.Wait)
	return f
}

func (f *fleet) slot(stage *Stage) {
	for {
		select {
		case <-f.over:
			return
		case e := <-f.queue:
			out, err := stage.Handle(f.t.Context(), pipeline.Batch{{Envelope: e}})
			switch {
			case err != nil && verdict(err) == "later": // the worker puts it back for its own time
				f.back(e, 200*time.Millisecond)
			case err != nil:
				f.t.Error(err)
				f.done()
			case len(out) > 0:
				f.back(out[0], out[0].Wait)
			default:
				f.done()
			}
		}
	}
}

func (f *fleet) back(e pipeline.Envelope, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parks++
	e.Wait = 0
	time.AfterFunc(wait, func() { f.queue <- e })
}

func (f *fleet) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left == 0 {
		close(f.over)
	}
}

func (f *fleet) wait() time.Duration {
	f.t.Helper()
	const limit = 2 * time.Minute
	began := time.Now()
	select {
	case <-f.over:
	case <-time.After(limit):
		f.t.Errorf("%d slices are not done after %s", f.left, limit)
		close(f.over)
	}
	return time.Since(began)
}

// slicesOf returns a job's slices.
func (b *bench) slicesOf(body string) []pipeline.Envelope {
	b.t.Helper()
	return b.must(b.must(job(body))[0])
}

// arrivals are when a source was asked.
type arrivals struct {
	mu sync.Mutex
	at []time.Time
}

func (a *arrivals) add() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
	return len(a.at)
}

// most is the most that came within any time of a length.
func (a *arrivals) most(within time.Duration) (most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.at {
		n := 0
		for _, at := range a.at[i:] {
			if at.Sub(a.at[i]) < within {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestABudgetIsSharedByAllProcesses(t *testing.T) {
	b := newBench(t)
	b.source("rate: {requests: 10}", "report: {path: '/r?d={from}', slice: 1d, lookback: 60d}")
	var asked arrivals
	b.answer = func(w http.ResponseWriter, _ *http.Request) {
		asked.add()
		fmt.Fprint(w, `{"ads":[]}`)
	}
	f := start(b, 8, 2, b.slicesOf(backfill)...)
	took := f.wait()
	if n := asked.most(time.Second); n > 10 || len(asked.at) != 60 {
		t.Errorf("%d requests in a second, %d in all", n, len(asked.at))
	}
	if f.parks > 60*8 {
		t.Errorf("60 slices were put back %d times", f.parks)
	}
	t.Logf("%s (at 10 a second it were 5 s), put back %d times", took, f.parks)
}

// One account is told to wait; its slices wait in the queue, and the other's go on.
func TestACoolDownIsOneCredentialsAlone(t *testing.T) {
	b := newBench(t)
	t.Setenv("ADS_acme", "secret-of-acme")
	t.Setenv("ADS_globex", "secret-of-globex")
	b.source(`rate: {requests: 10}, auth: {bearer: "${ADS_{account}}"}`,
		"report: {path: '/r?a={account}&d={from}', slice: 1d, lookback: 30d}", "accounts: [acme, globex]\n")
	var acme, globex arrivals
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("a") == "globex" {
			globex.add()
		} else if acme.add() <= 3 {
			w.Header().Set("Retry-After", "8")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"ads":[]}`)
	}
	start(b, 2, 2, b.slicesOf(backfill)...).wait()
	stormy, calm := acme.at[0].Add(8*time.Second), 0
	for _, at := range acme.at {
		if at.Before(stormy) {
			calm++
		}
	}
	if calm > 4 || len(acme.at) < 30 {
		t.Errorf("acme was asked %d times in the 8 s in which it was to be left alone, %d times in all", calm, len(acme.at))
	}
	if len(globex.at) != 30 || globex.at[29].After(stormy) { // 30 at 10/s are 3 s
		t.Errorf("globex was asked %d times, the last %s after the storm began", len(globex.at), globex.at[len(globex.at)-1].Sub(acme.at[0]))
	}
}

// Slices that wait for one budget let those of others pass.
func TestALongLineHoldsUpNobodyElse(t *testing.T) {
	for _, slots := range []int{1, 2} {
		b := newBench(t)
		t.Setenv("ADS_acme", "secret-of-acme")
		t.Setenv("ADS_globex", "secret-of-globex")
		b.source(`rate: {requests: 5}, auth: {bearer: "${ADS_{account}}"}`,
			"report: {path: '/r?a={account}&d={from}', slice: 1d, lookback: 40d}", "accounts: [acme, globex]\n")
		var acme, globex arrivals
		b.answer = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("a") == "globex" {
				globex.add()
			} else {
				acme.add()
			}
			fmt.Fprint(w, `{"ads":[]}`)
		}
		line := b.slicesOf(`{"source":"ads","mode":"backfill","account":"acme"}`)
		f := start(b, 1, slots, append(line, b.slicesOf(`{"source":"ads","mode":"backfill","account":"globex","from":"2026-11-01","to":"2026-11-05"}`)...)...)
		took := f.wait()
		if len(globex.at) != 5 || !globex.at[4].Before(acme.at[30]) {
			t.Errorf("%d slots: globex was asked %d times, and not before acme's 30th", slots, len(globex.at))
		}
		if n := acme.most(time.Second); n > 5 {
			t.Errorf("%d slots: acme was asked %d times in a second", slots, n)
		}
		t.Logf("%d slots: %s (at 5 a second it were 7 s), put back %d times", slots, took, f.parks)
	}
}

func TestNoMoreThanSoManyAtTheSameTime(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	now, most := 0, 0
	server := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-time.After(50 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		fmt.Fprint(w, `{"ads":[]}`)
	})
	b.serve(server)
	b.source("rate: {concurrency: 2}", "report: {path: '/r?d={from}', slice: 1d, lookback: 12d}")
	start(b, 3, 2, b.slicesOf(backfill)...).wait()
	if most > 2 {
		t.Errorf("%d requests ran at the same time", most)
	}
	if got := b.text(`SELECT count(*)::text FROM budget_leases`); got != "0" {
		t.Errorf("%s requests run for ever", got)
	}
}

// A worker that died leaves its request to who takes its message.
func TestALeaseIsItsMessages(t *testing.T) {
	b := newBench(t)
	b.source("rate: {concurrency: 1}", "report: {path: /r}")
	slice, other := b.slice(refresh), b.slice(refresh)
	b.exec(`INSERT INTO budget_leases (name, message_id, until) SELECT 'ads ' || $1, $2, now() + interval '1 hour'`, b.url[len("http://"):], slice.ID)
	out, err := b.do(other)
	if err != nil || len(out) != 1 || out[0].ID != other.ID || out[0].Wait != time.Second || b.asked() != 0 {
		t.Errorf("another became %+v, %v", out, err)
	}
	b.must(slice)
	b.must(other)
	if b.asked() != 2 {
		t.Errorf("asked %d times", b.asked())
	}
}

// A quota that is used up is heeded before the source has to refuse.
func TestAQuotaThatIsUsedUpIsHeededByAll(t *testing.T) {
	b := newBench(t)
	b.source("", "report: {path: /r}")
	b.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", "3600")
		fmt.Fprint(w, `{"ads":[]}`)
	}
	b.must(b.slice(refresh))
	slice := b.slice(refresh)
	out, err := b.another().Handle(t.Context(), pipeline.Batch{{Envelope: slice}})
	if err != nil || len(out) != 1 || out[0].ID != slice.ID || out[0].Wait != 10*time.Minute || b.asked() != 1 {
		t.Errorf("another process: %+v, %v", out, err)
	}
	if got := b.text(`SELECT error FROM ledger WHERE message_id = $1`, slice.ID); got != b.url+"/r answered 200 OK; nothing is asked of it so for 1h0m0s" {
		t.Errorf("the ledger says %q", got)
	}
	b.exec(`UPDATE budgets SET cool = now()`)
	b.must(out[0])
}
