package fetch

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/pipeline"
)

const changed = `changes: {path: '/c?since={cursor}', cursor: next, ids: 'ads.id', more: more, report: '/some?from={from}&ids={ids}', batch: 2},
 report: {path: '/all?from={from}', slice: 1d, lookback: 2d}`

// drain handles messages until nothing follows, those that were published to
// fetch's own queue too.
func (b *bench) drain(queue ...pipeline.Envelope) {
	b.t.Helper()
	for len(queue) > 0 {
		out, err := b.do(queue[0])
		if err != nil {
			b.t.Fatal(err)
		}
		queue = append(queue[1:], out...)
		for _, e := range b.sink.all() {
			if e.Queue == b.Self {
				queue = append(queue, e)
			}
		}
	}
}

// whole does a refresh with all that follows from it, and ends it.
func (b *bench) whole(state string) {
	b.t.Helper()
	named := b.must(job(refresh))[0]
	b.drain(b.must(named)...)
	b.finish(named.Job, state)
}

// asks returns what was asked since the last call.
func (b *bench) asks() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Join(b.requests, " ")
	b.requests = nil
	today := b.text(`SELECT (now() AT TIME ZONE 'UTC')::date::text`)
	yesterday := b.text(`SELECT ((now() AT TIME ZONE 'UTC')::date - 1)::text`)
	return strings.NewReplacer(today, "TODAY", yesterday, "YESTERDAY").Replace(all)
}

// feed is a source that says what changed: by cursor, the body.
func (b *bench) feed(lists map[string]string) {
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		list, ok := lists[r.URL.Query().Get("since")]
		switch {
		case r.URL.Path != "/c":
			fmt.Fprint(w, says(len(b.requests)))
		case !ok:
			w.WriteHeader(http.StatusGone)
		default:
			fmt.Fprint(w, list)
		}
	}
}

func TestARefreshAsksForWhatChangedAlone(t *testing.T) {
	b := newBench(t)
	b.source("", changed)
	lists := map[string]string{"": `{"ads":[{"id":"a1"},{"id":"a2"}],"next":"1"}`}
	b.feed(lists)
	steps := []struct{ list, state, want, value string }{
		{``, "done", "/c?since= /all?from=YESTERDAY /all?from=TODAY", "1"},
		{`{"ads":[],"next":"1"}`, "done", "/c?since=1", "1"},
		{`{"ads":[{"id":"a,1"},{"id":"b&2","days":[{"id":"x"}]},{"id":3}],"next":"2"}`, "incomplete",
			"/c?since=1 /some?from=YESTERDAY&ids=a%2C1,b%262 /some?from=YESTERDAY&ids=3", "1"},
		{`{"next":"3","ads":[{"id":"a1"}]}`, "done", "/c?since=1 /some?from=YESTERDAY&ids=a1", "3"},
	}
	for i, step := range steps {
		if step.list != "" {
			lists["1"] = step.list
		}
		b.whole(step.state)
		if got := b.asks(); got != step.want {
			t.Errorf("step %d: asked\n%s\nwant\n%s", i, got, step.want)
		}
		b.must(job(fmt.Sprintf(`{"source":"ads","mode":"backfill","id":"look %d"}`, i))) // it looks at the cursors too
		if got := b.text(`SELECT coalesce(value, 'none') FROM cursors WHERE stream = 'changes'`); got != step.value {
			t.Errorf("step %d: the cursor is %s, want %s", i, got, step.value)
		}
	}
	if got := b.text(`SELECT count(*)::text FROM requests`); got != "0" { // those of the report do not hold after those of ids, which never come again
		t.Errorf("%s requests are kept", got)
	}
	if got := b.text(`SELECT string_agg(value, ' ' ORDER BY at) FROM cursor_history WHERE job_id IS NOT NULL`); got != "1 1 3" {
		t.Errorf("its history is %s", got)
	}
}

func TestACursorThatIsTooOldLeadsToAll(t *testing.T) {
	b := newBench(t)
	b.source("", changed)
	lists := map[string]string{"": `{"ads":[],"next":"1"}`}
	b.feed(lists)
	b.whole("done")
	b.asks()
	lists[""] = `{"ads":[{"id":"a1"}],"next":"9"}` // and 1 is gone
	b.whole("done")
	if got := b.asks(); got != "/c?since=1 /c?since= /all?from=YESTERDAY /all?from=TODAY" {
		t.Errorf("asked %s", got)
	}
	lists["9"] = `{"ads":[],"next":"9"}`
	b.whole("done")
	if got := b.asks(); got != "/c?since=9" {
		t.Errorf("then asked %s", got)
	}
	delete(lists, "")
	b.exec(`DELETE FROM cursors`)
	if _, err := b.do(b.slice(refresh)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "410") {
		t.Errorf("without a cursor: %v", err)
	}
}

