package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/services/deadletter"
)

// Signs that HTML and JSON write otherwise hide no secret.
func TestASecretWithSignsIsNotShown(t *testing.T) {
	h := newHouse(t)
	redact.Secret("alpha&bravo<charlie>\"dingo'echo+foxtrot")
	d := dead("sly")
	d.Headers["error"] = "asked with alpha&bravo<charlie>\"dingo'echo+foxtrot, and by token=golf<hotel>india"
	d.Body = []byte(`{"source": "ads", "url": "http://me:juliett<kilo>lima@h/?secret=mike<november"}`)
	h.file(d)
	s := h.serve()
	id := h.list(deadletter.Filter{})[0].ID
	for _, path := range []string{"/", "/dead", fmt.Sprint("/dead/", id), fmt.Sprint("/confirm?id=", id), "/api/dead", fmt.Sprint("/api/dead/", id)} {
		status, text := s.ask("GET", path, "")
		if status != http.StatusOK || !strings.Contains(text, "asked with xxxxx") {
			t.Errorf("%s: %d %s", path, status, text)
		}
		for _, word := range []string{"bravo", "charlie", "dingo", "echo", "hotel", "india", "kilo", "lima", "november"} {
			if strings.Contains(text, word) {
				t.Errorf("%s shows %s", path, word)
			}
		}
	}
}

// A person finds a group, looks at a letter, edits one, replays the rest, and
// sees what became of it: all by links and forms.
func TestPages(t *testing.T) {
	h := newHouse(t)
	sly := dead("sly")
	sly.Headers["error"] = `<script>alert("x")</script> at http://me:secret@h/`
	sly.Body = []byte(`{"source":"<b>ads</b>","url":"http://me:secret@h/"}`)
	h.file(append(deadOnes("m", 60), sly)...)
	s := h.serve()
	page := func(path string, want ...string) string {
		t.Helper()
		status, text := s.ask("GET", path, "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: there is no %s in\n%s", path, w, text)
			}
		}
		for _, bad := range []string{"<script>", "<b>ads", "secret"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: there is %s", path, bad)
			}
		}
		return text
	}
	group := h.list(deadletter.Filter{})[10].Group
	page("/", "no object N", "/dead?fingerprint="+group, "&lt;script&gt;")
	page("/dead?state=dead&error_class=permanent", "older", "no object 12")
	first := h.list(deadletter.Filter{Group: group})[0].ID
	page(fmt.Sprint("/dead/", first), "<textarea", "traceparent")
	slyID := h.count(`SELECT id FROM dead_letters WHERE message_id = 'sly'`)
	if text := page(fmt.Sprint("/dead/", slyID)); strings.Contains(text, "<textarea") {
		t.Error("a body whose password is hidden can be edited, which would lose it")
	}
	page("/confirm?fingerprint="+group, "Replay 60", "Drop 60")

	s.post(fmt.Sprint("/dead/", first), url.Values{"body": {`{"source": "ads", "version": "w"}`}, "why": {"a slip"}}, fmt.Sprint("/dead/", first))
	query := url.Values{"query": {"fingerprint=" + group}, "count": {"60"}, "do": {"replay"}, "why": {"fixed"}, "rate": {"1"}}
	query.Set("count", "59")
	if status, text := s.send("/confirm", query); status != http.StatusBadRequest || !strings.Contains(text, "59 were expected, 60 are meant") {
		t.Errorf("with another count: %d %s", status, text)
	}
	query.Set("count", "60")
	s.post("/confirm", query, "/replays/")
	id := h.count(`SELECT id FROM replays`)
	at := fmt.Sprint("/replays/", id)
	page(at, "running", "Pause", "by ada: fixed", "http-equiv")
	s.post(at, url.Values{"do": {"pause"}}, at)
	page(at, "paused", "Resume")
	s.post(at, url.Values{"do": {"cancel"}}, at)
	s.post("/confirm", url.Values{"query": {fmt.Sprint("id=", slyID)}, "count": {"1"}, "do": {"drop"}, "why": {"odd"}}, "/")
	page("/replays", "cancelled")
	page("/audit", "ada", "cancel", "drop", "a slip")
	page("/dead?state=dropped", "&lt;script&gt;")
	if status, _ := s.ask("POST", "/confirm", "do=drop", "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-site"); status != http.StatusForbidden {
		t.Errorf("a form of another site is answered by %d", status)
	}
	if status, text := s.ask("GET", "/dead/0", ""); status != http.StatusNotFound || !strings.Contains(text, "no dead letter has the id 0") {
		t.Errorf("a letter that is not there: %d %s", status, text)
	}
}

// send posts a form and returns the answer; a redirection is followed.
func (s *site) send(path string, form url.Values) (int, string) {
	s.t.Helper()
	return s.ask("POST", path, form.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

// post posts a form and wants to be sent on to an address that begins so.
func (s *site) post(path string, form url.Values, to string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.address+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Remote-User", "ada")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(got, to) {
		text, _ := io.ReadAll(answer.Body)
		s.t.Fatalf("POST %s %v: %s, to %q, want to %q\n%s", path, form, answer.Status, got, to, text)
	}
}
