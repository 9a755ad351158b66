package source

import (
	"context"
	"time"

	"github.com/leatflow/leat/pkg/event"
)

const (
	maxRecords     = 1000      // described objects and stats in a part
	maxBody        = 768 << 10 // of a part's JSON, estimated
	maxRejects     = 5000      // rejects that wait for a part
	maxRejectBytes = 4 << 20
)

// A parter puts records together into parts: the objects that are whole in
// part, the one in hand in group, so that parts are cut between objects.
type parter struct {
	head    event.Part // what all parts have in common
	emit    func(event.Part, []Reject) error
	part    records
	group   records
	inner   *node // the innermost object of group
	runs    int
	ordinal int
	rejects []Reject
	bytes   int // in rejects
}

func newParter(head event.Part, emit func(event.Part, []Reject) error) *parter {
	p := &parter{head: head, emit: emit, runs: 2}
	p.part = records{run: 1, index: map[objectID]int{}}
	p.group = records{run: 2, index: map[objectID]int{}}
	return p
}

func (p *parter) run() int {
	p.runs++
	return p.runs
}

// add takes the records of one element, whose innermost object is inner.
func (p *parter) add(ctx context.Context, inner *node, objects []*node, stats []ownStat) error {
	if p.inner != inner && (p.inner == nil || p.inner.objectID != inner.objectID) {
		if err := p.closeGroup(ctx); err != nil {
			return err
		}
	}
	p.inner = inner
	if err := p.makeRoom(ctx, objects, stats); err != nil {
		return err
	}
	for _, n := range objects {
		p.group.describe(n)
	}
	for i := range stats {
		p.group.add(stats[i])
	}
	return nil
}

// makeRoom cuts within the object in hand where its records are more than a
// part may have.
func (p *parter) makeRoom(ctx context.Context, objects []*node, stats []ownStat) error {
	for p.group.count > 0 {
		count, size := p.group.count+len(stats), p.group.size
		for _, n := range objects {
			count += p.group.news(n)
			size += len(n.name) + len(n.attrs) + 100
		}
		for i := range stats {
			size += statSize(&stats[i].stat)
		}
		if count <= maxRecords && size <= maxBody {
			return nil
		}
		if err := p.cutGroup(ctx, stats); err != nil {
			return err
		}
	}
	return nil
}

// cutGroup emits the records of the object in hand up to the end of a day, or
// all of them where they are of one day only.
func (p *parter) cutGroup(ctx context.Context, next []ownStat) error {
	if p.part.count > 0 {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	stats := p.group.stats
	end := len(stats)
	if end > 0 && len(next) > 0 && next[0].stat.Day == stats[end-1].Day {
		for end--; end > 0 && stats[end-1].Day == stats[end].Day; end-- {
		}
		if end == 0 {
			end = len(stats)
		}
	}
	p.part.take(&p.group, end)
	rest := make([]ownStat, 0, len(stats)-end)
	for _, s := range stats[end:] {
		rest = append(rest, ownStat{p.group.nodes[s.Object], s})
	}
	p.group.reuse(p.run())
	for _, s := range rest {
		p.group.add(s)
	}
	return p.flush(ctx)
}

// closeGroup moves the object in hand to the part, or to the next if it does
// not fit.
func (p *parter) closeGroup(ctx context.Context) error {
	if len(p.group.objects) == 0 {
		return nil
	}
	if p.part.count > 0 && !p.part.holds(&p.group) {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	p.part.take(&p.group, len(p.group.stats))
	p.group.reuse(p.run())
	return nil
}

// reject keeps a refused record for the part that follows. Where very many are
// refused in a row they are emitted with what there is.
func (p *parter) reject(ctx context.Context, r Reject) error {
	p.rejects = append(p.rejects, r)
	p.bytes += len(r.Position) + len(r.Reason) + len(r.Record)
	if len(p.rejects) < maxRejects && p.bytes < maxRejectBytes {
		return nil
	}
	return p.flush(ctx)
}

// flush emits the part.
func (p *parter) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	part, rejects := p.head, p.rejects
	part.Ordinal = p.ordinal
	part.ObservedAt = part.ObservedAt.Add(time.Duration(p.ordinal) * time.Microsecond)
	part.Objects, part.Stats = p.part.sorted(), p.part.stats
	part.Rejected = len(rejects)
	p.part.clear(p.run())
	p.ordinal, p.rejects, p.bytes = p.ordinal+1, nil, 0
	return p.emit(part, rejects)
}

// finish emits what is left.
func (p *parter) finish(ctx context.Context) error {
	if err := p.closeGroup(ctx); err != nil {
		return err
	}
	return p.abandon(ctx)
}

// abandon emits what is left but for the object in hand.
func (p *parter) abandon(ctx context.Context) error {
	if p.part.count == 0 && len(p.rejects) == 0 {
		return nil
	}
	return p.flush(ctx)
}
