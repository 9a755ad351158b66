package fetch

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
)

// An office makes reports: what it was asked, and what it says.
type office struct {
	*bench
	asked  []string          // method, path and body
	status string            // of each report
	codes  map[string]int    // statuses by method and step, where they are not as usual
	urls   map[string]string // of reports, by id
	made   int
}

const (
	jsonBody  = `body: '{"who":"{account}","days":["{from}","{to}"]}'`
	asyncDays = "report: {path: /reports, lookback: 2d, async: {" + jsonBody + ", id: report.id, poll: '/reports/{id}', status: report.status, done: [ready], failed: [broken], %s}}"
	whole     = "download: '/reports/{id}/file', delete: '/reports/{id}'"
)

func newOffice(t *testing.T, settings, more string) *office {
	o := &office{bench: newBench(t), status: "ready", codes: map[string]int{}}
	o.serve(o)
	o.source(settings, fmt.Sprintf(asyncDays, more), "accounts: ['a \"b\"']\n")
	return o
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	o.asked = append(o.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
	step := r.Method
	if strings.HasSuffix(r.URL.Path, "/file") {
		step = "file"
	}
	if code := o.codes[step]; code != 0 {
		http.Error(w, "the office is closed", code)
		return
	}
	switch step {
	case "POST":
		o.made++
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"report":{"id":"r %d"}}`, o.made)
	case "GET":
		fmt.Fprintf(w, `{"report":{"status":%q,"why":"no paper","url":%q}}`, o.status, o.urls[r.URL.Path])
	case "file":
		fmt.Fprint(w, `{"ads":[{"id":"a1","date":"2026-11-13","clicks":3}]}`)
	case "DELETE":
		w.WriteHeader(http.StatusNoContent)
	}
}

// log returns what was asked since the last call.
func (o *office) log() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := o.asked
	o.asked = nil
	return strings.Join(asked, "\n")
}

// next handles a message that leads to one other.
func (o *office) next(e pipeline.Envelope) pipeline.Envelope {
	o.t.Helper()
	out := o.must(e)
	if len(out) != 1 || out[0].Queue != o.Self || out[0].Kind != event.KindSlice {
		o.t.Fatalf("what follows is %+v; asked\n%s", out, o.log())
	}
	return out[0]
}

// due is a poll whose time has come.
func itsTime(e pipeline.Envelope) pipeline.Envelope {
	e.Headers = map[string]string{afterHeader: time.Now().Add(-time.Second).Format(time.RFC3339Nano)}
	return e
}

// poll creates a report and returns the poll that follows.
func (o *office) poll() pipeline.Envelope {
	o.t.Helper()
	e := itsTime(o.next(o.bench.slice(refresh)))
	o.log()
	return e
}

// Each step is a message that commits what it learned; one that comes again asks
// nothing, and leads to the same.
func TestAReportGoesItsWayAStepAtATime(t *testing.T) {
	o := newOffice(t, "", whole)
	days := o.bench.slice(refresh)
	s, err := pipeline.Decode[event.Slice](days)
	if err != nil {
		t.Fatal(err)
	}
	poll := o.next(days)
	if got, want := o.log(), fmt.Sprintf(`POST /reports {"who":"a \"b\"","days":[%q,%q]}`, s.From, s.To); got != want {
		t.Errorf("created by\n%s\nwant\n%s", got, want)
	}
	if early := o.next(poll); early.ID != poll.ID || early.Wait != 10*time.Second || o.log() != "" {
		t.Errorf("a poll that is early: %+v", early)
	}
	o.status = "running"
	waits := o.next(itsTime(poll))
	if waits.ID != poll.ID || waits.Attempt != 0 || waits.Headers[afterHeader] == "" || o.log() != "GET /reports/r 1" {
		t.Errorf("a report that is not done: %+v", waits)
	}
	if w := o.waiting(poll.ID); w != `started pending 0 0 report r 1 is "running"` {
		t.Errorf("leat job says %q", w)
	}
	o.status = "ready"
	download := o.next(itsTime(waits))
	remove := o.next(download)
	if got := o.log(); got != "GET /reports/r 1\nGET /reports/r 1/file" || len(o.sink.all()) != 1 {
		t.Errorf("asked\n%s", got)
	}
	if out := o.must(remove); len(out) != 0 || o.log() != "DELETE /reports/r 1" {
		t.Errorf("after the end: %+v", out)
	}
	for _, step := range []struct{ e, next pipeline.Envelope }{{days, poll}, {itsTime(poll), download}, {download, remove}} {
		if again := o.next(step.e); again.ID != step.next.ID || o.log() != "" {
			t.Errorf("again: %+v", again)
		}
	}
	if got := o.text(`SELECT key || value FROM (SELECT key, sum(value::int) AS value FROM ledger, jsonb_each_text(counts) GROUP BY key) AS c WHERE key LIKE 'reports.%' ORDER BY 1`); got != "reports.created1\nreports.deleted1" {
		t.Error(got)
	}
	// A report may hold nothing that was true after it was asked for.
	if got := o.text(`SELECT count(*)::text FROM answers a JOIN cursors c ON c.next::timestamptz = a.observed_at WHERE a.observed_at < a.asked_at - interval '1 millisecond'`); got != "1" {
		t.Errorf("answers that were true when the report was created, and cursors there: %s", got)
	}
}

// A report that comes to nothing is created anew, until there were enough: then
// the dead letter has the source's words. A person's replay has one more made.
func TestAReportThatComesToNothingIsCreatedAnew(t *testing.T) {
	for what, c := range map[string]struct {
		broken func(o *office)
		poll   func(e *pipeline.Envelope)
		reason string
	}{
		"it failed":           {func(o *office) { o.status = "broken" }, nil, `it failed: `},
		"it is not known":     {func(o *office) { o.codes["GET"] = http.StatusNotFound }, nil, "answered 404 Not Found: \"the office is closed"},
		"it takes too long":   {func(o *office) { o.status = "running" }, old, "after 1h0m0s (fetch.report.async.timeout) it was not done: "},
		"its file is no more": {func(o *office) { o.codes["file"] = http.StatusGone }, nil, "answered 410 Gone: \"the office is closed"},
	} {
		o := newOffice(t, "", whole+", attempts: 2")
		c.broken(o)
		fail := func(poll pipeline.Envelope) ([]pipeline.Envelope, error) {
			if c.poll != nil {
				c.poll(&poll)
			}
			if what != "its file is no more" {
				return o.do(poll)
			}
			return o.do(o.next(poll))
		}
		out, err := fail(o.poll())
		if err != nil || len(out) != 1 {
			t.Fatalf("%s: %+v, %v", what, out, err)
		}
		poll := itsTime(o.next(out[0]))
		if got := o.log(); strings.Count(got, "POST") != 1 {
			t.Errorf("%s: asked\n%s", what, got)
		}
		_, err = fail(poll)
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "report r 2, the last of 2 that were created: ") || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", what, err)
		}
		poll.Replay++
		if what == "it failed" {
			if out, err = fail(poll); err != nil || len(out) != 1 {
				t.Errorf("%s, replayed: %+v, %v", what, out, err)
			}
		}
	}
}

// old has a report be created long ago.
func old(e *pipeline.Envelope) {
	s, err := pipeline.Decode[event.Slice](*e)
	if err != nil {
		panic(err)
	}
	s.Report.Created = s.Report.Created.Add(-2 * time.Hour)
	again, err := e.Emit(e.Queue, e.Key, s)
	if err != nil {
		panic(err)
	}
	e.Body = again.Body
}

// Who dies before an id is committed creates another; the first is never asked after.
func TestAReportIsAskedAfterOnlyWhenItsIDIsCommitted(t *testing.T) {
	o := newOffice(t, "", whole)
	days := o.bench.slice(refresh)
	o.exec(`ALTER TABLE ledger ADD CONSTRAINT dies CHECK (message_id <> '` + days.ID + `')`)
	if _, err := o.do(days); err == nil {
		t.Fatal("the process did not die")
	}
	o.exec(`ALTER TABLE ledger DROP CONSTRAINT dies`)
	o.must(itsTime(o.next(days)))
	if got := o.log(); strings.Count(got, "POST") != 2 || !strings.HasSuffix(got, "\nGET /reports/r 2") {
		t.Errorf("asked\n%s", got)
	}
}

// Who dies while a report is cut cuts it again, and downloads it once.
func TestADownloadIsNotAskedForTwice(t *testing.T) {
	o := newOffice(t, "", whole)
	download := o.next(o.poll())
	o.sink.fails = 1
	if _, err := o.do(download); err == nil {
		t.Fatal("the process did not die")
	}
	first := o.sink.take()
	o.next(download)
	if got := o.log(); strings.Count(got, "/file") != 1 || o.sink.take() != first {
		t.Errorf("asked\n%s", got)
	}
}

func TestWhereAReportLiesIsAHostThatMayKnow(t *testing.T) {
	o := newOffice(t, "", "url: report.url")
	o.urls = map[string]string{"/reports/r 1": "/elsewhere/file?x=1", "/reports/r 2": "http://example.com/file"}
	if out := o.must(o.next(o.poll())); len(out) != 0 || !strings.HasSuffix(o.log(), "\nGET /elsewhere/file") {
		t.Errorf("%+v", out)
	}
	if _, err := o.do(o.poll()); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `report: it is said to be at host "example.com"; allowed are`) {
		t.Errorf("got %v", err)
	}
	if _, err := o.do(o.poll()); err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "nothing is at report.url (fetch.report.async.url)") {
		t.Errorf("got %v", err)
	}
}

// That a report cannot be deleted harms nothing of the job.
func TestAReportThatCannotBeDeletedStays(t *testing.T) {
	o := newOffice(t, "", whole)
	remove := o.next(o.next(o.poll()))
	o.codes["DELETE"] = http.StatusServiceUnavailable
	if _, err := o.do(remove); verdict(err) != "later" {
		t.Errorf("the source is busy: %v", err)
	}
	o.codes["DELETE"] = http.StatusInternalServerError
	if _, err := o.do(remove); err == nil {
		t.Error("it is not tried again")
	}
	remove.Attempt = 2
	if out := o.must(remove); len(out) != 0 || o.text(`SELECT counts::text FROM ledger WHERE message_id = $1`, remove.ID) != `{"reports.left": 1}` {
		t.Errorf("%+v", out)
	}
}

// A person's word reaches a report that is being made: it is asked after no more,
// and deleted if it was cancelled.
func TestAJobIsHaltedWhileItsReportIsMade(t *testing.T) {
	o := newOffice(t, "", whole)
	poll := o.poll()
	o.halt(Paused)
	if out := o.next(poll); out.ID != poll.ID || !strings.Contains(o.waiting(poll.ID), "the job is paused") || o.log() != "" {
		t.Errorf("paused: %+v", out)
	}
	o.halt(Cancelled)
	remove := o.next(poll)
	if out := o.must(remove); len(out) != 0 || o.log() != "DELETE /reports/r 1" {
		t.Errorf("cancelled: %+v", out)
	}
}

// Every request is of the budget.
func TestEachStepIsTakenOutOfTheBudget(t *testing.T) {
	o := newOffice(t, "rate: {requests: 1, per: 1h}", whole)
	poll := o.poll()
	out := o.next(poll)
	if out.ID != poll.ID || out.Headers[turnHeader] == "" || o.log() != "" {
		t.Errorf("%+v", out)
	}
}

func TestAnAnswerWithoutAnIDIsTriedAgain(t *testing.T) {
	o := newOffice(t, "", whole)
	o.source("", strings.Replace(fmt.Sprintf(asyncDays, whole), "report.id", "report.name", 1), "accounts: [acme]\n")
	_, err := o.do(o.bench.slice(refresh))
	if err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "report: nothing is at report.name (fetch.report.async.id) of "+o.url) {
		t.Errorf("got %v", err)
	}
}
