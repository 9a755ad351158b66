package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/rabbit"
)

// paste publishes a body as the management UI does: to the default exchange,
// with no property at all.
func (s *system) paste(exchange string, body []byte) {
	s.t.Helper()
	ch, done := s.channel()
	defer done()
	if err := ch.Confirm(false); err != nil {
		s.t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm(exchange, rabbit.Fetch, true, false, amqp.Publishing{Body: body})
	if err != nil {
		s.t.Fatal(err)
	}
	if ok, err := confirm.WaitContext(s.t.Context()); err != nil || !ok {
		s.t.Fatal(ok, err)
	}
}

// channel opens a channel of its own, and returns what closes it.
func (s *system) channel() (ch *amqp.Channel, done func()) {
	s.t.Helper()
	conn, err := amqp.Dial(s.cfg.RabbitMQ.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	if ch, err = conn.Channel(); err != nil {
		s.t.Fatal(err)
	}
	return ch, func() { _ = conn.Close() } // what was not acknowledged goes back
}

// A job is a bare JSON body, published to the queue or to the exchange.
func TestPastedJob(t *testing.T) {
	for what, exchange := range map[string]string{"to the queue": "", "to the exchange": rabbit.Exchange} {
		t.Run(what, func(t *testing.T) {
			s, _ := ads(t, 20<<10)
			s.start(1)
			s.paste(exchange, []byte(adsJob))
			var job string
			s.until(patience, "a job's row", func() bool {
				return s.db.QueryRow(t.Context(), `SELECT id::text FROM jobs`).Scan(&job) == nil
			})
			state, counts := s.await(job, patience)
			s.want("state", state, "done")
			if counts["documents"]["written"] == 0 {
				t.Errorf("no document was written: %v", counts)
			}
		})
	}
}

// What is wrong ends in leat.dead with a reason that a person can act on, and
// harms nothing else.
func TestWrongJobs(t *testing.T) {
	wrong := []struct{ what, body, reason string }{
		{"not JSON", `{"source":`, "not JSON"},
		{"text", `hello`, "not JSON"},
		{"unknown field", `{"source":"ads","moed":"full"}`, `unknown field "moed"; a job has source, account, feed, mode`},
		{"unknown source", `{"source":"adz"}`, `source: found "adz"; there are ads`},
		{"unknown account", `{"source":"ads","account":"acne"}`, `account: found "acne"; source ads has acme, globex`},
		{"an impossible date", `{"source":"ads","mode":"backfill","from":"2026-02-30"}`, `from: "2026-02-30" is not a day`},
		{"from after to", `{"source":"ads","mode":"backfill","from":"2026-02-03","to":"2026-02-01"}`, "from 2026-02-03 is after to 2026-02-01"},
		{"a mode that is none", `{"source":"ads","mode":"all"}`, `mode: found "all"; allowed are refresh, backfill and full`},
		{"no body", ``, "the body is empty"},
		{"10 MB of zeros", strings.Repeat("\x00", 10<<20), "the body has 10485760 bytes; a job has at most 65536"},
		{"binary", "\xff\xfe\x00\x01", "the body is not text"},
		{"a list", `[{"source":"ads"}]`, "found a JSON array"},
		{"a file that is not allowed", `{"source":"ads","url":"file:///etc/passwd"}`, "is not below an allowed folder"},
		{"another scheme", `{"source":"ads","url":"ftp://example.com/x"}`, `http://, https://, file://, archive:// are allowed`},
	}
	s, _ := ads(t, 20<<10)
	s.start(1)
	for _, w := range wrong {
		s.paste("", []byte(w.body))
	}
	state, _ := s.await(s.submit(adsJob), patience)
	s.want("state of a good job among them", state, "done")

	letters := s.letters(len(wrong))
	for _, w := range wrong {
		i := slices.IndexFunc(letters, func(l amqp.Delivery) bool {
			reason, _ := l.Headers["error"].(string)
			slice := strings.Contains(w.body, `"url"`) // it is the job's slice that dies
			return strings.Contains(reason, w.reason) && (slice || bytes.Equal(l.Body, []byte(w.body)))
		})
		if i < 0 {
			t.Errorf("%s: no dead letter with its body says %q", w.what, w.reason)
			continue
		}
		headers := letters[i].Headers
		s.want(w.what+": class", headers["error_class"], "permanent")
		s.want(w.what+": stage", headers["stage"], "fetch")
		s.want(w.what+": origin", headers["origin_queue"], rabbit.Fetch)
	}
	if t.Failed() {
		for _, l := range letters {
			t.Logf("%.100q: %v", l.Body, l.Headers["error"])
		}
	}
	s.want("differences: a job that has failed waits for nothing", s.checked(), []string{})
}

// letters reads n dead letters and leaves them where they are.
func (s *system) letters(n int) []amqp.Delivery {
	s.t.Helper()
	ch, done := s.channel()
	defer done()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := ch.Qos(n, 0, false); err != nil {
		s.t.Fatal(err)
	}
	deliveries, err := ch.ConsumeWithContext(ctx, rabbit.Dead, "", false, false, false, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var letters []amqp.Delivery
	for len(letters) < n {
		select {
		case d := <-deliveries:
			letters = append(letters, d)
		case <-ctx.Done():
			s.t.Errorf("%d dead letters, want %d", len(letters), n)
			return letters
		}
	}
	return letters
}

// The same id within a source is the same job; another body under it dies.
func TestSendersID(t *testing.T) {
	s, _ := ads(t, 20<<10)
	s.start(1)
	body := strings.Replace(adsJob, "{", `{"id":"monday",`, 1)
	s.submit(body)
	s.paste("", []byte(body))
	s.paste("", []byte(strings.Replace(body, "2026-03-14", "2026-03-13", 1)))
	letters := s.letters(1)
	s.want("reason", strings.Contains(letters[0].Headers["error"].(string), `"monday" was the id of another job`), true)
	s.until(patience, "the job to end", func() bool {
		return s.query(`SELECT count(*), count(*) FILTER (WHERE state = 'done') FROM jobs`)[0] == "1 1"
	})
}

// Hours are set and events are counted, each once.
func TestHoursAndEvents(t *testing.T) {
	s, platform := ads(t, 20<<10)
	s.source("hours.yaml", `
source: hours
timezone: Europe/Berlin
http: {base_url: "`+platform.URL+`"}
fetch: {report: {path: "/hours?day={from}", slice: 1d}}
records:
  - object: {type: page, key: page}
    stat: {day: date, hour: hour, metrics: "*"}
stats: {kind: hour}
rollup: {hours: true}
`)
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	s.source("plays.yaml", `
source: plays
timezone: UTC
http: {base_url: "`+platform.URL+`"}
fetch: {report: {format: ndjson}}
records:
  - object: {type: page, key: page}
    stat: {day: at, id: id, metrics: [plays, seconds]}
stats: {kind: count}
rollup: {hours: true}
`)
	s.start(2)
	hours := `{"source":"hours","mode":"backfill","from":"2026-03-12","to":"2026-03-14"}`
	state, first := s.await(s.submit(hours), patience)
	s.want("hours", state, "done")
	state, again := s.await(s.submit(hours), patience)
	s.want("hours again", state, "done")
	s.want("hours new or changed again", again["stats"]["new"]+again["stats"]["changed"], 0)
	s.want("hours unchanged again", again["stats"]["unchanged"], first["stats"]["new"]+first["stats"]["changed"]+first["stats"]["unchanged"])
	s.hoursAddUp()

	clock, err := platform.Client().Post(platform.URL+"/admin/clock?at="+time.Now().UTC().Format(time.RFC3339), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = clock.Body.Close()
	url := platform.URL + "/events?day=" + day + "&count="
	state, some := s.await(s.submit(`{"source":"plays","url":"`+url+`400"}`), patience)
	s.want("events", state, "done")
	state, all := s.await(s.submit(`{"source":"plays","url":"`+url+`1000"}`), patience)
	s.want("more events", state, "done")
	s.want("distinct events", some["stats"]["new"]+all["stats"]["new"], 1000)
	s.want("plays and seconds", s.query(`
		SELECT sum((s.metrics->>'plays')::int), sum((s.metrics->>'seconds')::int) FROM stats s JOIN objects o ON o.id = s.object_id
		WHERE o.source = 'plays'`)[0], distinctPlays(t, url+"1000"))
	rows, docs := s.rows(), s.documentLines("plays")
	s.await(s.submit(`{"source":"plays","url":"`+url+`1000"}`), patience)
	s.sameLines("rows after the same events again", s.rows(), rows)
	s.sameLines("documents after the same events again", s.documentLines("plays"), docs)
	s.hoursAddUp()
}

// hoursAddUp checks that the hours of every row add up to its day.
func (s *system) hoursAddUp() {
	s.t.Helper()
	wrong := s.query(`
		SELECT object_id, day, metrics, hours FROM stats WHERE hours IS NOT NULL AND EXISTS (
			SELECT 1 FROM jsonb_each(metrics) AS m WHERE m.value::numeric <> (
				SELECT coalesce(sum((h.value->>m.key)::numeric), 0) FROM jsonb_each(hours) AS h))`)
	for _, row := range wrong {
		s.t.Errorf("the hours do not add up: %s", row)
	}
}

// distinctPlays adds up a feed of events, each id once.
func distinctPlays(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	seen := map[string]bool{}
	plays, seconds := 0, 0
	for d := json.NewDecoder(r.Body); ; {
		var e struct {
			ID             string
			Plays, Seconds int
		}
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return fmt.Sprint(plays, " ", seconds)
		} else if err != nil {
			t.Fatal(err)
		}
		if !seen[e.ID] {
			seen[e.ID] = true
			plays, seconds = plays+e.Plays, seconds+e.Seconds
		}
	}
}