func TestChangesOfSeveralPages(t *testing.T) {
	b := newBench(t)
	b.source("", changed)
	lists := map[string]string{
		"": `{"ads":[{"id":"a1"}],"next":"1","more":true}`, "1": `{"ads":[{"id":"a2"}],"next":"2","more":false}`,
		"2": `{"more":true,"ads":[{"id":"a3"}],"next":"3"}`, "3": `{"ads":[{"id":"a4"}],"next":"4"}`,
	}
	b.feed(lists)
	b.whole("done")
	if got := b.asks(); got != "/c?since= /c?since=1 /all?from=YESTERDAY /all?from=TODAY" {
		t.Errorf("asked %s", got)
	}
	b.whole("done")
	if got := b.asks(); got != "/c?since=2 /c?since=3 /some?from=YESTERDAY&ids=a3 /some?from=YESTERDAY&ids=a4" {
		t.Errorf("asked %s", got)
	}
	lists["4"] = `{"ads":[],"next":"4","more":true}`
	if _, err := b.do(b.slice(refresh)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `there is more after cursor "4"`) {
		t.Errorf("a cursor that stays: %v", err)
	}
	lists["4"], lists["5"] = `{"ads":[],"next":"5","more":true}`, `{"ads":[],"next":"4","more":true}`
	if err := b.follow(b.slice(refresh)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "the pages go round in a circle") {
		t.Errorf("cursors that go round: %v", err)
	}
}

// A source that says only whether anything changed is asked for all where it did.
func TestChangesWithoutIDs(t *testing.T) {
	b := newBench(t)
	b.source("", "changes: {path: '/c?since={cursor}', cursor: next}, report: {path: '/all?from={from}', slice: 1d, lookback: 2d}")
	lists := map[string]string{"": `{"next":1}`, "1": `{"next":1,"":"x"}`}
	b.feed(lists)
	for i, want := range []string{"/c?since= /all?from=YESTERDAY /all?from=TODAY", "/c?since=1", "/c?since=1 /all?from=YESTERDAY /all?from=TODAY", "/c?since=2"} {
		b.whole("done")
		if got := b.asks(); got != want {
			t.Errorf("refresh %d: asked %s, want %s", i, got, want)
		}
		if i == 1 {
			lists["1"], lists["2"] = `{"next":2}`, `{"next":2}`
		}
	}
}

func TestAListOfChangesThatIsBrokenIsAskedForAgain(t *testing.T) {
	for name, list := range map[string]string{"cut": `{"ads":[{"id":"a1"},`, "without a cursor": `{"ads":[]}`, "HTML": `<html>`} {
		b := newBench(t)
		b.source("", changed)
		b.feed(map[string]string{"": list})
		slice := b.slice(refresh)
		if _, err := b.do(slice); verdict(err) != "again" {
			t.Errorf("%s: %v", name, err)
		}
		if got := b.text(`SELECT count(*)::text FROM cursors`); got != "0" {
			t.Errorf("%s: %s cursors", name, got)
		}
		b.feed(map[string]string{"": `{"ads":[],"next":"1"}`})
		if out := b.must(slice); len(out) != 2 {
			t.Errorf("%s: then %+v", name, out)
		}
	}
}

func TestAListOfChangesThatComesAgainAsksForTheSame(t *testing.T) {
	b := newBench(t)
	b.source("", changed)
	b.exec(`INSERT INTO cursors (source, account, stream, value) VALUES ('ads', '', 'changes', '1')`)
	b.feed(map[string]string{"1": `{"ads":[{"id":"a1"},{"id":"a2"},{"id":"a3"}],"next":"2"}`})
	slice := b.slice(refresh)
	b.sink.fails = 1
	if _, err := b.do(slice); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	first := b.sink.take()
	b.feed(map[string]string{"1": `{"ads":[],"next":"3"}`})
	b.must(slice)
	if again := b.sink.take(); again == "" || !strings.HasPrefix(again, first) || b.asked() != 1 {
		t.Errorf("asked %d times; first\n%s\nagain\n%s", b.asked(), first, again)
	}
	if got := b.text(`SELECT next FROM cursors`); got != "2" {
		t.Errorf("next is %s", got)
	}
	if got := b.text(`SELECT cardinality(names)::text FROM ledger WHERE message_id = $1`, slice.ID); got != "2" {
		t.Errorf("the row names %s messages", got)
	}
}
