package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/fetch"
)

// A Submission is a job that is ready to be published.
type Submission struct {
	Job      string          `json:"job"`       // its id
	SenderID string          `json:"sender_id"` // what this message calls it; the same again is the same job
	Source   string          `json:"source"`
	Body     json.RawMessage `json:"params"`
	Note     string          `json:"note,omitempty"` // what the sender should know
	Why      string          `json:"-"`              // it is sent, for audit

	envelope pipeline.Envelope
}

// Prepare reads a job as fetch would, and says what fetch would refuse. Where
// the source files can be read, it looks whether the source takes such a job.
func (c *Client) Prepare(body []byte, now time.Time) (Submission, error) {
	job, err := fetch.ParseJob(body)
	if err != nil {
		return Submission{}, err
	}
	note, err := checkSource(c.cfg.Sources, job, now)
	if err != nil {
		return Submission{}, err
	}
	s := Submission{SenderID: job.ID, Source: job.Source, Body: body, Note: note}
	if s.SenderID == "" {
		s.SenderID = uuid.Must(uuid.NewV7()).String()
	}
	s.Job = fetch.JobID(job.Source, s.SenderID)
	s.envelope = pipeline.Envelope{
		ID: s.SenderID, Kind: event.KindJob, Queue: rabbit.Fetch, At: now, Priority: job.Priority(), Body: body,
	}
	return s, nil
}

func checkSource(folder string, job fetch.Job, now time.Time) (note string, err error) {
	if _, err := os.ReadDir(folder); err != nil {
		return "", nil //nolint:nilerr // the sources are with fetch, on another host perhaps: it will say
	}
	src, err := FindSource(folder, job.Source)
	switch {
	case errors.Is(err, errBroken):
		return err.Error() + ": fetch takes the version that was used last, if there is one", nil
	case err != nil:
		return "", err
	}
	_, err = fetch.Plan(job, src, nil, now)
	return "", err
}

// ErrNotRecorded says that something was done, and is not in audit.
var ErrNotRecorded = errors.New("done, and not recorded")

// Submit publishes a job. When it returns nil, or ErrNotRecorded, the broker has
// it, and will keep it: a job does not need PostgreSQL to be sent.
func (c *Client) Submit(ctx context.Context, s Submission) error {
	if err := c.publish(ctx, []pipeline.Envelope{s.envelope}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := audit.Record(ctx, c.db, audit.Entry{
		By: c.by, Action: audit.Submit, Subject: s.Job, Why: s.Why, Detail: map[string]any{"source": s.Source, "id": s.SenderID, "job": json.RawMessage(redact.Text(string(s.Body)))},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	return nil
}

// patience is how long a job may lie in its queue before we look for the reason.
const patience = 10 * time.Second

// pollEvery is how often a job is looked at, unless that is slow.
const pollEvery = 500 * time.Millisecond

// Tell is what Wait reports while it waits: how far the job is, or, in words,
// why nothing happens.
type Tell struct {
	Progress func(Job)
	Note     func(string)
}

// ErrNotDone says that a job ended, and not well.
var ErrNotDone = errors.New("job")

// Wait waits until a job has ended, and returns it. One that did not end as
// done is an error that says why, and wraps ErrNotDone. While PostgreSQL is away
// it waits on: the job does too.
func (c *Client) Wait(ctx context.Context, s Submission, tell Tell) (Job, error) {
	look, away := time.Now().Add(patience), false
	for {
		start := time.Now()
		j, err := c.watch(ctx, s)
		switch {
		case err == nil:
			away = false
		case !pipeline.IsUnavailable(err):
			return j, err
		case !away:
			away = true
			tell.Note("PostgreSQL does not answer; waiting for it")
		}
		switch {
		case j.ID != "" && !j.Open():
			return j, j.outcome()
		case j.ID != "":
			tell.Progress(j)
		}
		if err == nil && (j.ID == "" || j.State == "queued") && time.Now().After(look) {
			tell.Note(c.whyIdle(ctx))
			look = time.Now().Add(6 * patience)
		}
		if err := sleep(ctx, max(pollEvery, 5*time.Since(start))); err != nil {
			return Job{}, err
		}
	}
}

// watch returns a submitted job as it is now; without an id while no worker has
// taken it.
func (c *Client) watch(ctx context.Context, s Submission) (Job, error) {
	if err := c.migrated(ctx); err != nil {
		return Job{}, postgres.Classify(err)
	}
	row, there, err := c.row(ctx, s.Job)
	if err != nil || !there {
		return Job{}, postgres.Classify(err)
	}
	if err := s.same(row); err != nil {
		return Job{}, err
	}
	j, err := c.fill(ctx, row)
	if err != nil {
		return Job{}, postgres.Classify(err)
	}
	return j, nil
}

// same returns an error when the row is of another job under the same id.
func (s Submission) same(row JobRow) error {
	var sent, kept any
	if err := errors.Join(json.Unmarshal(s.Body, &sent), json.Unmarshal(row.Params, &kept)); err != nil {
		return err
	}
	if !equalJSON(sent, kept) {
		return fmt.Errorf("%w: the id %q was the id of another job (%s): a new job needs a new id", ErrNotDone, s.SenderID, row.ID)
	}
	return nil
}

func equalJSON(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// outcome is the error that stands for how the job ended.
func (j Job) outcome() error {
	switch {
	case j.Open() || j.State == "done":
		return nil
	case j.Error != "":
		return fmt.Errorf("%w %s: %s: %s", ErrNotDone, j.ID, j.State, j.Error)
	case len(j.DeadLetters) > 0:
		d := j.DeadLetters[0]
		return fmt.Errorf("%w %s: %s: %d messages are dead letters, the first in %s: %s", ErrNotDone, j.ID, j.State, j.Progress.Messages.Dead, d.Stage, d.Error)
	}
	return fmt.Errorf("%w %s: %s", ErrNotDone, j.ID, j.State)
}

// whyIdle says why a job may still be in its queue.
func (c *Client) whyIdle(ctx context.Context) string {
	queues, err := c.queues(ctx)
	if err != nil {
		return fmt.Sprintf("no worker has taken the job yet, and RabbitMQ does not say why: %v", err)
	}
	for _, q := range queues {
		switch {
		case q.Name != rabbit.Fetch:
		case q.Consumers == 0:
			return fmt.Sprintf("the queue %s has no consumer: start leat-fetch; the job waits in it meanwhile", q.Name)
		default:
			return fmt.Sprintf("the queue %s has %d consumers and %d messages before or with this job; more leat-fetch workers take them sooner", q.Name, q.Consumers, q.Ready+q.Unacked)
		}
	}
	return "the queue " + rabbit.Fetch + " is not there: run `leat migrate`"
}
