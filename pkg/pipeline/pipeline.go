// Package pipeline moves batches of messages through a stage. It knows no
// broker and no database.
//
// A Worker takes deliveries from a Source, groups them into a Batch, gives the
// batch to the stage's Handler, publishes what the handler returns to a Sink,
// and only then acknowledges. A crash at any point means that the broker
// delivers the batch again, so a Handler must be replayable: the same batch
// again writes nothing new and returns the same outputs.
package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// An Envelope is one message on the wire.
type Envelope struct {
	ID       string            `json:"id"`                 // derived from cause, kind and key, so that a thing done again is named the same
	Kind     string            `json:"kind"`               // the payload's type and version: leat.part.v2
	Queue    string            `json:"queue"`              // where it goes, or came from
	Key      string            `json:"key,omitempty"`      // what the message is about
	Cause    string            `json:"cause,omitempty"`    // id of the envelope that this one was made from
	Job      string            `json:"job,omitempty"`      // the job it belongs to
	At       time.Time         `json:"at"`                 // when the first envelope of the chain entered the pipeline
	Priority uint8             `json:"priority,omitempty"` // the broker serves higher ones first
	Attempt  int               `json:"attempt,omitempty"`  // tries that failed so far
	Waited   int               `json:"waited,omitempty"`   // times put back for a reason that is not its own
	Replay   int               `json:"replay,omitempty"`   // times a person brought it back from the dead
	Wait     time.Duration     `json:"-"`                  // to be delivered only after so long: one of Waits, or 0
	Headers  map[string]string `json:"headers,omitempty"`  // others, carried along
	Body     json.RawMessage   `json:"body"`               // the payload
}

// Waits are the delays that the broker has a queue for.
var Waits = []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute}

// WaitWithin is the longest of Waits that is over before d is, the shortest if
// none is: who waits until a moment comes back before it, and waits again.
func WaitWithin(d time.Duration) time.Duration {
	wait := Waits[0]
	for _, w := range Waits {
		if w <= d {
			wait = w
		}
	}
	return wait
}

// A Payload is what an envelope carries: JSON, which encoding/json writes and
// reads where the payload is no Appender and no Reader.
type Payload interface{ Kind() string }

// An Appender is a Payload that writes itself.
type Appender interface {
	AppendJSON(b []byte) ([]byte, error)
}

// A Reader is a pointer to a Payload that reads itself, and the kinds before its
// own, which a queue may hold while an upgrade is under way. What it has read may
// share memory with body.
type Reader interface {
	Reads(kind string) bool
	ReadJSON(kind string, body []byte) error
}

// Hash names a thing by the parts that make it: 32 hex digits.
func Hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d\x00%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Emit returns the envelope that carries p on from e to a queue. Key tells
// apart what e emits more than once to that queue.
func (e Envelope) Emit(queue, key string, p Payload) (Envelope, error) {
	body, err := encode(p)
	if err != nil {
		return Envelope{}, Permanent(fmt.Errorf("encode %s: %w", p.Kind(), err))
	}
	out := Envelope{
		ID: Hash(e.ID, queue, p.Kind(), key), Kind: p.Kind(), Queue: queue, Key: key,
		Cause: e.ID, Job: e.Job, At: e.At, Priority: e.Priority, Body: body,
	}
	if parent := e.Headers["traceparent"]; parent != "" {
		out.Headers = map[string]string{"traceparent": parent}
	}
	return out, nil
}

func encode(p Payload) ([]byte, error) {
	if a, ok := p.(Appender); ok {
		return a.AppendJSON(nil)
	}
	return json.Marshal(p)
}

// Decode reads e's payload. A body that does not decode never will, so that
// error is Permanent; a version of the kind that is not known yet is waited for.
func Decode[P Payload](e Envelope) (P, error) {
	var p P
	var err error
	switch r, ok := any(&p).(Reader); {
	case ok && r.Reads(e.Kind):
		err = r.ReadJSON(e.Kind, e.Body)
	case e.Kind != p.Kind():
		return p, wrongKind(e.Kind, p.Kind())
	default:
		err = json.Unmarshal(e.Body, &p)
	}
	if err != nil {
		err = Permanent(fmt.Errorf("decode %s: %w", e.Kind, err))
	}
	return p, err
}

