package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A receiver answers with the statuses in turn, the last one for ever, and keeps
// what was posted last.
type receiver struct {
	*httptest.Server
	posts atomic.Int32
	ids   []string
	body  []byte
}

func receive(t *testing.T, secret string, statuses ...int) *receiver {
	t.Helper()
	verifier, err := webhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil || verifier.Verify(body, q.Header) != nil {
			t.Errorf("signature: %v, %v", err, verifier.Verify(body, q.Header))
		}
		r.body, r.ids = body, append(r.ids, q.Header.Get("webhook-id"))
		n := int(r.posts.Add(1))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(statuses[min(n, len(statuses))-1])
	}))
	t.Cleanup(r.Close)
	return r
}

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a key of twenty-four bytes or more"))

func teller() *Client {
	c := &Client{pauses: []time.Duration{time.Millisecond, time.Millisecond}}
	c.cfg.Check.WebhookSecret = secret
	return c
}

func found(n int) Report {
	r := Report{At: time.Now(), Checked: Checked{Differences: int64(n), Sources: []string{"shop"}}}
	for range n {
		r.Add(whole("shop/a", "differs"))
	}
	return r
}

func TestTheWebhookIsSignedAndTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		report   Report
		always   bool
		statuses []int
		posts    int
		kind     string
		wrong    string
	}{
		"what was found":                  {report: found(2), statuses: []int{200}, posts: 1, kind: "check.differs"},
		"nothing was found":               {report: found(0), statuses: []int{200}},
		"nothing, to who always wants it": {report: found(0), always: true, statuses: []int{204}, posts: 1, kind: "check.agrees"},
		"it could not look":               {report: Report{Err: errors.New("PostgreSQL is away")}, statuses: []int{200}, posts: 1, kind: "check.failed"},
		"the receiver is away for a time": {report: found(1), statuses: []int{503, 429, 200}, posts: 3, kind: "check.differs"},
		"the receiver stays away":         {report: found(1), statuses: []int{503}, posts: 3, kind: "check.differs", wrong: "check.webhook: 503"},
		"the receiver refuses it":         {report: found(1), statuses: []int{400}, posts: 1, kind: "check.differs", wrong: "check.webhook: 400"},
		"the receiver sends it elsewhere": {report: found(1), statuses: []int{307}, posts: 1, kind: "check.differs", wrong: "check.webhook: 307"},
	} {
		t.Run(name, func(t *testing.T) {
			r := receive(t, secret, test.statuses...)
			c := teller()
			c.cfg.Check.Webhook, c.cfg.Check.Always = r.URL, test.always
			err := c.Notify(t.Context(), test.report)
			if (err != nil) != (test.wrong != "") || err != nil && !strings.HasPrefix(err.Error(), test.wrong) {
				t.Errorf("error %v, want %q", err, test.wrong)
			}
			if int(r.posts.Load()) != test.posts {
				t.Fatalf("%d posts, want %d", r.posts.Load(), test.posts)
			}
			for _, id := range r.ids {
				if id != r.ids[0] || !strings.HasPrefix(id, "check_") {
					t.Errorf("ids %q, want one", r.ids)
				}
			}
			if test.posts == 0 {
				return
			}
			var message struct {
				Type string
				Data Report
			}
			if err := json.Unmarshal(r.body, &message); err != nil || message.Type != test.kind || len(message.Data.List) != int(test.report.Differences) {
				t.Errorf("%v: %s", err, r.body)
			}
		})
	}
}

func TestTheWebhooksAddressIsInNoError(t *testing.T) {
	c := teller()
	c.cfg.Check.Webhook = "http://127.0.0.1:1/token-of-the-receiver"
	if err := c.Notify(t.Context(), found(1)); err == nil || strings.Contains(err.Error(), "token") {
		t.Errorf("error %v, want one without the address", err)
	}
}

func TestTheMailCommandGetsTheReport(t *testing.T) {
	folder := t.TempDir()
	mail, tries := filepath.Join(folder, "mail"), filepath.Join(folder, "tries")
	c := teller()
	c.cfg.Check.MailCommand = `echo again >> ` + tries + `; [ "$(wc -l < ` + tries + `)" -ge 2 ] && cat > ` + mail
	r := found(150)
	if err := c.Notify(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(mail)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"leat check: 150 differences", "\nshop/a: differs\n", "\nand 50 more\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the letter has no %q:\n%s", want, text)
		}
	}
	c.cfg.Check.MailCommand = "echo no such host >&2; exit 3"
	if err := c.Notify(t.Context(), r); err == nil || !strings.Contains(err.Error(), `check.mail_command: exit status 3: "no such host"`) {
		t.Errorf("error %v", err)
	}
}
