package client

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/fetch"
)

const aJob = `{"source":"shop","url":"https://example.com/a.json"}`

// take takes the one message of a queue.
func (i *installation) take(queue string) amqp.Delivery {
	i.t.Helper()
	all := i.takeAll(queue)
	if len(all) != 1 {
		i.t.Fatalf("%d messages in %s, want one", len(all), queue)
	}
	return all[0]
}

// takeAll empties a queue.
func (i *installation) takeAll(queue string) (all []amqp.Delivery) {
	i.t.Helper()
	conn, err := i.dial(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		i.t.Fatal(err)
	}
	for {
		d, ok, err := channel.Get(queue, true)
		if err != nil {
			i.t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, d)
	}
}

func TestSubmitPublishesTheJob(t *testing.T) {
	i := install(t)
	i.migrate()
	for name, test := range map[string]struct {
		body string
		id   string // "": a fresh one
	}{
		"without an id":           {aJob, ""},
		"with the sender's own":   {`{"source":"shop","url":"https://example.com/a.json","id":"mine"}`, "mine"},
		"with space and new line": {" {\"source\": \"shop\",\n\"url\": \"https://example.com/a.json\"}\n", ""},
	} {
		s, err := i.Prepare([]byte(test.body), time.Now())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := i.Submit(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d := i.take(rabbit.Fetch)
		if test.id != "" && d.MessageId != test.id {
			t.Errorf("%s: message_id %q, want %q", name, d.MessageId, test.id)
		}
		if d.MessageId == "" || d.CorrelationId != "" || d.Type != "leat.job.v1" || d.Priority != 5 || string(d.Body) != test.body {
			t.Errorf("%s: published %+v", name, d)
		}
		if want := fetch.JobID("shop", d.MessageId); s.Job != want {
			t.Errorf("%s: job %s, want %s", name, s.Job, want)
		}
	}
}

func TestPrepareRefusesWhatFetchWould(t *testing.T) {
	i := install(t)
	for body, want := range map[string]string{
		`{"source":"shop","urll":"x"}`:       `unknown field "urll"`,
		`{"source":"shpo"}`:                  `found "shpo"; in`,
		`{"source":"shop"}`:                  `needs a "url"`,
		`{"source":"shop","mode":"nightly"}`: `allowed are refresh, backfill and full`,
		``:                                   `the body is empty`,
	} {
		if _, err := i.Prepare([]byte(body), time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", body, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(i.cfg.Sources, "late.yaml"), []byte("source: late\nrecords: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := i.Prepare([]byte(`{"source":"late"}`), time.Now()); err != nil || !strings.Contains(s.Note, "leat source lint") {
		t.Errorf("of a broken file: %q, %v; fetch may have its last version", s.Note, err)
	}
	i.cfg.Sources = "/nowhere"
	if _, err := i.Prepare([]byte(`{"source":"shpo"}`), time.Now()); err != nil {
		t.Errorf("without the sources folder: %v; fetch will know", err)
	}
}

func TestWaitReturnsWhenTheJobHasEnded(t *testing.T) {
	i := install(t)
	i.migrate()
	quiet := Tell{Progress: func(Job) {}, Note: func(string) {}}
	for state, want := range map[string]string{
		"done": "", "incomplete": "1 messages are dead letters, the first in delta: no such type", "failed": "failed: bad account",
	} {
		s, err := i.Prepare([]byte(aJob), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		i.exec(`
			INSERT INTO leat.jobs (id, sender_id, source, mode, params, via, state, error, started_at)
			VALUES ($1, $2, 'shop', 'url', $3, 'queue', 'running', CASE WHEN $4 = 'failed' THEN 'bad account' END, now())`,
			s.Job, s.SenderID, aJob, state)
		i.exec(`INSERT INTO leat.ledger (stage, message_id, job_id, state, error) VALUES ('delta', $1::text, $1::uuid, 'dead', 'no such type')`, s.Job)
		told := 0
		end := Tell{Note: quiet.Note, Progress: func(Job) {
			if told++; told == 1 {
				i.exec(`UPDATE leat.jobs SET state = $2, finished_at = now() WHERE id = $1`, s.Job, state)
			}
		}}
		j, err := i.Wait(t.Context(), s, end)
		if j.State != state || told != 1 {
			t.Errorf("%s: returned in state %q after telling %d times", state, j.State, told)
		}
		if (want == "") != (err == nil) || (err != nil && (!errors.Is(err, ErrNotDone) || !strings.Contains(err.Error(), want))) {
			t.Errorf("%s: %v, want an error with %q", state, err, want)
		}
	}
}

func TestWaitNoticesAnotherJobUnderTheID(t *testing.T) {
	i := install(t)
	i.migrate()
	s, err := i.Prepare([]byte(aJob), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	i.exec(`INSERT INTO leat.jobs (id, source, mode, params, via, state) VALUES ($1, 'shop', 'url', '{"source": "shop", "url": "b"}', 'queue', 'done')`, s.Job)
	if _, err := i.Wait(t.Context(), s, Tell{}); !errors.Is(err, ErrNotDone) || !strings.Contains(err.Error(), "another job") {
		t.Errorf("%v, want an error that says so", err)
	}
}

func TestWhyAJobWaits(t *testing.T) {
	i := install(t)
	if why := i.whyIdle(t.Context()); !strings.Contains(why, "leat migrate") {
		t.Errorf("without queues: %s", why)
	}
	i.migrate()
	if why := i.whyIdle(t.Context()); !strings.Contains(why, "leat.fetch has no consumer") {
		t.Errorf("without workers: %s", why)
	}
	i.cfg.RabbitMQ.ManagementURL = "http://127.0.0.1:1"
	if why := i.whyIdle(t.Context()); !strings.Contains(why, "leat.fetch has no consumer") {
		t.Errorf("without the management API: %s", why)
	}
}
