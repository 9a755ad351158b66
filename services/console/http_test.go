package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/console"
	"github.com/leatflow/leat/services/deadletter"
)

// A site is a console's HTTP side.
type site struct {
	*house
	address string
}

func (h *house) serve() *site {
	h.t.Helper()
	server := &console.Server{Store: h.store, Hosts: []string{"leat.example.com"}, UserHeader: "X-Remote-User", Log: zap.NewNop()}
	s := httptest.NewServer(server.Handler())
	h.t.Cleanup(s.Close)
	return &site{h, s.URL}
}

// ask sends a request with headers ("Host: x") and returns what is answered.
func (s *site) ask(method, path, body string, headers ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Remote-User", "ada")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func get[T any](s *site, method, path, body string) (v T) {
	s.t.Helper()
	status, text := s.ask(method, path, body)
	if status != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return v
}

func TestDeadLettersOverHTTP(t *testing.T) {
	h := newHouse(t)
	slip := pipeline.Envelope{
		Kind: event.KindJob, Queue: rabbit.Dead, Body: []byte(`{"sauce":"ads","url":"http://me:secret@h/"}`),
		Headers: map[string]string{"error": "http://me:secret@h/ is wrong", "error_class": "permanent", "stage": "fetch", "origin_queue": rabbit.Fetch, "died_at": "2026-11-20T10:00:00Z"},
	}
	h.file(append(deadOnes("m", 3), slip)...)
	s := h.serve()
	h.start(1)

	letters := get[[]deadletter.Letter](s, "GET", "/api/dead?limit=2", "")
	if len(letters) != 2 || len(get[[]deadletter.Letter](s, "GET", fmt.Sprint("/api/dead?before=", letters[1].ID), "")) != 2 {
		t.Errorf("pages of %+v", letters)
	}
	if groups := get[[]deadletter.Group](s, "GET", "/api/dead/groups", ""); len(groups) != 2 || groups[0].Count != 3 {
		t.Errorf("groups %+v", groups)
	}
	job := get[[]deadletter.Letter](s, "GET", "/api/dead?stage=fetch", "")[0]
	path := fmt.Sprint("/api/dead/", job.ID)
	if _, text := s.ask("GET", path, ""); strings.Contains(text, "secret") || !strings.Contains(text, `"sauce":"ads"`) {
		t.Errorf("shown as %s", text)
	}
	edited := get[deadletter.Letter](s, "POST", path+"/edit", `{"body": {"source":"ads"}, "why": "a slip"}`)
	get[deadletter.Replay](s, "POST", "/api/dead/replay", fmt.Sprintf(`{"filter": {"ids": [%d]}, "count": 1, "why": "right now"}`, job.ID))
	h.until("the job to go back", func() bool { return h.count(`SELECT count(*) FROM dead_letters WHERE state = 'replayed'`) == 1 })
	if back := h.drain(rabbit.Fetch); len(back) != 1 || back[0].MessageId != edited.EditedID || string(back[0].Body) != `{"source":"ads"}` || back[0].Headers["replayed_by"] != "ada" {
		t.Errorf("went back: %+v", back)
	}

	if n := get[map[string]int](s, "POST", "/api/dead/drop", `{"filter": {"stage": "delta", "ids": [`+fmt.Sprint(letters[1].ID)+`]}, "why": "old"}`)["dropped"]; n != 1 {
		t.Errorf("%d dropped", n)
	}
	r := get[deadletter.Replay](s, "POST", "/api/dead/replay", `{"filter": {}, "all": true, "rate": 1}`)
	get[deadletter.Replay](s, "POST", fmt.Sprint("/api/replays/", r.ID, "/pause"), "")
	get[deadletter.Replay](s, "POST", fmt.Sprint("/api/replays/", r.ID, "/resume"), `{}`)
	get[deadletter.Replay](s, "POST", fmt.Sprint("/api/replays/", r.ID, "/cancel"), `{"why": "enough"}`)
	if now := get[deadletter.Replay](s, "GET", fmt.Sprint("/api/replays/", r.ID), ""); now.State != deadletter.Cancelled || now.Who != "ada" {
		t.Errorf("replay %+v", now)
	}
	if n := len(get[[]deadletter.Replay](s, "GET", "/api/replays", "")); n != 2 {
		t.Errorf("%d replays", n)
	}
	var actions []string
	for _, row := range get[[]struct{ Action, Who, Via string }](s, "GET", "/api/audit", "") {
		actions = append(actions, row.Action+" by "+row.Who+" via "+row.Via)
	}
	if got := strings.ReplaceAll(strings.Join(actions, ", "), " by ada via http", ""); got != "cancel, resume, pause, replay, drop, replay, edit" {
		t.Errorf("audit has %s", got)
	}
}

func TestWhatHTTPRefuses(t *testing.T) {
	h := newHouse(t)
	h.file(deadOnes("m", 2)...)
	s := h.serve()
	for _, test := range []struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		{"POST", "/api/dead/drop", `{"all": true, "why": "x"}`, []string{"Sec-Fetch-Site: cross-site"}, 403, ""},
		{"POST", "/api/dead/drop", `{"all": true, "why": "x"}`, []string{"Origin: https://evil.example"}, 403, ""},
		{"GET", "/api/dead", "", []string{"Host: evil.example"}, 403, "console.hosts"},
		{"GET", "/api/dead", "", []string{"Host: leat.example.com"}, 200, ""},
		{"GET", "/api/dead", "", []string{"Host: localhost:9280"}, 200, ""},
		{"GET", "/api/dead", "", []string{"Host: [::1]:9280"}, 200, ""},
		{"POST", "/api/dead/drop", `{"filter": {}, "why": "x"}`, nil, 400, `\"all\": true`},
		{"POST", "/api/dead/drop", `{"all": true}`, nil, 400, "say why"},
		{"POST", "/api/dead/drop", `{"al": true}`, nil, 400, "unknown field"},
		{"POST", "/api/dead/replay", `{"all": true, "count": 3}`, nil, 400, "3 were expected, 2 are meant"},
		{"POST", "/api/dead/replay", `{"all": true, "rate": -1}`, nil, 400, "rate: found -1"},
		{"POST", "/api/replays/1/stop", "", nil, 400, "paused, resumed and cancelled"},
		{"POST", "/api/replays/1/pause", "", nil, 404, "no replay has the id 1"},
		{"GET", "/api/dead/99", "", nil, 404, "no dead letter has the id 99"},
		{"GET", "/api/dead/x", "", nil, 400, "an id is a number"},
		{"GET", "/api/dead?state=gone", "", nil, 400, "allowed are dead"},
		{"GET", "/api/dead?limit=0", "", nil, 400, "limit: found"},
		{"GET", "/api/dead?since=today", "", nil, 400, "since: found"},
		{"GET", "/api/dead?job_id=1", "", nil, 400, "UUID"},
		{"POST", "/api/dead/1/edit", `{"body": "{"}`, nil, 400, "not JSON"},
	} {
		status, text := s.ask(test.method, test.path, test.body, test.headers...)
		if status != test.status || !strings.Contains(text, test.says) {
			t.Errorf("%s %s %s %v: %d %s; want %d and %q", test.method, test.path, test.body, test.headers, status, text, test.status, test.says)
		}
	}
	if n := h.count(`SELECT (SELECT count(*) FROM dead_letters WHERE state <> 'dead') + (SELECT count(*) FROM audit)`); n != 0 {
		t.Errorf("%d things were done all the same", n)
	}
}