func wrongKind(got, want string) error {
	base := func(kind string) string { return kind[:strings.LastIndexByte(kind, '.')+1] }
	if base(got) == base(want) {
		return Later(fmt.Errorf("type %s: this worker knows %s; waiting for one that knows more", got, want), time.Minute)
	}
	return Permanent(fmt.Errorf("type: found %q, this queue takes %s", got, want))
}

// DecodeAll reads every payload of a batch.
func DecodeAll[P Payload](in Batch) ([]P, error) {
	out := make([]P, len(in))
	for i, d := range in {
		p, err := Decode[P](d.Envelope)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// A Delivery is an Envelope that the broker has handed over and still remembers.
type Delivery struct {
	Envelope
	Acknowledger
	Deliveries int             // how often the broker has handed it over before and got it back
	Ending     <-chan struct{} // closed when what takes minutes is to stop where it is and put itself back: the worker ends, or the broker has given the message to another
}

// An Acknowledger tells the broker that a delivery is done with.
type Acknowledger interface{ Ack() error }

// A Batch is the unit of work: the deliveries handled, committed and
// acknowledged together.
type Batch []Delivery

// IDs returns the messages' ids in order.
func (b Batch) IDs() []string {
	ids := make([]string, len(b))
	for i, d := range b {
		ids[i] = d.ID
	}
	return ids
}

// A Handler does one batch's work and returns the envelopes that follow from
// it. All its writes are durable when it returns.
type Handler interface {
	Handle(ctx context.Context, in Batch) ([]Envelope, error)
}

// An Idler is a Handler with work of its own besides its messages. Idle is
// called when there is nothing to take, after each batch that was the last for
// now, and at least once a second; it returns how long it may be left alone when
// there is nothing to take (0: there is more to do at once).
type Idler interface {
	Idle(ctx context.Context) (pause time.Duration, err error)
}

// A Source is where deliveries come from. The channel closes when ctx is
// cancelled, after what was already sent has been received, or when the
// connection is lost. Release ends the session: the broker delivers what was
// not acknowledged again, to anyone.
type Source interface {
	Consume(ctx context.Context, queue string) (<-chan Delivery, error)
	Release()
}

// A Sink publishes envelopes. The broker has each of them in a queue when it
// returns nil.
type Sink interface {
	Publish(ctx context.Context, out []Envelope) error
}

// A Ledger remembers what a stage has begun and what it has given up.
type Ledger interface {
	// Start commits one more start of e and returns how many there were since
	// the last that returned or made progress, this one included.
	Start(ctx context.Context, e Envelope) (int, error)
	// Returned commits that the last start did not kill the process.
	Returned(ctx context.Context, e Envelope) error
	// Waits commits that e will be tried again, and why, for people to read; its
	// last start returned.
	Waits(ctx context.Context, e Envelope, why Setback) error
	// Dead commits that e is given up.
	Dead(ctx context.Context, e Envelope, d Death) error
}

// A Setback is why a message is tried again.
type Setback struct {
	Class    string
	Reason   string
	Attempts int // that it has used up
}

// The headers of a dead letter. A message that has them and is not in the queue
// of dead letters was brought back by hand.
const (
	HeaderError    = "error"
	HeaderClass    = "error_class"
	HeaderStage    = "stage"
	HeaderAttempts = "attempts"
	HeaderDiedAt   = "died_at"
	HeaderOrigin   = "origin_queue"
)

// DeathHeaders are all of them.
var DeathHeaders = []string{HeaderError, HeaderClass, HeaderStage, HeaderAttempts, HeaderDiedAt, HeaderOrigin}

// A Death is why a message was given up.
type Death struct {
	Class    string // permanent, failed or crashed
	Reason   string
	Attempts int
}
