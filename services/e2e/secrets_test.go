package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/leatflow/leat/services/lab"
)

// The secrets of the test, as the environment has them. The password is
// percent-encoded, since it stands in an address.
const (
	planted       = "pl4nt3d/p\"ässw%rd &1"
	plantedToken  = "pl4nt3d+t0ken/\"& é"
	plantedServer = "pl4nt3d-s3rver-w0rd"
)

// spelt are the ways in which a secret may be seen.
func spelt() []string {
	all := []string{"pl4nt3d", base64.StdEncoding.EncodeToString([]byte("me:" + planted))}
	for _, secret := range []string{planted, plantedToken} {
		all = append(all, url.QueryEscape(secret), url.PathEscape(secret))
	}
	return all
}

// A telltale source fails in the way that the path names, and tells everybody
// what it was sent.
func telltale(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	told := fmt.Sprintf("%s\n%s:%s\n%q\nAuthorization: %s\n%v\n", r.URL, user, password, r.URL.Query()["key"], r.Header.Get("Authorization"), r.Header)
	switch strings.TrimPrefix(r.URL.Path, "/") {
	case "refuse":
		http.Error(w, told, http.StatusUnauthorized)
	case "fail":
		http.Error(w, told, http.StatusInternalServerError)
	case "busy":
		http.Error(w, told, http.StatusServiceUnavailable)
	case "html":
		fmt.Fprintf(w, "<html>%s</html>", told)
	case "broken":
		fmt.Fprintf(w, `[{"id": 1, "date": "2026-11-13", %s`, told)
	case "cut":
		w.Header().Set("Content-Length", "100000")
		fmt.Fprint(w, told)
	case "reject":
		fmt.Fprintf(w, `[{"id": "a", "name": "x", "date": %q, "clicks": 1}]`, r.URL.Query().Get("key")+password)
	case "redirect":
		http.Redirect(w, r, "ftp://me:"+url.QueryEscape(password)+"@elsewhere/?key="+r.URL.Query().Get("key"), http.StatusFound)
	}
}

// Whatever goes wrong, and however much a source tells: no log, row, dead letter
// or page has a secret in it.
func TestNoSecretIsSeen(t *testing.T) {
	s := newSystem(t)
	plain := httptest.NewServer(http.HandlerFunc(telltale))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(telltale))
	defer secure.Close()
	bases := map[string]string{"certificate": secure.URL, "away": "http://" + freePort(t), "forbidden": "http://169.254.169.254"}
	ways := []string{"refuse", "fail", "busy", "html", "broken", "cut", "reject", "redirect", "certificate", "away", "forbidden", "unreadable"}
	for _, way := range ways {
		base := bases[way]
		if base == "" {
			base = plain.URL
		}
		s.source(way+".yaml", sourceText(way, base))
	}
	pages, away := map[string]string{}, freePort(t)
	for _, stage := range []string{"fetch", "delta", "annotate", "rollup"} {
		pages[stage] = freePort(t)
	}
	s.source("unreadable.yaml", strings.Replace(sourceText("unreadable", plain.URL), "${PASSWORD}", "${NOT_ENCODED}", 1))
	s.env = func(stage string) []string {
		env := []string{"PASSWORD=" + url.PathEscape(planted), "NOT_ENCODED=" + planted, "TOKEN=" + plantedToken, "LEAT_LOG_LEVEL=debug", "LEAT_HTTP_LISTEN=" + pages[stage]}
		switch stage { // these meet servers that are away, or do not let them in
		case "delta":
			env = append(env, "LEAT_POSTGRES_URL="+withPassword(t, s.cfg.Postgres.URL, s.cfg.Postgres.URL))
		case "annotate":
			env = append(env, "LEAT_RABBITMQ_URL="+withPassword(t, s.cfg.RabbitMQ.URL, "amqp://"+away+"/x"))
		case "rollup":
			env = append(env, "LEAT_MONGODB_URL="+withPassword(t, s.cfg.MongoDB.URL, s.cfg.MongoDB.URL)+"?serverSelectionTimeoutMS=500")
		}
		return env
	}
	processes := s.launch()
	for _, way := range ways {
		s.submit(fmt.Sprintf(`{"source":%q}`, way))
	}
	const heard = `SELECT j.source FROM jobs j WHERE EXISTS (SELECT 1 FROM ledger l WHERE l.job_id = j.id AND l.stage = 'fetch' AND (l.error IS NOT NULL OR l.state = 'done') AND l.message_id <> j.id::text)`
	s.until(2*patience, "every source to have answered", func() bool { return len(s.query(heard)) == len(ways) })

	var everything strings.Builder
	for _, table := range s.query(`SELECT table_name FROM information_schema.tables WHERE table_schema = 'leat'`) {
		table = strings.Trim(table, `"`)
		for _, row := range s.query(fmt.Sprintf(`SELECT '%s', to_jsonb(t)::text FROM leat.%[1]s AS t`, table)) {
			fmt.Fprintln(&everything, "row", row)
		}
	}
	for _, letter := range s.letters(5) { // refuse, redirect, certificate, forbidden, unreadable
		fmt.Fprintf(&everything, "letter %s %v\n", letter.Body, letter.Headers)
	}
	for stage, address := range pages {
		for _, page := range []string{"readyz", "healthz", "metrics", "debug/pprof/cmdline"} {
			r, err := http.Get("http://" + address + "/" + page)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&everything, "page of %s %s\n", stage, text)
		}
	}
	for _, p := range processes {
		fmt.Fprintln(&everything, "log", p.log.String())
	}
	for line := range strings.Lines(everything.String()) {
		for _, secret := range spelt() {
			if strings.Contains(line, secret) {
				t.Errorf("%q is seen: %.1500s", secret, line)
			}
		}
	}
	for _, what := range []string{"row", "letter", "page", "log"} { // each has something that was hidden
		if !strings.Contains(everything.String(), "\n"+what+" ") {
			t.Errorf("there is no %s", what)
		}
	}
	if n := strings.Count(everything.String(), "xxxxx"); n < 50 {
		t.Errorf("only %d secrets were hidden: are they told at all?", n)
	}
}

// sourceText is a source that sends its secrets in both ways.
func sourceText(name, address string) string {
	return fmt.Sprintf(`
source: %[1]s
http: {base_url: %[2]q, timeout: 5s}
fetch: {report: {path: "/%[1]s?key=${TOKEN}"}}
records: [{object: {type: ad, key: id, name: name}, stat: {day: date, metrics: [clicks]}}]
`, name, strings.Replace(address, "://", "://me:${PASSWORD}@", 1))
}

// withPassword is the address of a server with another password, which is wrong.
func withPassword(t *testing.T, of, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	user, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user.User.Username(), plantedServer)
	return u.String()
}

// freePort is an address on which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := lab.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
