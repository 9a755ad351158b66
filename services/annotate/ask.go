package annotate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/access"
)

// manyFailures is after how many requests in a row that failed a host is not
// asked any more for the same batch.
const manyFailures = 16

// notAskedOf says that a host was not asked, for reasons of its own or of ours:
// no try is used up.
type notAskedOf struct {
	reason string
	wait   time.Duration
}

func (e *notAskedOf) Error() string { return e.reason }

// A round is the questions to one host of a source, asked side by side.
type round struct {
	*Lookups
	src    *source.Source
	host   string
	how    *source.Lookup
	path   string // of its settings
	until  time.Time
	client client

	mu      sync.Mutex
	replies map[question]source.Reply
	answers []answer
	failed  int   // requests in a row
	ended   error // why nothing more is asked; the rest fails by it
}

// ask asks for all questions, each host for itself, and learns the replies. What
// was answered is kept, whatever happens to the rest.
func (l *Lookups) ask(ctx context.Context, g *guess, questions []question, until time.Time) error {
	type place struct{ source, host string }
	hosts := map[place][]question{}
	for _, q := range questions {
		u, err := url.Parse(q.address)
		if err != nil {
			return pipeline.Permanent(err) // http() has parsed it
		}
		at := place{q.src.Name, u.Host}
		hosts[at] = append(hosts[at], q)
	}
	var rounds []*round
	group, asking := errgroup.WithContext(ctx)
	for _, at := range slices.SortedFunc(maps.Keys(hosts), func(a, b place) int { return len(hosts[a]) - len(hosts[b]) }) {
		r := &round{Lookups: l, src: hosts[at][0].src, host: at.host, until: until, replies: map[question]source.Reply{}}
		r.how, r.path = r.src.LookupOf(at.host)
		rounds = append(rounds, r)
		group.Go(func() error { return r.run(asking, hosts[at]) })
	}
	failed := group.Wait()
	var answers []answer
	for _, r := range rounds {
		answers = append(answers, r.answers...)
		for q, reply := range r.replies {
			g.learn(q, reply)
		}
	}
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(failed, l.keep(keeping, answers))
}

// run asks the questions, one after another as the budget allows, without waiting
// for their answers.
func (r *round) run(ctx context.Context, questions []question) error {
	var err error
	if r.client, err = r.open(ctx); err != nil {
		return r.mistake(err, questions)
	}
	group, asking := errgroup.WithContext(ctx)
	for _, q := range questions {
		may, err := r.next(asking, q)
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		if !may {
			r.learn(q, source.Reply{Err: r.over()})
			continue
		}
		group.Go(func() error {
			defer func() { <-r.slots }()
			return r.request(asking, q)
		})
	}
	return group.Wait()
}

// mistake has all questions fail for what is wrong with the settings; an outage
// of PostgreSQL is the batch's.
func (r *round) mistake(err error, questions []question) error {
	if pipeline.IsUnavailable(err) {
		return err
	}
	for _, q := range questions {
		r.learn(q, source.Reply{Err: &noReply{err, !pipeline.IsPermanent(err)}})
	}
	return nil
}

// next waits until a question may be asked: for a slot of this process, which is
// then taken, and for the budget of all. Why it may not is in over.
func (r *round) next(ctx context.Context, q question) (bool, error) {
	var turn time.Time
	for r.over() == nil {
		if time.Now().After(r.until) {
			r.end(&notAskedOf{fmt.Sprintf("%s is asked for %s at a time; the rest follows", r.host, inHand), pipeline.Waits[0]})
			break
		}
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		wait, its, away, err := r.budget(q).Take(ctx, turn)
		turn = its
		if err == nil && away == nil && wait == 0 {
			return true, nil
		}
		<-r.slots
		switch {
		case err != nil:
			return false, err
		case away != nil:
			r.end(late(r.host, away))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return false, nil
}

func late(host string, away *access.Away) error {
	if away.Why != "" {
		return &notAskedOf{away.Why, away.Wait}
	}
	return &notAskedOf{"it is not yet the turn of " + host + " by its rate", away.Wait}
}

func (r *round) budget(q question) access.Budget {
	return access.Budget{DB: r.DB, Name: r.src.Name + " " + r.host + " lookups", Holder: pipeline.Hash(q.address), Rate: r.how.Rate}
}

// over returns why nothing more is asked; nil: it is.
func (r *round) over() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

func (r *round) end(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = why
	}
}

func (r *round) learn(q question, reply source.Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies[q] = reply
}

// answered notes a reply that is kept.
func (r *round) answered(a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = 0
	r.replies[a.question] = a.reply()
	if r.replies[a.question].Err == nil {
		r.answers = append(r.answers, a)
	}
}

// refused notes that a request gave nothing. A host that is away, or wants to be
// left alone, is not asked for the rest: that counts as a try of theirs.
func (r *round) refused(q question, e *noReply, leave bool) {
	e.error = errors.New(redact.Text(e.Error()))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies[q] = source.Reply{Err: e}
	if r.failed++; e.passes && r.ended == nil && (leave || r.failed >= manyFailures) {
		r.ended = &noReply{fmt.Errorf("not asked, for it went wrong with others: %w", e.error), true}
	}
}
