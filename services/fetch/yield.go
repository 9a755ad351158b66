package fetch

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
)

// The classes of what makes a slice wait that nothing has befallen, besides
// those of package pipeline.
const classYields = "yields" // to what the later stages have to do yet

// A gauge is how long the longest queue after fetch's is. It is looked at once a
// second; between looks what this process publishes is added.
type gauge struct {
	mu       sync.Mutex
	stale    time.Time // look again then
	queue    string
	messages int
}

const gaugeEvery = time.Second

func (g *gauge) add(messages int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages += messages
}

// read returns the longest queue, with what look says where it is time to look. A
// length that cannot be read counts as none: the broker, if it is away, stops this
// worker in its own way, and for less nobody is to stop.
func (g *gauge) read(look func() (queue string, messages int, err error)) (queue string, messages int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); !now.Before(g.stale) {
		g.queue, g.messages, err = look()
		g.stale = now.Add(gaugeEvery)
	}
	return g.queue, g.messages, err
}

// yield parks a slice of a backfill while a later stage is behind: what it brings
// would lie in a queue, where refreshes stand in line with it.
func (s *Stage) yield(ctx context.Context, t task) error {
	if s.Longest == nil || t.Priority != backfillPriority {
		return nil
	}
	queue, messages, err := s.gauge.read(func() (string, int, error) { return s.Longest(ctx) })
	if err != nil {
		s.Log.Warn("a backfill goes on, however long the queues are", zap.Error(err))
	}
	if messages <= s.YieldAbove {
		return nil
	}
	return t.held(classYields, fmt.Sprintf("%s holds %d messages; a backfill asks for more when no stage's queue holds above %d (fetch.yield_above)", queue, messages, s.YieldAbove))
}

// heldHeader counts how often a slice was held.
const heldHeader = "held"

// held parks a slice that others hold up, and nobody knows for how long: who was
// held often comes back more seldom.
func (t task) held(class, why string) parked {
	n, _ := strconv.Atoi(t.Headers[heldHeader]) // none: 0
	p := parked{wait: pipeline.Waits[2], class: class, why: why, held: n + 1}
	switch {
	case n < 3:
		p.wait = pipeline.Waits[0]
	case n < 30:
		p.wait = pipeline.Waits[1]
	}
	return p
}
