package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/deadletter"
)

// dead files dead letters of the running job.
func (i *installation) dead(ids ...string) {
	i.t.Helper()
	var letters []pipeline.Envelope
	for _, id := range ids {
		letters = append(letters, pipeline.Envelope{
			ID: id, Kind: event.KindSlice, Queue: rabbit.Dead, Job: runningJob, At: time.Now(), Body: []byte(`{"source":"shop","version":"v"}`),
			Headers: map[string]string{"error": "no such type", "error_class": "permanent", "stage": "fetch", "origin_queue": rabbit.Fetch, "died_at": "2026-11-20T10:00:00Z"},
		})
	}
	if _, err := deadletter.File(i.t.Context(), i.db, letters); err != nil {
		i.t.Fatal(err)
	}
}

func TestDeadLettersOfAJob(t *testing.T) {
	i := withJobs(t)
	i.dead("m1", "m2")
	for _, job := range []string{runningJob, "0198aaaa", "nightly"} {
		store, f, err := i.Dead(t.Context(), deadletter.Filter{Job: job})
		if err != nil {
			t.Fatal(err)
		}
		letters, err := store.List(t.Context(), f, 0, 10)
		if err != nil || len(letters) != 2 {
			t.Errorf("of job %s: %+v, %v; want two", job, letters, err)
		}
	}
	if _, _, err := i.Dead(t.Context(), deadletter.Filter{Job: "nobody"}); err == nil {
		t.Error("a job that is not there has dead letters")
	}
}

// A replay that no console sends says so, and goes on when it is interrupted.
func TestAReplayWithoutAConsole(t *testing.T) {
	i := withJobs(t)
	i.dead("m1")
	store, f, err := i.Dead(t.Context(), deadletter.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := store.IDs(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if note := i.whyNotSent(t.Context()); !strings.Contains(note, "no leat-console is at work") {
		t.Errorf("it says %q", note)
	}
	r, err := store.Start(t.Context(), deadletter.Plan{IDs: ids, By: i.By()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Control(t.Context(), r.ID, audit.Pause, i.By(), ""); err != nil {
		t.Fatal(err)
	}
	if now, err := i.FollowReplay(t.Context(), r.ID, func(deadletter.Replay) {}, func(string) {}); err != nil || now.State != deadletter.Paused {
		t.Errorf("followed to %+v, %v; want it paused", now, err)
	}
}

// What operators do is in audit: who, what and why.
func TestAudit(t *testing.T) {
	i := installed(t)
	i.fill()
	s, err := i.Prepare([]byte(`{"source":"shop","url":"https://me:secret@example.com/x","id":"monday"}`), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.Why = "it is Monday"
	if err := i.Submit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	i.remove("photo/p1/all")
	repaired, err := i.Check(t.Context(), Checking{Repair: true, Why: "somebody deleted it"}, func(Difference) {})
	if err != nil || len(repaired.Repairs) != 1 {
		t.Fatalf("check %+v, %v", repaired, err)
	}
	if _, err := i.Rebuild(t.Context(), func(Difference) {}); err != nil {
		t.Fatal(err)
	}
	rows, err := i.Audit(t.Context(), audit.Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		if r.Who != audit.Operator().Who || !strings.Contains(r.Who, "@") || r.Via != "cli" || time.Since(r.At) > time.Hour {
			t.Errorf("row %+v: who, via or when is wrong", r)
		}
		got = append(got, r.Action+" "+r.Subject+": "+r.Why)
	}
	want := []string{"rebuild MongoDB: PostgreSQL was restored", "repair " + repaired.Repairs[0].Job + ": somebody deleted it (documents differ from the rows)", "submit " + s.Job + ": it is Monday"}
	if rows[0].Action == audit.Repair { // the rebuild marks what the repair's job has not written yet
		got = got[1:]
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("audit has %q, want %q", got, want)
	}
	if detail := string(rows[len(rows)-1].Detail); strings.Contains(detail, "secret") || !strings.Contains(detail, "monday") {
		t.Errorf("detail of the job: %s", detail)
	}
	if rows, err := i.Audit(t.Context(), audit.Filter{Action: audit.Submit, Subject: s.Job, Limit: 10}); err != nil || len(rows) != 1 {
		t.Errorf("submits of the job: %+v, %v", rows, err)
	}
}

// A job is sent without PostgreSQL too, and says that nobody wrote it down.
func TestSubmitWithoutAudit(t *testing.T) {
	i := install(t) // no tables
	if err := rabbit.Declare(t.Context(), i.cfg.RabbitMQ); err != nil {
		t.Fatal(err)
	}
	s, err := i.Prepare([]byte(`{"source":"shop","url":"https://example.com/x"}`), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Submit(t.Context(), s); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("submitted: %v, want ErrNotRecorded", err)
	}
	queues, err := i.queues(t.Context())
	if err != nil || len(queues) == 0 || queues[0].Ready != 1 {
		t.Errorf("queues %+v, %v; want the job in the first", queues, err)
	}
}
