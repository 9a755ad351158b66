package e2e

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/rabbit"
)

// A job that lost what it had in a queue, whichever queue that is, ends after a
// resume as if nothing had been lost.
func TestPurgedJobsAreResumed(t *testing.T) {
	t.Parallel()
	s, platform := ads(t, 1<<20)
	conn, err := amqp.Dial(s.cfg.RabbitMQ.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	c := s.client()
	for _, lost := range []struct {
		queue string
		until []string // the stages that work until then
	}{
		{"leat.wait.10s", []string{"fetch"}}, // where slices wait for a platform that is away
		{rabbit.Delta, []string{"fetch"}},
		{rabbit.Annotate, []string{"fetch", "delta"}},
		{rabbit.Rollup, []string{"fetch", "delta", "annotate"}},
	} {
		revise(t, platform, "0.2")
		if lost.queue == "leat.wait.10s" {
			ask(t, platform, "faults?fail-503=1")
		}
		job := s.submit(adsJob)
		stop := s.start(1, lost.until...)
		s.until(patience, "the job to reach "+lost.queue, func() bool { return s.messagesIn(channel, lost.queue) > 0 })
		stop()
		ask(t, platform, "faults")
		if n, err := channel.QueuePurge(lost.queue, false); err != nil || n == 0 {
			t.Fatalf("%d messages purged from %s: %v", n, lost.queue, err)
		}
		r, err := c.Resume(t.Context(), job, "")
		if err != nil || r.Messages == 0 {
			t.Fatalf("resume after the loss of %s: %+v, %v", lost.queue, r, err)
		}
		stop = s.start(1)
		state, _ := s.await(job, patience)
		stop()
		s.want("state after the loss of "+lost.queue, state, "done")
	}
	if _, err := c.Resume(t.Context(), s.query(`SELECT id::text FROM jobs LIMIT 1`)[0][1:9], ""); err == nil {
		t.Error("a job that has ended was resumed")
	}
	s.sameAsUndisturbed(platform)
}

// messagesIn is how many messages wait in a queue.
func (s *system) messagesIn(channel *amqp.Channel, queue string) int {
	s.t.Helper()
	q, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return q.Messages
}
