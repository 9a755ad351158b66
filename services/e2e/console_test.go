package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/deadletter"
)

// The console is killed again and again while it files and replays: each letter
// is filed once, each goes back, and what goes back twice has one id and replay.
func TestKilledConsole(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	const n = 2000
	var letters []pipeline.Envelope
	for i := range n {
		letters = append(letters, pipeline.Envelope{
			ID: fmt.Sprint("m", i), Kind: event.KindPart, Queue: rabbit.Dead, Job: uuid.NewString(), At: time.Now(), Body: []byte(`{"source":"x"}`),
			Headers: map[string]string{"error": "no", "error_class": "failed", "stage": "delta", "origin_queue": rabbit.Delta, "died_at": "2026-11-20T10:00:00Z"},
		})
	}
	p := s.run("console")
	s.publish(letters...)
	c, store := s.operator()
	count := func(sql string) (n int) {
		t.Helper()
		if err := s.db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for kills := 1; kills <= 3; kills++ {
		s.until(patience, "some to be filed", func() bool { return count(`SELECT count(*) FROM dead_letters`) >= n*kills/5 })
		p.signal(syscall.SIGKILL)
	}
	s.until(patience, "all to be filed", func() bool { return count(`SELECT count(*) FROM dead_letters`) == n })

	ids, err := store.IDs(t.Context(), deadletter.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.Start(t.Context(), deadletter.Plan{IDs: ids, Rate: 1000, By: c.By()})
	if err != nil {
		t.Fatal(err)
	}
	for kills := 1; kills <= 3; kills++ {
		s.until(patience, "some to be sent", func() bool { return count(`SELECT count(*) FROM dead_letters WHERE state = 'replayed'`) >= n*kills/5 })
		p.signal(syscall.SIGKILL)
	}
	s.until(patience, "the replay to be done", func() bool { return count(`SELECT count(*) FROM replays WHERE state = 'done'`) == 1 })
	s.want("sent", count(`SELECT sent FROM replays`), r.Total)
	back := map[string]bool{}
	for _, e := range s.take(rabbit.Delta, s.ready(rabbit.Delta)) {
		back[e.ID] = true
		s.want("replay of "+e.ID, e.Replay, 1)
	}
	s.want("messages that went back", len(back), n)
	s.until(patience, "leat.dead to be empty", func() bool { return s.ready(rabbit.Dead) == 0 })
	s.want("rows", count(`SELECT count(*) FROM dead_letters`), n)
}
