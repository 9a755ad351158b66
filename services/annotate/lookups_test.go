package annotate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// An api is a host that annotators ask, with a stage that asks it.
type api struct {
	*bench
	url    string
	lookup *Lookups

	versions int

	mu     sync.Mutex
	asked  []string
	answer func(w http.ResponseWriter, r *http.Request)
}

// newAPI has ads with a grade, which is asked for by the name; the API does it by
// the length. Settings are those of its host.
func newAPI(t *testing.T, settings string) *api {
	t.Helper()
	a := &api{bench: newBench(t)}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	a.grades()
	a.src = a.rule(`http("`+a.url+`/grade?of=" + urlEscape(name)).grade`, settings)
	guard, err := outbound.New(outbound.Config{Setting: "annotate", Networks: []string{"127.0.0.1"}, MaxBytes: 1 << 20, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	a.lookup = NewLookups(a.db, guard, 4, zap.NewNop())
	return a
}

// rule makes a version whose tag grade is this, from now on the newest.
func (a *api) rule(expression, settings string) *source.Source {
	a.t.Helper()
	text := strings.Replace(rules, `season: 'parent("campaign").name'`, `grade: 'status == "x" ? nil : `+expression+`'`, 1)
	if settings != "" {
		text += "lookups: {\"" + strings.TrimPrefix(a.url, "http://") + "\": " + settings + "}\n"
	}
	a.versions++
	return a.version(text, time.Minute-time.Duration(a.versions)*time.Second)
}

// ServeHTTP notes what is asked.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.RequestURI())
	answer := a.answer
	a.mu.Unlock()
	answer(w, r)
}

// answers sets what is answered from now on, and forgets what was asked.
func (a *api) answers(do func(w http.ResponseWriter, r *http.Request)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked, a.answer = nil, do
}

func (a *api) grades() {
	a.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"grade": %d}`, len(r.FormValue("of")))
	})
}

func (a *api) status(code int) {
	a.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// requests are what was asked, sorted.
func (a *api) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(slices.Values(a.asked))
}

// do handles messages and returns what annotate sends itself.
func (a *api) do(in ...pipeline.Delivery) (again []pipeline.Envelope) {
	a.t.Helper()
	s := a.stage()
	s.Lookups = a.lookup
	out, err := s.Handle(a.t.Context(), in)
	if err != nil {
		a.t.Fatal(err)
	}
	return slices.DeleteFunc(out, func(e pipeline.Envelope) bool { return e.Queue != s.Self })
}

// all names objects 2 and 3, the ads.
func (a *api) all() pipeline.Delivery {
	return a.delivery(a.src, event.Change{ID: 2, Self: true}, event.Change{ID: 3, Self: true})
}

func (a *api) want(what string, got, want any) {
	a.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		a.t.Errorf("%s:\n%v\nwant\n%v", what, got, want)
	}
}

const graded = `a1 {"brand": true, "grade": 10}
a2 {"brand": false, "grade": 4}`

// An address is asked once for all objects and for as long as the cache holds,
// and again when that has ended and the object changes.
func TestAnAddressIsAskedOnce(t *testing.T) {
	a := newAPI(t, "")
	a.exec(`UPDATE objects SET name = 'Pear' WHERE id = 2`)
	a.want("again", a.do(a.all(), a.all()), []string{})
	a.want("asked", a.requests(), []string{"/grade?of=Pear"})
	a.want("tags", a.tags(), "a1 {\"brand\": false, \"grade\": 4}\na2 {\"brand\": false, \"grade\": 4}")

	a.exec(`UPDATE objects SET attrs = '{"status": "new"}' WHERE id = 2`)
	a.do(a.all())
	a.want("asked while the cache holds", len(a.requests()), 1)
	a.exec(`UPDATE lookups SET until = now()`)
	a.do(a.all())
	a.want("asked for what is the same", len(a.requests()), 1)
	a.exec(`UPDATE objects SET attrs = '{"status": "old"}' WHERE id = 2`)
	a.do(a.all())
	a.want("asked when the object changed", len(a.requests()), 2)
}

// That there is nothing is an answer, which is kept too.
func TestNothingIsAnAnswer(t *testing.T) {
	a := newAPI(t, "")
	a.src = a.rule(`http("`+a.url+`/"+key)?.grade`, "")
	a.status(http.StatusNotFound)
	a.want("again", a.do(a.all()), []string{})
	a.want("tags", a.tags(), "a1 {\"brand\": true}\na2 {\"brand\": false}")
	a.want("lookups", a.text(`SELECT status || ' ' || (until > now() + interval '6 days') FROM lookups ORDER BY url`), "404 true\n404 true")
	a.exec(`UPDATE tags SET inputs_hash = ''`)
	a.do(a.all())
	a.want("asked", len(a.requests()), 2)
}

// What fails may pass: the other tags are written, the failed one keeps its last
// value, and one message brings all objects of the batch again, until it passes.
func TestAFailedTagIsTriedAgain(t *testing.T) {
	for name, fail := range map[string]func(w http.ResponseWriter, _ *http.Request){
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"grade"`)
		},
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<p>")
		},
		"broken JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"grade": 1`)
		},
		"a timeout": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, "{timeout: 100ms}")
			a.do(a.delivery(a.src, event.Change{ID: 2, Self: true}))
			a.exec(`UPDATE objects SET name = 'Bear' WHERE id = 2`)
			a.answers(fail)
			again := a.do(a.delivery(a.src, event.Change{ID: 2, Self: true}), a.delivery(a.src, event.Change{ID: 3, Self: true}))
			a.want("tags", a.tags(), "a1 {\"brand\": false, \"grade\": 10}\na2 {\"brand\": false}")
			a.want("failed", a.text(`SELECT (failed ? 'grade' AND retry AND failed->>'grade' LIKE '%/grade?of=%')::text FROM tags ORDER BY object_id`), "true\ntrue")
			if len(again) != 1 || again[0].Wait != time.Second {
				t.Fatalf("again: %+v", again)
			}
			a.want("counts", a.text(`SELECT sum((counts->>'tags.retried')::int)::text || ' ' || sum((counts->>'tags.failed')::int) FROM ledger`), "2 0")
			a.grades()
			a.want("again", a.do(pipeline.Delivery{Envelope: again[0]}), []string{})
			a.want("tags", a.tags(), "a1 {\"brand\": false, \"grade\": 4}\na2 {\"brand\": false, \"grade\": 4}")
			a.want("failed", a.text(`SELECT (failed IS NULL AND NOT retry)::text FROM tags ORDER BY object_id`), "true\ntrue")
		})
	}
}

