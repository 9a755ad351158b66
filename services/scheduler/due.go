package scheduler

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/fetch"
)

// A Past is what was made of a schedule before.
type Past struct {
	Due         time.Time // it is seen to up to here
	Job         *string   // the id of the last job; nil: there was none
	Body        string    // of it
	PublishedAt *time.Time
	State       *string // of it; nil: fetch has not taken it yet
}

// The outcomes of a time that is due.
const (
	Published = "published"
	Again     = "again"   // the job before was never taken: it is published once more
	Skipped   = "skipped" // the job before is still at work, or about to be
)

// patience is how long a job may lie in its queue before it is taken for lost.
// Publishing it again costs nothing: under its id it is the same job.
const patience = 10 * time.Minute

// memory is how long it is asked for at all: jobs that ended long ago have no row
// any more.
const memory = 24 * time.Hour

// Decide says what is to be made of a time that is due, and why.
func Decide(p Past, now time.Time) (outcome, why string) {
	switch {
	case p.Job == nil || p.PublishedAt == nil:
		return Published, ""
	case p.State == nil && now.Sub(*p.PublishedAt) < patience:
		return Skipped, "job " + *p.Job + " was published, and no leat-fetch has taken it yet"
	case p.State == nil && now.Sub(*p.PublishedAt) < memory:
		return Again, "no leat-fetch has taken job " + *p.Job
	case p.State != nil && (*p.State == "queued" || *p.State == "running"):
		return Skipped, "job " + *p.Job + " is still " + *p.State
	}
	return Published, ""
}

// jobOf makes the job of a schedule and time. Whoever makes it gives it the same id.
func jobOf(src *source.Source, schedule source.Schedule, due time.Time) (fetch.Job, error) {
	j := fetch.Job{
		Source: src.Name, Mode: schedule.Mode,
		ID: fmt.Sprintf("schedule/%s/%s", schedule, due.UTC().Format(time.RFC3339)),
	}
	body, err := json.Marshal(j)
	if err != nil {
		return j, err
	}
	return fetch.ParseJob(body)
}

// envelope is a job as it is published.
func envelope(j fetch.Job, body, queue string, now time.Time) pipeline.Envelope {
	return pipeline.Envelope{ID: j.ID, Kind: event.KindJob, Queue: queue, At: now, Priority: j.Priority(), Body: []byte(body)}
}
