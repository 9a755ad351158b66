package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/leatflow/leat/services/client"
)

// A progress shows how far a job is: as a bar on a terminal, else as a line now
// and then.
type progress struct {
	say func(string)
	bar *progressbar.ProgressBar // nil: not a terminal

	last, state string // what was said last
	trouble     string // why a message waits, as it was said last
	next        time.Time
}

// lineEvery is how often a line is written where there is no terminal.
const lineEvery = 5 * time.Second

func newProgress(w io.Writer, say func(string)) *progress {
	p := &progress{say: say}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(w), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetWidth(15))
	}
	return p
}

func (p *progress) show(j client.Job) {
	if n := len(j.Waiting); n > 0 && j.Waiting[n-1].Error != p.trouble {
		p.trouble = j.Waiting[n-1].Error
		p.note("waiting: " + p.trouble)
	}
	text := progressLine(j)
	if p.bar != nil {
		total := j.Progress.Messages.Known + j.Progress.Documents.Written + j.Progress.Documents.Waiting + 1 // the end itself
		done := j.Progress.Messages.Done + j.Progress.Messages.Dead + j.Progress.Documents.Written
		p.bar.Describe(text)
		p.bar.ChangeMax64(total)
		_ = p.bar.Set64(min(done, total-1)) // a bar that cannot be drawn is not missed
		return
	}
	now := time.Now()
	if text != p.last && (j.State != p.state || now.After(p.next)) {
		p.say(text)
		p.last, p.state, p.next = text, j.State, now.Add(lineEvery)
	}
}

func (p *progress) note(text string) {
	if p.bar != nil {
		_ = p.bar.Clear() // see show
	}
	p.say(text)
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish() // see show
	}
}

func progressLine(j client.Job) string {
	return fmt.Sprintf("%s: %d of %d slices, %d of %d parts, %d documents, %d to write",
		j.Standing(), j.Progress.Slices.Done, j.Progress.Slices.Planned, j.Progress.Parts.Done, j.Progress.Parts.Fetched, j.Progress.Documents.Written, j.Progress.Documents.Waiting)
}
