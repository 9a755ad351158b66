package source

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Stream says how a connection is opened that stays open, and what comes over it.
type Stream struct {
	Path    string        `yaml:"path"`    // {account} and {cursor} are filled in; without {cursor} the header Last-Event-ID has it
	Format  string        `yaml:"format"`  // sse or ndjson; default sse
	Cursor  string        `yaml:"cursor"`  // path of the field of a record with what is asked for the next time; absent: the event's id
	Events  []string      `yaml:"events"`  // of sse: the events that are records; absent: all
	Lease   time.Duration `yaml:"lease"`   // so long a worker listens before another may; default 5m
	Expired []string      `yaml:"expired"` // statuses that say that a cursor is too old; default 410
}

// Poll says how often a report is asked for, and which of its records are news.
type Poll struct {
	Every time.Duration `yaml:"every"` // 30s
	Seen  string        `yaml:"seen"`  // hash: an object is news when anything of it is another; key: only when its key is new; default hash
}

// The formats of a stream.
const formatSSE = "sse"

// What a polled object is known by.
const (
	SeenHash = "hash"
	SeenKey  = "key"
)

const (
	shortestLease = 10 * time.Second
	longestLease  = 20 * time.Minute // the broker takes back after 30 what is not acknowledged
)

// Live reports whether the source, or one of its feeds, is read as things happen:
// documents are written within a second.
func (s *Source) Live() bool {
	return slices.ContainsFunc(s.EachFeed(), func(f *Source) bool { return f.Fetch.Stream != nil || f.Fetch.Poll != nil })
}

// SSE reports whether the stream is of server-sent events, and not of lines.
func (s *Stream) SSE() bool { return s.Format == formatSSE }

// streamDefaults sets what the file does not say of streams and polls.
func (v *validator) streamDefaults() {
	if s := v.Fetch.Stream; s != nil {
		setDefault(&s.Format, formatSSE)
		setDefault(&s.Lease, 5*time.Minute)
		if !v.has("fetch.stream.expired") {
			s.Expired = []string{"410"}
		}
	}
	if p := v.Fetch.Poll; p != nil {
		setDefault(&p.Seen, SeenHash)
	}
}

// stream checks that a connection can go on where the one before it ended.
func (v *validator) stream() {
	s := v.Fetch.Stream
	if s == nil {
		return
	}
	const at = "fetch.stream"
	if s.Path == "" {
		v.failf(join(at, "path"), "missing")
	} else {
		v.path(join(at, "path"), s.Path, "{cursor}")
	}
	v.oneOf(join(at, "format"), s.Format, formatSSE, formatNDJSON)
	if s.Cursor != "" {
		v.fieldPath(join(at, "cursor"), s.Cursor)
	}
	if s.Format == formatNDJSON {
		v.lines(at, s)
	}
	if s.Lease < shortestLease || s.Lease > longestLease {
		v.failf(join(at, "lease"), "found %s; allowed are %s to %s", s.Lease, shortestLease, longestLease)
	}
	v.statuses(join(at, "expired"), s.Expired)
	v.alone(at)
}

// lines checks a stream of NDJSON, which has no events and no ids of them.
func (v *validator) lines(at string, s *Stream) {
	if s.Cursor == "" {
		v.failf(join(at, "cursor"), "missing; ndjson has no ids, so a record must say where to go on")
	}
	if !strings.Contains(s.Path, "{cursor}") {
		v.failf(join(at, "path"), "lacks {cursor}")
	}
	if len(s.Events) > 0 {
		v.failf(join(at, "events"), "is of sse; the stream's format is %s", s.Format)
	}
}

// poll checks what is asked for again and again.
func (v *validator) poll() {
	p := v.Fetch.Poll
	if p == nil {
		return
	}
	const at = "fetch.poll"
	if p.Every < time.Second {
		v.failf(join(at, "every"), "found %s; it must be a time such as 30s, at least 1s", p.Every)
	}
	v.oneOf(join(at, "seen"), p.Seen, SeenHash, SeenKey)
	switch {
	case v.Fetch.Report.Path == "":
		v.failf(at, "needs fetch.report.path: that is what is asked for")
	case v.Fetch.Report.Slice > 0:
		v.failf(at, "has no use for fetch.report.slice: a poll is one request")
	case v.Fetch.Pages != nil:
		v.failf(at, "has no use for fetch.pages: a poll is one request")
	case v.Fetch.Stream != nil:
		v.failf(at, "found fetch.stream too; it must be one of them")
	}
	v.alone(at)
}

// alone checks what neither streams nor polls go with.
func (v *validator) alone(at string) {
	if v.Fetch.Changes != nil {
		v.failf(at, "found fetch.changes too; it must be one of them")
	}
	if v.Stats.Kind != KindCount {
		return
	}
	for _, t := range v.types {
		for _, r := range t.stats {
			if r.ID == "" {
				v.failf(at, "needs the id of each stat: an event of %s may come twice, and is to count once", t.Name)
			}
		}
	}
}

// statuses checks those of HTTP that say something about a request.
func (v *validator) statuses(at string, statuses []string) {
	for i, status := range statuses {
		if n, err := strconv.Atoi(status); err != nil || n < 400 || n > 499 {
			v.failf(index(at, i), "found %s; it must be a status from 400 to 499", found(status))
		}
	}
}

func (s *Stream) explain() string {
	text := "a refresh listens to " + s.Path + ", " + s.Format
	if len(s.Events) > 0 {
		text += " (" + strings.Join(s.Events, ", ") + ")"
	}
	text += fmt.Sprintf(", %s at a time, for ever; it goes on ", s.Lease)
	if s.Cursor != "" {
		return text + "after the " + s.Cursor + " of the last record"
	}
	return text + "after the last event's id"
}

func (p *Poll) explain() string {
	what := "what is another than before"
	if p.Seen == SeenKey {
		what = "the objects that were never seen"
	}
	return fmt.Sprintf("a refresh asks every %s, for ever, and takes %s", p.Every, what)
}