// A job ends, even if the API never answers: the tag stays failed.
func TestTriesEnd(t *testing.T) {
	a := newAPI(t, "")
	a.status(http.StatusInternalServerError)
	in, waits, tries := a.all(), []string{}, 0
	for {
		tries++
		again := a.do(in)
		if len(again) == 0 {
			break
		}
		waits = append(waits, again[0].Wait.String())
		in = pipeline.Delivery{Envelope: again[0]}
	}
	a.want("tries", tries, Tries)
	a.want("requests", len(a.requests()), 2*Tries)
	a.want("waits", waits, strings.Fields("1s 1s 1s 10s 10s 10s 1m0s 1m0s 1m0s 10m0s 10m0s 10m0s"))
	a.want("counts", a.text(`SELECT sum((counts->>'tags.retried')::int)::text || ' ' || sum((counts->>'tags.failed')::int) FROM ledger`), "24 2")
	a.want("kept", a.text(`SELECT retry::text FROM tags`), "true\ntrue")
	a.grades()
	a.do(a.delivery(a.src, event.Change{ID: 2, Above: true}, event.Change{ID: 3, Above: true}))
	a.want("tags, when somebody asks for them", a.tags(), graded)
}

// What cannot pass is told at once: a request that is wrong, an address that
// may not be asked, a rule that does not fit.
func TestWhatCannotPassIsNotTriedAgain(t *testing.T) {
	a := newAPI(t, "")
	for name, c := range map[string]struct{ expression, says string }{
		"400":       {`http("` + a.url + `/bad").grade`, "answered 400 Bad Request"},
		"private":   {`http("http://10.1.2.3/x").grade`, "annotate.allow_networks"},
		"the rule":  {`http("` + a.url + `/grade?of=x").grade.x`, "cannot fetch"},
		"the chain": {`reduce(1..30, #acc + http("` + a.url + `/grade?of=" + #acc).grade, "")`, ""},
	} {
		a.exec(`DELETE FROM tags`)
		a.grades()
		if name == "400" {
			a.status(http.StatusBadRequest)
		}
		a.src = a.rule(c.expression, "")
		a.want(name+" again", a.do(a.all()), []string{})
		reason := a.text(`SELECT failed->>'grade' || ' ' || retry FROM tags WHERE object_id = 2`)
		if !strings.Contains(reason, c.says) || !strings.HasSuffix(reason, " false") {
			t.Errorf("%s: %s, want %s", name, reason, c.says)
		}
	}
}

