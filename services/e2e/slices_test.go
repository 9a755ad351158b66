package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/rabbit"
)

// A month is a source that answers each day with an ad of its own.
type month struct {
	url   string
	asked atomic.Int32
	hold  chan struct{} // closed: answers at once
}

func (m *month) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked.Add(1)
	<-m.hold
	day := r.URL.Query().Get("d")
	fmt.Fprintf(w, `{"ads":[{"id":"a-%s","date":%q,"clicks":3}]}`, day, day)
}

// month serves one, under the name of ads, and takes it for a backfill of 30 slices.
func (s *system) month() *month {
	s.t.Helper()
	m := &month{hold: make(chan struct{})}
	server := httptest.NewServer(m)
	s.t.Cleanup(server.Close)
	m.url = server.URL
	s.source("ads.yaml", fmt.Sprintf(`
source: ads
http: {base_url: %q}
fetch: {report: {path: "/r?d={from}", slice: 1d, lookback: 30d}}
records:
  - each: ads
    object: {type: ad, key: id}
    stat: {day: date, metrics: [clicks]}
`, server.URL))
	return m
}

const monthJob = `{"source":"ads","mode":"backfill","from":"2026-03-01","to":"2026-03-30"}`

// one is the only value that a query returns.
func (s *system) one(sql string, args ...any) int {
	s.t.Helper()
	n, err := strconv.Atoi(s.query(sql, args...)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

const held = `SELECT count(*) FROM ledger WHERE job_id = $1 AND state = 'started' AND error_class = $2`

// A backfill of 30 slices begins none while a queue is deep, lets a refresh pass,
// and goes on by itself when delta has got on.
func TestABackfillYieldsAndGoesOnByItself(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.cfg.Fetch.YieldAbove = 4
	m := s.month()
	close(m.hold)
	s.start(1, "fetch")
	job := s.submit(monthJob)
	s.until(patience, "the slices to wait", func() bool { return s.one(held, job, "yields") > 0 })
	s.until(patience, "all slices to begin or to wait", func() bool {
		return s.one(held, job, "yields")+s.one(`SELECT count(*) FROM answers WHERE job_id = $1`, job) == 30
	})
	if n := int(m.asked.Load()); n < 5 || n > 5+s.cfg.Fetch.Slots {
		t.Errorf("%d slices were asked for while 4 parts may lie in delta's queue", n)
	}
	refresh := s.submit(`{"source":"ads","url":"` + m.url + `/r?d=2026-03-31"}`)
	s.until(patience, "a refresh to pass", func() bool {
		return s.one(`SELECT count(*) FROM answers WHERE job_id = $1`, refresh) == 1
	})
	c, _ := s.operator()
	j, err := c.Job(t.Context(), job)
	if err != nil || len(j.Waiting) == 0 || !strings.HasPrefix(j.Waiting[0].Error, rabbit.Delta+" holds ") || j.Waiting[0].Attempts != 0 {
		t.Errorf("leat job says %+v, %v", j.Waiting, err)
	}
	s.start(1, "delta", "annotate", "rollup")
	state, counts := s.await(job, 2*patience)
	s.want("state", state, "done")
	s.want("stats", counts["stats"]["new"], 30)
	s.want("requests", m.asked.Load(), 31)
	s.want("attempts", s.one(`SELECT max(attempts) FROM ledger`), 0)
}

// A job that is paused asks nothing more, goes on when it is resumed, and ends as
// cancelled with what it had asked for written.
func TestAJobIsPausedResumedAndCancelled(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	m := s.month()
	s.start(1)
	c, _ := s.operator()
	job := s.submit(monthJob)
	s.until(patience, "the source to be asked", func() bool { return int(m.asked.Load()) == s.cfg.Fetch.Slots })
	if _, err := c.Pause(t.Context(), job, "too many"); err != nil {
		t.Fatal(err)
	}
	close(m.hold) // what was asked for is answered, and flows on
	s.until(patience, "the other slices to wait", func() bool { return s.one(held, job, "paused") == 30-int(m.asked.Load()) })
	s.until(patience, "what was asked for to be in the rows", func() bool { return s.one(`SELECT count(*) FROM stats`) == int(m.asked.Load()) })
	j, err := c.Job(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	s.want("state", j.Standing(), "running, paused")
	slices, asked := j.Progress.Slices, int64(m.asked.Load())
	if asked > int64(s.cfg.Fetch.Slots) || slices.Planned != 30 || slices.Done != asked || slices.Waiting != 30-asked {
		t.Errorf("asked %d times: %+v", asked, slices)
	}
	if first := slices.Rest[0]; !strings.HasPrefix(first.From, "2026-03-") || first.From != first.To || !strings.Contains(first.Error, "the job is paused") {
		t.Errorf("a slice that waits: %+v", first)
	}
	if r, err := c.Resume(t.Context(), job, "enough room"); err != nil || !r.Unpaused || r.Messages != 0 {
		t.Errorf("resume: %+v, %v", r, err)
	}
	s.until(patience, "it to go on", func() bool { return int64(m.asked.Load()) > asked })
	if _, err := c.Cancel(t.Context(), job, "the wrong month"); err != nil {
		t.Fatal(err)
	}
	state, counts := s.await(job, patience)
	s.want("state", state, "cancelled")
	n := int(m.asked.Load())
	s.want("stats", counts["stats"]["new"], n)
	s.want("cancelled", counts["slices"]["cancelled"], 30-n)
	s.want("documents", len(s.documents("ads")), n)
	s.want("audit", s.query(`SELECT action, why FROM audit WHERE subject = $1 ORDER BY id`, job), []string{`"pause" "too many"`, `"resume" "enough room"`, `"cancel" "the wrong month"`})
	for what, do := range map[string]func() error{
		"it has ended: it is cancelled":            func() error { _, err := c.Pause(t.Context(), job, ""); return err },
		"job " + job + " is cancelled: it has not": func() error { _, err := c.Resume(t.Context(), job, ""); return err },
		`no job has the id "nobodys"`:              func() error { _, err := c.Cancel(t.Context(), "nobodys", ""); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %s", err, what)
		}
	}
}

// A refresh that is cancelled moves no cursor: the next asks from the same day on.
func TestACancelledRefreshMovesNoCursor(t *testing.T) {
	s := newSystem(t)
	m := s.month()
	s.start(1)
	c, _ := s.operator()
	job := s.submit(`{"source":"ads"}`)
	s.until(patience, "the source to be asked", func() bool { return int(m.asked.Load()) == s.cfg.Fetch.Slots })
	if _, err := c.Cancel(t.Context(), job, ""); err != nil {
		t.Fatal(err)
	}
	close(m.hold)
	state, counts := s.await(job, patience)
	s.want("state", state, "cancelled")
	s.want("slices", counts["slices"]["planned"], 30)
	job = s.submit(`{"source":"ads"}`)
	state, counts = s.await(job, patience)
	s.want("state of the next", state, "done")
	s.want("its slices", counts["slices"]["planned"], 30) // all of the lookback: there is no cursor yet
	state, counts = s.await(s.submit(`{"source":"ads"}`), patience)
	s.want("slices of the one after", counts["slices"]["planned"], 1)
	s.want("state of the one after", state, "done")
}

// A source that makes its reports first, slowly, and fails at some of them, with
// workers that are killed all the while: the rows are those of the same reports
// asked for at once, in peace.
func TestReportsThatAreMadeFirst(t *testing.T) {
	t.Parallel()
	s, platform := ads(t, 20<<10)
	s.adsFrom(platform.URL)
	const job = `{"source":"ads","mode":"backfill","account":"acme","from":"2026-03-01","to":"2026-03-12"}`
	file := filepath.Join(s.cfg.Sources, "ads.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile(`(?m)^( +)path: .*/report\?.*$`)
	s.source("ads.yaml", path.ReplaceAllString(string(text), `${1}path: /ads/reports
${1}slice: 3d
${1}async:
${1}  body: '{"account":"{account}","from":"{from}","to":"{to}"}'
${1}  id: report.id
${1}  poll: /ads/reports/{id}
${1}  status: report.status
${1}  done: [ready]
${1}  failed: [failed]
${1}  every: 1s
${1}  attempts: 9
${1}  url: report.url
${1}  delete: /ads/reports/{id}`))
	ask(t, platform, "faults?slow-report=1&fail-report=0.3&latency=50ms")
	processes := s.launch()
	id := s.submit(job)
	for range 4 {
		time.Sleep(700 * time.Millisecond)
		processes[0].signal(syscall.SIGKILL)
	}
	state, counts := s.await(id, 3*patience)
	s.want("state", state, "done")
	reports := counts["reports"]
	if reports["created"]-reports["failed"] != 4 || reports["deleted"] != 4 {
		t.Errorf("of 4 slices: %v", reports)
	}
	ask(t, platform, "faults")
	calm := newSystem(t)
	calm.adsFrom(platform.URL)
	calm.start(1)
	state, _ = calm.await(calm.submit(job), patience)
	calm.want("state in peace", state, "done")
	s.sameLines("rows", s.rows(), calm.rows())
	log := asked(t, platform)
	t.Logf("created %d, asked after %d times, %d downloads, %d deletes", log["/ads/reports"].Count, log["/ads/reports/{id}"].Count,
		log["/ads/reports/{id}/file"].Count, log["DELETE /ads/reports/{id}"].Count)
}
