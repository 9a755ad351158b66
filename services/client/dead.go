package client

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/audit"
	"github.com/leatflow/leat/services/deadletter"
)

// Dead returns the dead letters. A job in the filter may be given as FindJob
// takes it.
func (c *Client) Dead(ctx context.Context, f deadletter.Filter) (deadletter.Store, deadletter.Filter, error) {
	if err := c.migrated(ctx); err != nil {
		return deadletter.Store{}, f, err
	}
	if _, err := uuid.Parse(f.Job); f.Job != "" && err != nil {
		j, err := c.FindJob(ctx, f.Job)
		if err != nil {
			return deadletter.Store{}, f, err
		}
		f.Job = j.ID
	}
	return deadletter.Store{DB: c.db}, f, nil
}

// EditDead replaces the body of a dead letter. Of a job it says what fetch would
// refuse, where the source files can be read.
func (c *Client) EditDead(ctx context.Context, d deadletter.Shown, body []byte, why string) (deadletter.Letter, error) {
	if d.Type == event.KindJob {
		if _, err := c.Prepare(body, time.Now()); err != nil {
			return d.Letter, err
		}
	}
	return deadletter.Store{DB: c.db}.Edit(ctx, d.ID, body, c.by, why)
}

// FollowReplay reports on a replay until it is over or paused.
func (c *Client) FollowReplay(ctx context.Context, id int64, show func(deadletter.Replay), note func(string)) (deadletter.Replay, error) {
	store, look := deadletter.Store{DB: c.db}, time.Now().Add(patience)
	sent := -1
	for {
		r, err := store.Replay(ctx, id)
		if err != nil {
			return r, err
		}
		show(r)
		if r.State != deadletter.Running {
			return r, nil
		}
		if r.Sent != sent {
			sent, look = r.Sent, time.Now().Add(patience)
		} else if time.Now().After(look) {
			note(c.whyNotSent(ctx))
			look = time.Now().Add(6 * patience)
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return r, err
		}
	}
}

// whyNotSent says why a replay may not get on.
func (c *Client) whyNotSent(ctx context.Context) string {
	queues, err := c.queues(ctx)
	if err != nil {
		return fmt.Sprintf("nothing is sent, and RabbitMQ does not say why: %v", err)
	}
	for _, q := range queues {
		if q.Name == rabbit.Dead && q.Consumers == 0 {
			return "nothing is sent: no leat-console is at work; start one, and the replay goes on"
		}
	}
	return "nothing is sent yet: see the log of leat-console"
}

// Audit lists what operators did, the newest first.
func (c *Client) Audit(ctx context.Context, f audit.Filter) ([]audit.Row, error) {
	if err := c.migrated(ctx); err != nil {
		return nil, err
	}
	return audit.List(ctx, c.db, f)
}

// By is who this client acts for.
func (c *Client) By() audit.By { return c.by }