// A host that wants to be left alone is asked no more for the same batch, and by
// nobody until then; who was not asked has used up no try.
func TestAHostThatWantsToBeLeftAlone(t *testing.T) {
	a := newAPI(t, "")
	a.lookup = NewLookups(a.db, a.lookup.Guard, 1, zap.NewNop())
	a.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	again := a.do(a.all())
	a.want("asked", len(a.requests()), 1)
	changes, err := pipeline.Decode[event.Changes](again[0])
	if err != nil || len(again) != 1 || changes.Try != 1 || len(changes.Objects) != 2 {
		t.Fatalf("again: %+v, %+v, %v", again, changes, err)
	}
	again = a.do(pipeline.Delivery{Envelope: again[0]})
	a.want("asked", len(a.requests()), 1)
	changes, err = pipeline.Decode[event.Changes](again[0])
	if err != nil || len(again) != 1 || changes.Try != 1 || again[0].Wait != 10*time.Second {
		t.Fatalf("while it is left alone: %+v, %+v, %v", again, changes, err)
	}
	a.exec(`UPDATE budgets SET cool = now()`)
	a.grades()
	a.want("again", a.do(pipeline.Delivery{Envelope: again[0]}), []string{})
	a.want("tags", a.tags(), graded)
}

// By its rate a host is asked no more often than it may, by all processes.
func TestARateIsKept(t *testing.T) {
	a := newAPI(t, "{rate: {requests: 1, per: 1h}}")
	again := a.do(a.all())
	a.want("asked", len(a.requests()), 1)
	changes, err := pipeline.Decode[event.Changes](again[0])
	if err != nil || len(again) != 1 || changes.Try != 0 || len(changes.Objects) != 1 {
		t.Errorf("again: %+v, %v", changes, err)
	}
	a.want("leases", a.text(`SELECT count(*)::text FROM budget_leases`), "0")
}

// A host that is away is not asked for each of many objects, which follow in
// messages of their own where a message has too many for one worker.
func TestManyObjectsAreSharedOut(t *testing.T) {
	a := newAPI(t, "")
	a.exec(`INSERT INTO objects (source, type, key, parent_id, depth, name, observed_at) SELECT 'ads', 'ad', 'x' || n, 1, 1, 'n' || n, now() FROM generate_series(1, 150) AS n`)
	var changes []event.Change
	for id := range int64(150) {
		changes = append(changes, event.Change{ID: 100 + id, Self: true, New: true})
	}
	apart := a.do(a.delivery(a.src, append(changes, event.Change{ID: 1, Self: true})...))
	a.want("asked", len(a.requests()), 0)
	a.want("messages", len(apart), 10)
	a.want("tags", a.tags(), `c1 {"brand": false}`)
	a.status(http.StatusBadGateway)
	again := a.do(pipeline.Delivery{Envelope: apart[0]}, pipeline.Delivery{Envelope: apart[1]}, pipeline.Delivery{Envelope: apart[2]})
	a.want("again", len(again), 1)
	if n := len(a.requests()); n < manyFailures || n > manyFailures+4 {
		t.Errorf("a host that is away was asked %d times", n)
	}
	a.grades()
	for _, e := range append(a.do(pipeline.Delivery{Envelope: again[0]}), apart[3:]...) { // the 48 are shared out too
		a.want("again", a.do(pipeline.Delivery{Envelope: e}), []string{})
	}
	a.want("asked", len(a.requests()), 150)
	a.want("graded", a.text(`SELECT count(*)::text FROM tags WHERE tags ? 'grade'`), "150")
}

// Secrets are shown to their host, and stand nowhere else.
func TestALookupIsSigned(t *testing.T) {
	t.Setenv("GRADER_KEY", "very-secret-key")
	a := newAPI(t, `{auth: {header: {name: X-Key, value: "${GRADER_KEY}"}}}`)
	a.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "very-secret-key" {
			w.WriteHeader(http.StatusForbidden)
		}
		http.Error(w, "you said "+r.Header.Get("X-Key"), http.StatusBadGateway)
	})
	a.do(a.all())
	if got := a.text(`SELECT failed->>'grade' FROM tags`); !strings.Contains(got, "502") || strings.Contains(got, "very-secret-key") {
		t.Errorf("failed: %s", got)
	}
}
