package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// A report that the source makes first goes through four slices, each a message
// that commits what it learned before the next is published: create, poll,
// download, delete. A poll that comes too soon is put back through the waiting
// queues under its own id.

// async is how the report is made that a slice asks for; nil: it is there at once.
func async(s event.Slice, src *source.Source) *source.Async {
	if s.URL != "" || s.Since != nil || s.IDs != nil || s.Live != "" {
		return nil
	}
	return src.Fetch.Report.Async
}

// step is what a slice does of a report, empty where its answer is data at once.
func (t task) step() string {
	switch {
	case async(t.slice, t.src) == nil:
		return ""
	case t.slice.Report == nil:
		return event.ReportCreate
	}
	return t.slice.Report.Step
}

// made is the report that a slice is about; of one that creates the first, none.
func (t task) made() event.Report {
	if t.slice.Report == nil {
		return event.Report{}
	}
	return *t.slice.Report
}

// then adds the slice that does the next step.
func (cut *pieces) then(t task, r event.Report) {
	next := t.slice
	next.Report = &r
	cut.follow = append(cut.follow, follower{r.Step, next})
}

// about does a step whose answer is no data, but says something of the report.
func (s *Stage) about(ctx context.Context, t task) (pieces, error) {
	var cut pieces
	var err error
	switch t.step() {
	case event.ReportCreate:
		cut, err = s.create(ctx, t)
	case event.ReportPoll:
		cut, err = s.askAfter(ctx, t)
	default:
		cut, err = s.remove(ctx, t)
	}
	if _, gone := errors.AsType[expiredError](err); gone {
		return t.another(err)
	}
	return cut, err
}

// create has the source make a report. Its id is committed with the slice that
// asks after it: who dies in between creates another.
func (s *Stage) create(ctx context.Context, t task) (cut pieces, err error) {
	if err := s.mayBegin(ctx, t); err != nil {
		return cut, err
	}
	a := async(t.slice, t.src)
	said, err := s.call(ctx, t, a.Method, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return cut, err
	}
	r := event.Report{Step: event.ReportPoll, ID: said.at(a.ID), Created: said.asked, Try: t.made().Try}
	if r.ID == "" {
		return cut, pipeline.Paced(fmt.Errorf("report: nothing is at %s (fetch.report.async.id) of %s", a.ID, said))
	}
	cut.counts = map[string]int{"reports.created": 1}
	cut.then(t, r)
	return cut, nil
}

// The headers of a poll, and the class of what it waits for.
const (
	afterHeader  = "after" // it is not asked again before
	classPending = "pending"
)

// askAfter asks how a report is, and waits where it is not done.
func (s *Stage) askAfter(ctx context.Context, t task) (cut pieces, err error) {
	if err := t.halted(t.halt); err != nil {
		return cut, err
	}
	a, r := async(t.slice, t.src), t.made()
	after, err := time.Parse(time.RFC3339Nano, t.Headers[afterHeader])
	if err != nil { // it is the first poll
		after = r.Created.Add(a.Every)
	}
	if early := time.Until(after); early > 0 {
		return cut, parked{wait: pipeline.WaitWithin(early), after: after}
	}
	said, err := s.call(ctx, t, http.MethodGet, http.StatusOK)
	if err != nil {
		return cut, err
	}
	switch status := said.at(a.Status); {
	case slices.Contains(a.Done, status):
		r.Step = event.ReportDownload
		if a.URL != "" {
			r.URL, err = said.address(a.URL, t.src)
		}
		cut.then(t, r)
		return cut, err
	case slices.Contains(a.Failed, status):
		return t.another(fmt.Errorf("it failed: %s", said))
	case status == "":
		return cut, pipeline.Paced(fmt.Errorf("report %s: nothing is at %s (fetch.report.async.status) of %s", r.ID, a.Status, said))
	case said.asked.Sub(r.Created) > a.Timeout:
		return t.another(fmt.Errorf("after %s (fetch.report.async.timeout) it was not done: %s", a.Timeout, said))
	default:
		return cut, parked{wait: pipeline.WaitWithin(a.Every), after: time.Now().Add(a.Every), class: classPending, why: fmt.Sprintf("report %s is %q", r.ID, status)}
	}
}

// another has the source make a report in place of one that came to nothing, for
// the reason that the source gives, until there were enough. A person who brings
// the last back from the dead has one more made.
func (t task) another(reason error) (cut pieces, err error) {
	r := t.made()
	if r.Try+1 >= async(t.slice, t.src).Attempts+t.Replay {
		return cut, pipeline.Permanent(fmt.Errorf("report %s, the last of %d that were created: %w", r.ID, r.Try+1, reason))
	}
	cut.counts = map[string]int{"reports.failed": 1}
	cut.then(t, event.Report{Step: event.ReportCreate, Try: r.Try + 1})
	return cut, nil
}

// leave adds the slice that deletes a report which nobody needs any more.
func (cut *pieces) leave(t task) {
	r := t.made()
	if a := async(t.slice, t.src); a == nil || a.Delete == "" || r.ID == "" || r.Step == event.ReportDelete {
		return
	}
	cut.then(t, event.Report{Step: event.ReportDelete, ID: r.ID, Created: r.Created})
}

// deletions is how often a report is tried to be deleted.
const deletions = 3

// remove deletes a report whose parts delta has. One that the source does not let
// go stays there: nothing of the job is wrong for that.
func (s *Stage) remove(ctx context.Context, t task) (cut pieces, err error) {
	cut.counts = map[string]int{"reports.deleted": 1}
	_, err = s.call(ctx, t, http.MethodDelete, http.StatusOK, http.StatusAccepted, http.StatusNoContent, http.StatusNotFound, http.StatusGone)
	if err == nil {
		return cut, nil
	}
	_, away := errors.AsType[parked](err)
	if away || pipeline.Class(err) == pipeline.ClassUnavailable || pipeline.Class(err) == pipeline.ClassRateLimited {
		return cut, err
	}
	if !pipeline.IsPermanent(err) && t.Attempt+1 < deletions || ctx.Err() != nil {
		return cut, err
	}
	s.Log.Warn("a report stays with the source", zap.String("source", t.src.Name), zap.String("report", t.made().ID), zap.Error(err))
	cut.counts = map[string]int{"reports.left": 1}
	return cut, nil
}

// downloadable checks where a source says that a report lies.
func downloadable(u *url.URL, src *source.Source) error {
	if mayKnow(u, src) {
		return nil
	}
	return pipeline.Permanent(fmt.Errorf("report: it is said to be at host %q; allowed are that of http.base_url and http.hosts", u.Host))
}
