package client

import (
	"slices"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/rabbit"
)

func TestStatus(t *testing.T) {
	i := withJobs(t)
	i.dead("m1", "m2")
	s := i.Status(t.Context())
	if *s.Filed != 2 {
		t.Errorf("%d filed dead letters, want 2", *s.Filed)
	}
	if !s.Up() {
		t.Errorf("servers %+v, want all up", s.Servers)
	}
	for _, server := range s.Servers {
		if server.Version == "" {
			t.Errorf("%s has no version", server.Name)
		}
	}
	var names []string
	for _, q := range s.Queues {
		names = append(names, q.Name)
	}
	if !slices.Equal(names, rabbit.Queues()) {
		t.Errorf("queues %v, want %v", names, rabbit.Queues())
	}
	if len(s.Jobs) != 1 || s.Jobs[0].ID != runningJob {
		t.Errorf("open jobs %+v, want the one that runs", s.Jobs)
	}
	if s.Dirty.Marks != 2 || s.Dirty.Objects != 1 || s.Dirty.OldestDue == nil {
		t.Errorf("dirty %+v, want 2 marks of 1 object", s.Dirty)
	}
	if *s.DeadLetters != 0 || *s.Waiting != 0 {
		t.Errorf("%d dead letters, %d waiting; want none", *s.DeadLetters, *s.Waiting)
	}
}

func TestStatusWithAServerAway(t *testing.T) {
	i := withJobs(t)
	i.cfg.RabbitMQ.URL = "amqp://leat:secret@127.0.0.1:1/"
	s := i.Status(t.Context())
	if s.Up() || s.Servers[0].Up || s.Servers[0].Error == "" || s.Queues != nil {
		t.Errorf("servers %+v, queues %+v; want rabbitmq away", s.Servers, s.Queues)
	}
	if !s.Servers[1].Up || !s.Servers[2].Up || len(s.Jobs) != 1 {
		t.Errorf("servers %+v, want the rest up", s.Servers)
	}
}

func TestMigrateIsIdempotent(t *testing.T) {
	i := install(t)
	first, again := i.migrate(), i.migrate()
	if first.Postgres.From != 0 || first.Postgres.To < 1 || again.Postgres.From != first.Postgres.To || again.Postgres.To != first.Postgres.To {
		t.Errorf("versions %+v, then %+v", first.Postgres, again.Postgres)
	}
	if first.MongoDB.Created != len(indexes) || again.MongoDB.Created != 0 || !slices.Equal(again.MongoDB.Collections, []string{"shop"}) {
		t.Errorf("indexes %+v, then %+v", first.MongoDB, again.MongoDB)
	}
	if !slices.Contains(first.RabbitMQ.Queues, rabbit.Dead) {
		t.Errorf("queues %v", first.RabbitMQ.Queues)
	}
}

func TestMigrateWaitsForServers(t *testing.T) {
	i := install(t)
	i.cfg.RabbitMQ.URL = "amqp://leat:leat@127.0.0.1:1/"
	var notes []string
	_, err := i.Migrate(t.Context(), retryEvery, func(text string) { notes = append(notes, text) })
	if err == nil || !strings.HasPrefix(err.Error(), "RabbitMQ: ") || len(notes) != 1 {
		t.Errorf("%v, notes %q; want to be told once of the waiting, and then an error", err, notes)
	}
}

// What a host that is gone said last does not stand for ever.
func TestStatusNamesBrokenSourceFiles(t *testing.T) {
	i := withJobs(t)
	i.exec(`INSERT INTO source_problems (source, host, problem, seen_at) VALUES
		('shop', 'fetch1', 'shop.yaml:2:1: recrods: unknown', now()), ('shop', 'gone', 'shop.yaml:1:1: old', now() - interval '1 hour')`)
	if s := i.Status(t.Context()); len(s.Broken) != 1 || s.Broken[0].Host != "fetch1" || s.Broken[0].Source != "shop" {
		t.Errorf("broken %+v", s.Broken)
	}
}
