//go:build torture

package pipeline

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
)

// armed is the one point that LEAT_TORTURE arms, at its nth pass: "sent=KILL:2".
// The signal is KILL, or STOP, after which the process goes on when it gets CONT.
var armed = arm(os.Getenv("LEAT_TORTURE"))

type arming struct {
	name   string
	signal syscall.Signal
	left   atomic.Int64
}

func arm(text string) *arming {
	name, what, _ := strings.Cut(text, "=")
	what, nth, _ := strings.Cut(what, ":")
	n := int64(1)
	_, _ = fmt.Sscan(nth, &n) // none is the first
	a := &arming{name: name, signal: map[string]syscall.Signal{"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP}[what]}
	a.left.Store(n)
	return a
}

// Point sends the process the signal that is armed for this place.
func Point(name string) {
	if name == armed.name && armed.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), armed.signal) // to itself: it may
	}
}
