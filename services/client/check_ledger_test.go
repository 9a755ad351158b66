package client

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
)

const lostText = ", which the ledger waits for, are in no queue, and no worker holds them: it can never end; `leat resume " + openJob + "` or --repair publishes them again"

// lose writes a job whose slice cut two parts; delta has done one of them, and
// says what follows. Of rows what is not named is not there.
func (i *installation) lose(rows ...string) {
	i.t.Helper()
	i.fill()
	i.exec(`INSERT INTO leat.jobs (id, source, mode, params, via, state) VALUES ($1, 'shop', 'full', '{"source": "shop", "mode": "full"}', 'test', 'running')`, openJob)
	for _, r := range []struct{ stage, id, names, outputs string }{
		{"fetch", openJob, "slice", `[{"id": "slice", "kind": "leat.slice.v1", "queue": "leat.fetch", "job": "` + openJob + `", "at": "2026-11-25T00:00:00Z", "body": {"a": 1}}]`},
		{"fetch", "slice", "part-1 part-2", `[]`},
		{"delta", "part-1", "change-1", `[{"id": "change-1", "kind": "leat.changes.v2", "queue": "leat.annotate", "job": "` + openJob + `", "at": "2026-11-25T00:00:00Z", "body": {"b": 2}}]`},
		{"delta", "part-2", "", `[]`},
		{"annotate", "change-1", "", `[]`},
	} {
		if slices.Contains(rows, r.id) {
			i.exec(`INSERT INTO leat.ledger (stage, message_id, job_id, source, state, names, outputs) VALUES ($1, $2, $3, 'shop', 'done', string_to_array($4, ' '), $5)`,
				r.stage, r.id, openJob, r.names, r.outputs)
		}
	}
}

// counting waits until the management API knows the queues.
func (i *installation) counting() {
	i.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		_, err := i.managed(i.t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			i.t.Fatal(err)
		}
	}
}

// messages empties a queue, and returns the ids and bodies.
func (i *installation) messages(queue string) (texts []string) {
	i.t.Helper()
	for _, d := range i.takeAll(queue) {
		texts = append(texts, d.MessageId+" "+string(d.Body))
	}
	return texts
}

func TestCheckNamesJobsThatCanNeverEnd(t *testing.T) {
	i := installed(t)
	i.counting()
	job := "shop job " + openJob + ": "
	tests := map[string]struct {
		rows     []string
		want     string
		queue    string
		repaired []string
	}{
		"its own message is lost": {
			nil, job + "its own message" + lostText,
			rabbit.Fetch, []string{openJob + ` {"mode": "full", "source": "shop"}`},
		},
		"a slice is lost": {
			[]string{openJob}, job + "1 messages from fetch to leat.fetch" + lostText,
			rabbit.Fetch, []string{`slice {"a":1}`},
		},
		"a part is lost": {
			[]string{openJob, "slice", "part-1", "change-1"}, job + "1 messages from fetch to leat.delta" + lostText,
			rabbit.Fetch, []string{`slice {"a":1}`},
		},
		"a change is lost": {
			[]string{openJob, "slice", "part-1", "part-2"}, job + "1 messages from delta to leat.annotate" + lostText,
			rabbit.Annotate, []string{`change-1 {"b":2}`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i.t = t
			i.exec(`DELETE FROM leat.audit`)
			i.lose(test.rows...)
			checked, texts := i.check(Checking{Repair: true, Why: "a purge"})
			if !slices.Equal(texts, []string{test.want}) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(texts, "\n"), test.want)
			}
			if got := i.messages(test.queue); !slices.EqualFunc(got, test.repaired, sameText) {
				t.Errorf("published again: %q, want %q", got, test.repaired)
			}
			if len(checked.Repairs) != 1 || checked.Repairs[0].Messages != 1 || checked.Beyond != 0 || len(checked.Unchecked) > 0 {
				t.Errorf("%+v, want a repair of one message", checked)
			}
			if n := i.count(`SELECT count(*) FROM leat.ledger WHERE message_id = 'slice' AND state = 'started'`); (n == 1) != (name == "a part is lost") {
				t.Errorf("%d slices begin again", n)
			}
			if n := i.count(`SELECT count(*) FROM leat.audit WHERE action = 'resume' AND why = 'a purge (messages were lost)' AND subject = '` + openJob + `'`); n != 1 {
				t.Errorf("%d entries in audit, want 1", n)
			}
		})
	}
}

func sameText(a, b string) bool {
	return strings.ReplaceAll(a, " ", "") == strings.ReplaceAll(b, " ", "")
}

func TestCheckSaysNothingOfMessagesThatMayBeHeld(t *testing.T) {
	i := installed(t)
	i.counting()
	for name, test := range map[string]struct {
		queue string
		wait  time.Duration
	}{
		"in its queue":                    {rabbit.Annotate, 0},
		"not published by the one before": {rabbit.Delta, 0},
		"waiting to be tried again":       {rabbit.Annotate, 10 * time.Minute},
		"something else waits":            {rabbit.Fetch, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			i.t = t
			i.lose(openJob, "slice", "part-1", "part-2")
			e := pipeline.Envelope{ID: "change-1", Kind: "leat.changes.v2", Queue: test.queue, Wait: test.wait, Job: openJob, At: time.Now(), Body: []byte(`{}`)}
			if err := i.publish(t.Context(), []pipeline.Envelope{e}); err != nil {
				t.Fatal(err)
			}
			checked, texts := i.check(Checking{Repair: true})
			if len(texts) > 0 || len(checked.Unchecked) > 0 {
				t.Errorf("found %q, did not look at %q", texts, checked.Unchecked)
			}
			for _, queue := range append(slices.Clone(rabbit.Stages), "leat.wait.10m") {
				i.messages(queue)
			}
		})
	}
}

func TestAJobThatEndedWithoutItsMessagesRunsOn(t *testing.T) {
	i := installed(t)
	i.lose(openJob, "slice", "part-1", "part-2")
	i.exec(`UPDATE leat.jobs SET state = 'done', finished_at = now()`)
	_, texts := i.check(Checking{Repair: true})
	if len(texts) != 1 || !strings.Contains(texts[0], "1 messages from delta to leat.annotate") || !strings.Contains(texts[0], "it has ended as done without them") {
		t.Errorf("found %q", texts)
	}
	if n := i.count(`SELECT count(*) FROM leat.jobs WHERE state = 'running' AND finished_at IS NULL`); n != 1 {
		t.Errorf("%d jobs run on, want 1", n)
	}
	if got := i.messages(rabbit.Annotate); len(got) != 1 {
		t.Errorf("published again: %q", got)
	}
}

func TestWithoutTheManagementAPINobodyKnowsWhatWorkersHold(t *testing.T) {
	i := installed(t)
	i.lose(openJob, "slice", "part-1", "part-2")
	i.cfg.RabbitMQ.ManagementURL = "http://127.0.0.1:1"
	checked, texts := i.check(Checking{Repair: true})
	if len(texts) > 0 || len(checked.Unchecked) != 1 || !strings.HasPrefix(checked.Unchecked[0], "whether messages are lost, though jobs wait for some: ") {
		t.Errorf("found %q, did not look at %q", texts, checked.Unchecked)
	}
}
