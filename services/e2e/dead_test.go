package e2e

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/deadletter"
)

// operator is a client of the system, and its dead letters.
func (s *system) operator() (*client.Client, deadletter.Store) {
	s.t.Helper()
	c, err := client.Open(s.t.Context(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c, deadletter.Store{DB: s.db}
}

// filed waits for n dead letters of a stage, and returns them, the newest first.
func (s *system) filed(stage string, n int) (letters []deadletter.Letter) {
	s.t.Helper()
	store := deadletter.Store{DB: s.db}
	s.until(patience, fmt.Sprint(n, " dead letters of ", stage), func() bool {
		var err error
		letters, err = store.List(s.t.Context(), deadletter.Filter{Stage: stage, State: deadletter.All}, 0, 100)
		return err == nil && len(letters) == n
	})
	return letters
}

func (s *system) replay(c *client.Client, why string, ids ...int64) {
	s.t.Helper()
	store := deadletter.Store{DB: s.db}
	r, err := store.Start(s.t.Context(), deadletter.Plan{IDs: ids, By: c.By(), Why: why})
	if err != nil {
		s.t.Fatal(err)
	}
	if r, err = c.FollowReplay(s.t.Context(), r.ID, func(deadletter.Replay) {}, func(string) {}); err != nil || r.State != deadletter.Done {
		s.t.Fatalf("replay %+v, %v", r, err)
	}
}

// A source file has a mistake, the job dies of it, the file is put right, and the
// replay does the job.
func TestADeadJobIsReplayedWhenItsSourceIsRight(t *testing.T) {
	s := newSystem(t)
	s.cfg.Fetch.Files = []string{t.TempDir()}
	s.source("x.yaml", strings.Replace(nested, "source: x", "source: x\nfetched: 3", 1))
	s.start(1)
	s.start(1, "console")
	job := s.file("x", `{"c":"c1","g":[{"id":"g1","a":[{"id":"a1","s":[{"d":"2026-01-02","clicks":3}]}]}]}`)
	state, _ := s.await(job, patience)
	s.want("state", state, "failed")
	letter := s.filed("fetch", 1)[0]
	s.want("job", letter.Job, job)
	s.want("error", strings.Contains(letter.Error, "fetched"), true)

	s.source("x.yaml", nested)
	c, store := s.operator()
	s.replay(c, "the source is right", letter.ID)
	s.until(patience, "the job to be done", func() bool { return s.query(`SELECT state FROM jobs WHERE id = $1`, job)[0] == `"done"` })
	s.want("documents", len(s.documents("x")), 3)
	shown, err := store.Show(t.Context(), letter.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.want("the message now", shown.Now, "done")
	s.want("audit", s.query(`SELECT who, via, action, why FROM audit`)[0], fmt.Sprintf("%q %q %q %q", c.By().Who, "cli", audit.Replay, "the source is right"))
}

// A job with a mistake is edited: it keeps its id, and is done. One that had none
// becomes a job.
func TestAnEditedJobIsDone(t *testing.T) {
	s, _ := ads(t, 20<<10)
	s.start(1)
	s.start(1, "console")
	job := s.submit(strings.Replace(adsJob, `"ads"`, `"adz"`, 1))
	state, _ := s.await(job, patience)
	s.want("state", state, "failed")
	s.paste("", []byte(`{"sauce":"ads"}`))
	letters := s.filed("fetch", 2)
	c, store := s.operator()
	for _, d := range letters {
		shown, err := store.Show(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.EditDead(t.Context(), shown, []byte(`{"source":"nowhere"}`), ""); err == nil {
			t.Error("a source that is not there was taken")
		}
		edited, err := c.EditDead(t.Context(), shown, []byte(adsJob), "a slip")
		if err != nil {
			t.Fatal(err)
		}
		s.want("a new id", edited.EditedID != "" && edited.EditedID != d.MessageID, true)
		s.replay(c, "", d.ID)
	}
	s.until(patience, "both jobs to be done", func() bool { return s.query(`SELECT count(*) FROM jobs WHERE state = 'done'`)[0] == "2" })
	s.want("jobs", s.query(`SELECT count(*), count(*) FILTER (WHERE source = 'ads') FROM jobs`)[0], "2 2")
	s.want("the job that was there", s.query(`SELECT state, params ->> 'source' FROM jobs WHERE id = $1`, job)[0], `"done" "ads"`)
}

// killed is a job of which one part has died: delta found it broken.
func killed(t *testing.T) (s *system, job string, part []byte) {
	t.Helper()
	s, _ = ads(t, 20<<10)
	stop := s.start(1, "fetch")
	job = s.submit(adsJob)
	s.until(patience, "fetch to be done", func() bool {
		done := s.query(`SELECT count(*) = 1 + sum((counts ->> 'slices.planned')::int) FROM ledger WHERE job_id = $1 AND state = 'done'`, job)
		return done[0] == "true"
	})
	stop()
	for i, p := range s.take(rabbit.Delta, s.ready(rabbit.Delta)) {
		if i == 0 {
			part = p.Body
			p.Body = []byte(strings.Replace(string(p.Body), `"version":"`, `"version":"gone-`, 1))
		}
		s.publish(p)
	}
	s.start(1)
	state, _ := s.await(job, patience)
	s.want("state with a dead part", state, "incomplete")
	return s, job, part
}

// An edited part is another message, which its job waits for.
func TestAnEditedPartEndsItsJob(t *testing.T) {
	s, job, part := killed(t)
	s.start(1, "console")
	letter := s.filed("delta", 1)[0]
	c, store := s.operator()
	shown, err := store.Show(t.Context(), letter.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"", "{", `{"source":"ads","stats":[[1]]}`} {
		if _, err := c.EditDead(t.Context(), shown, []byte(broken), ""); err == nil {
			t.Errorf("a body that delta cannot read was taken: %s", broken)
		}
	}
	if _, err := c.EditDead(t.Context(), shown, part, "the version was wrong"); err != nil {
		t.Fatal(err)
	}
	s.replay(c, "", letter.ID)
	s.until(patience, "the job to be done", func() bool { return s.query(`SELECT state FROM jobs WHERE id = $1`, job)[0] == `"done"` })
	s.want("ledger", s.query(`
		SELECT old.state, new.state, new.replay FROM ledger old JOIN ledger new ON new.stage = old.stage AND new.message_id = old.names[cardinality(old.names)]
		JOIN dead_letters d ON d.message_id = old.message_id AND d.edited_id = new.message_id`)[0], `"done" "done" 1`)
	s.sameAsRows(job)
}

// sameAsRows asks whether documents and rows agree.
func (s *system) sameAsRows(job string) {
	s.t.Helper()
	c, _ := s.operator()
	checked, err := c.Check(s.t.Context(), client.Checking{}, func(d client.Difference) { s.t.Error(d.Text) })
	if err != nil || checked.Documents == 0 {
		s.t.Errorf("check after job %s: %+v, %v", job, checked, err)
	}
}

// Without a console a person moves the letter from leat.dead back to its queue,
// in the management UI or by a shovel: as it is, headers and all. It dies again as
// long as nothing is different, and is done when something is.
func TestADeadLetterIsMovedByHand(t *testing.T) {
	s := corner(t, 1)
	job := s.file("x", `{"c":"c1","g":[{"id":"g1","a":[{"id":"a1","s":[{"d":"2026-01-02","clicks":3}]}]}]}`)
	state, _ := s.await(job, patience)
	s.want("state", state, "failed")
	s.move(rabbit.Dead, rabbit.Fetch)
	s.until(patience, "it to die again", func() bool {
		return len(s.query(`SELECT 1 FROM ledger WHERE state = 'dead' AND replay = 1`)) == 1
	})
	s.want("the letter of the second death", fmt.Sprint(s.letters(1)[0].Headers["replay"]), "1")

	s.source("x.yaml", nested)
	s.move(rabbit.Dead, rabbit.Fetch)
	s.until(patience, "the job to be done", func() bool { return s.query(`SELECT state FROM jobs WHERE id = $1`, job)[0] == `"done"` })
	s.want("documents", len(s.documents("x")), 3)
}

// A part that was moved by hand is done once, and its job is whole.
func TestAPartIsMovedByHandTwice(t *testing.T) {
	s, job, _ := killed(t)
	letter := s.letters(1)[0]
	if _, err := s.db.Exec(t.Context(), `
		INSERT INTO source_versions (hash, source, text, tables) SELECT 'gone-' || hash, source, text, tables FROM source_versions`); err != nil {
		t.Fatal(err)
	}
	s.copyTo(rabbit.Delta, letter)
	s.move(rabbit.Dead, rabbit.Delta)
	s.until(patience, "the job to be done", func() bool { return s.query(`SELECT state FROM jobs WHERE id = $1`, job)[0] == `"done"` })
	s.until(patience, "both copies to be taken", func() bool { return s.ready(rabbit.Delta) == 0 })
	s.want("ledger", s.query(`SELECT state, replay FROM ledger WHERE stage = 'delta' AND message_id = $1`, letter.MessageId)[0], `"done" 1`)
	s.want("dead letters", s.ready(rabbit.Dead), 0)
	s.sameAsRows(job)
}

// copyTo publishes a delivery to a queue as it is: what "Move messages" does.
func (s *system) copyTo(queue string, d amqp.Delivery) {
	s.t.Helper()
	ch, done := s.channel()
	defer done()
	if err := ch.Confirm(false); err != nil {
		s.t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		CorrelationId: d.CorrelationId, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	})
	if err != nil || !confirm.Wait() {
		s.t.Fatal("not published:", err)
	}
}

// move moves the one message of a queue to another.
func (s *system) move(from, to string) {
	s.t.Helper()
	s.until(patience, "a message in "+from, func() bool { return s.ready(from) == 1 })
	ch, done := s.channel()
	defer done()
	d, ok, err := ch.Get(from, false)
	if err != nil || !ok {
		s.t.Fatalf("nothing in %s: %v", from, err)
	}
	s.copyTo(to, d)
	if err := d.Ack(false); err != nil {
		s.t.Fatal(err)
	}
}

// ready is how many messages are ready in a queue.
func (s *system) ready(queue string) int {
	s.t.Helper()
	ch, done := s.channel()
	defer done()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return q.Messages
}
