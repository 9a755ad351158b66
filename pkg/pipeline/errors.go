package pipeline

import (
	"errors"
	"time"
)

// A handler's error says what to do with the batch:
//
//	nil           publish the outputs and acknowledge
//	Permanent     the message is at fault: a dead letter, now
//	Unavailable   a server is away: wait for it, as long as it takes
//	Later         nobody is at fault, but not now: to a waiting queue, no attempt used
//	RateLimited   the same, since whoever was asked wants to be asked less often
//	Paced         try again through a waiting queue, up to MaxAttempts, then a dead letter
//	any other     the same, after some tries at once: it may have been a deadlock
//
// A batch of several is halved until the message at fault stands alone.
type (
	permanentError   struct{ error }
	unavailableError struct{ error }
	pacedError       struct{ error }
	laterError       struct {
		error
		wait  time.Duration
		class string
	}
)

// The classes of what goes wrong, as metrics, the ledger and dead letters name them.
const (
	ClassPermanent   = "permanent"    // no retry will cure it: a dead letter at once
	ClassUnavailable = "unavailable"  // a server or source is away: waits as long as it takes
	ClassRateLimited = "rate-limited" // a source wants to be asked less often: waits as long as it takes
	ClassFailed      = "failed"       // for another reason: a dead letter after MaxAttempts
	ClassCrashed     = "crashed"      // started, and the worker never came back: a dead letter at the fifth start
)

func (e permanentError) Unwrap() error   { return e.error }
func (e unavailableError) Unwrap() error { return e.error }
func (e pacedError) Unwrap() error       { return e.error }
func (e laterError) Unwrap() error       { return e.error }

// Permanent marks err as one that no retry will cure.
func Permanent(err error) error { return permanentError{err} }

// Unavailable marks err as the outage of a server that the stage cannot do without.
func Unavailable(err error) error { return unavailableError{err} }

// Later marks err as a reason to come back after about wait: what is asked for is
// not there yet.
func Later(err error, wait time.Duration) error { return laterError{err, wait, ClassUnavailable} }

// RateLimited is Later for whoever wants to be asked less often.
func RateLimited(err error, wait time.Duration) error {
	return laterError{err, wait, ClassRateLimited}
}

// Class names what err is.
func Class(err error) string {
	var later laterError
	switch {
	case IsUnavailable(err):
		return ClassUnavailable
	case IsPermanent(err):
		return ClassPermanent
	case errors.As(err, &later):
		return later.class
	}
	return ClassFailed
}

// Paced marks err as one that another try may cure, but not at once: whoever was
// asked is not asked again before the message has waited.
func Paced(err error) error { return pacedError{err} }

func isPaced(err error) bool { return errors.As(err, new(pacedError)) }

// IsPermanent reports whether err, or an error that it wraps, is Permanent.
func IsPermanent(err error) bool { return errors.As(err, new(permanentError)) }

// IsUnavailable reports whether err, or an error that it wraps, is Unavailable.
func IsUnavailable(err error) bool { return errors.As(err, new(unavailableError)) }

// isLater returns how long err asks to wait, if it does.
func isLater(err error) (time.Duration, bool) {
	var later laterError
	ok := errors.As(err, &later)
	return later.wait, ok
}
