package fetch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/services/demosource"
)

const secret = `s3cr3t/+"&é` // changes its form in an address and in quotes

func TestEachWayOfAuthenticationArrivesAndIsReadNowhere(t *testing.T) {
	t.Setenv("ADS_SECRET", secret)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for auth, arrived := range map[string]func(r *http.Request) string{
		`bearer: "${ADS_SECRET}"`:                           func(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") },
		`bearer: "${file:` + file + `}"`:                    func(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") },
		`basic: {user: leat, password: "${ADS_SECRET}"}`:    func(r *http.Request) string { _, p, _ := r.BasicAuth(); return p },
		`header: {name: X-Api-Key, value: "${ADS_SECRET}"}`: func(r *http.Request) string { return r.Header.Get("X-Api-Key") },
		`query: {name: key, value: "${ADS_SECRET}"}`:        func(r *http.Request) string { return r.URL.Query().Get("key") },
		`query: {name: key, value: "v1 ${file:` + file + `} x"}`: func(r *http.Request) string {
			return strings.TrimSuffix(strings.TrimPrefix(r.URL.Query().Get("key"), "v1 "), " x")
		},
	} {
		t.Run(auth, func(t *testing.T) {
			b := newBench(t)
			b.source("auth: {"+auth+"}", "report: {path: '/r?from={from}&to={to}', lookback: 2d}")
			slice := b.slice(`{"source":"ads"}`)
			sound := b.answer
			b.answer = func(w http.ResponseWriter, r *http.Request) { // it echoes what it was shown
				if got := arrived(r); got != secret {
					t.Errorf("the source was shown %q", got)
				}
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, secret, " ", r.URL, " ", arrived(r))
			}
			_, err := b.do(slice)
			if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "400") {
				t.Fatalf("got %v", err)
			}
			texts := []string{err.Error()}
			b.answer = sound
			b.must(slice)
			for _, table := range []string{"answers", "ledger", "jobs", "source_versions", "cursors"} {
				texts = append(texts, b.text(`SELECT t::text FROM `+table+` AS t`))
			}
			texts = append(texts, string(slice.Body), b.sink.take())
			for _, text := range texts {
				for _, form := range []string{secret, url.QueryEscape(secret), `s3cr3t`} {
					if strings.Contains(text, form) {
						t.Errorf("%q is in %s", form, text)
					}
				}
			}
			if got := b.text(`SELECT url FROM answers`); strings.Contains(got, "key=") {
				t.Errorf("the answer's address is %s", got)
			}
		})
	}
}

func TestASourceThatIsAwayTellsNoSecret(t *testing.T) {
	t.Setenv("ADS_SECRET", secret)
	b := newBench(t)
	b.url = "http://127.0.0.1:1"
	b.source(`auth: {query: {name: key, value: "${ADS_SECRET}"}}`, "report: {path: /r}")
	_, err := b.do(b.slice(`{"source":"ads"}`))
	if verdict(err) != "later" || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

// A job may name any address, and a source may send Leat to any.
func TestOtherHostsAreShownNothing(t *testing.T) {
	t.Setenv("ADS_SECRET", secret)
	for _, auth := range []string{`bearer: "${ADS_SECRET}"`, `header: {name: X-Api-Key, value: "${ADS_SECRET}"}`, `query: {name: key, value: "${ADS_SECRET}"}`} {
		t.Run(auth, func(t *testing.T) {
			b := newBench(t)
			var seen []string
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, fmt.Sprint(r.URL, r.Header))
				fmt.Fprint(w, `{"ads":[]}`)
			}))
			defer other.Close()
			b.source("auth: {"+auth+"}", "report: {path: /r}")
			b.must(b.slice(fmt.Sprintf(`{"source":"ads","url":"%s/x.json"}`, other.URL)))
			b.answer = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL+"/y.json", http.StatusFound)
			}
			b.must(b.slice(`{"source":"ads"}`))
			b.source("hosts: ["+strings.TrimPrefix(other.URL, "http://")+"], auth: {"+auth+"}", "report: {path: /r}")
			b.must(b.slice(fmt.Sprintf(`{"source":"ads","url":"%s/z.json"}`, other.URL)))
			if len(seen) != 3 || strings.Contains(seen[0]+seen[1], "s3cr3t") {
				t.Fatalf("the other host saw %q", seen)
			}
			if !strings.Contains(seen[2], "s3cr3t") {
				t.Errorf("a host of http.hosts was shown nothing: %s", seen[2])
			}
		})
	}
}

func TestWhoMayKnow(t *testing.T) {
	src := parse(t, head+"http: {base_url: 'https://a.example:8443/v1', hosts: [b.example]}\n"+tail)
	for address, want := range map[string]bool{
		"https://a.example:8443/x": true, "https://b.example/x": true, "http://a.example:8443/x": false, "http://b.example/x": false,
		"https://a.example/x": false, "https://b.example:444/x": false, "https://a.example:8443@evil.example/x": false, "https://b.example.evil.example/": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := mayKnow(u, src); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}

func TestASecretThatIsNotThereSaysWhichAndNothingIsAsked(t *testing.T) {
	b := newBench(t)
	for auth, says := range map[string]string{
		`bearer: "${ADS_NOT_SET}"`:                       "http.auth.bearer: ${ADS_NOT_SET} is empty, or not there where this worker runs",
		`bearer: "${file:/nowhere/at/all}"`:              "http.auth.bearer: ${file:/nowhere/at/all}: open",
		`bearer: "${file:/tmp/../etc/hostname}"`:         "the path must be a plain one",
		`basic: {user: x, password: "${ADS_TWO_LINES}"}`: "holds a control character",
	} {
		t.Setenv("ADS_TWO_LINES", "a\nb")
		b.source("auth: {"+auth+"}", "report: {path: /r}")
		if _, err := b.do(b.slice(`{"source":"ads"}`)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", auth, err)
		}
	}
	if b.asked() > 0 {
		t.Errorf("asked %d times", b.asked())
	}
}

func TestEachAccountHasItsOwnSecret(t *testing.T) {
	t.Setenv("ADS_acme", "secret-of-acme")
	b := newBench(t)
	b.source(`auth: {bearer: "${ADS_{account}}"}`, "report: {path: '/r?a={account}'}", "accounts: [acme, globex]\n")
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"ads":[{"id":%q,"date":"2026-11-13","n":1}]}`, r.Header.Get("Authorization"))
	}
	b.must(b.slice(`{"source":"ads","account":"acme"}`))
	if got := b.sink.take(); !strings.Contains(got, "Bearer secret-of-acme") {
		t.Errorf("got %s", got)
	}
	if _, err := b.do(b.slice(`{"source":"ads","account":"globex"}`)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "${ADS_globex}") {
		t.Errorf("globex: %v", err)
	}
}

// platform is a make-believe platform that gives tokens.
func platform(t *testing.T, configure func(*demosource.Config)) string {
	t.Helper()
	t.Setenv("ADS_SECRET", "the-client's-secret")
	config := demosource.DefaultConfig()
	config.Size, config.Client, config.Accounts = 2000, "leat:the-client's-secret", []string{"acme"}
	configure(&config)
	server := httptest.NewServer(demosource.New(config))
	t.Cleanup(server.Close)
	return server.URL
}

// requests is how often each of the platform's addresses was asked.
func requests(t *testing.T, at string) map[string]struct {
	Count    int
	Statuses map[string]int
} {
	t.Helper()
	response, err := http.Get(at + "/admin/requests")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var log struct {
		Endpoints map[string]struct {
			Count    int
			Statuses map[string]int
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	return log.Endpoints
}

const (
	oauth  = `auth: {oauth2: {token_url: "%s/oauth/token", client_id: leat, client_secret: "${ADS_SECRET}" %s}}`
	ofACME = "accounts: [acme]\n"
	byDays = "report: {path: '/ads/report?account={account}&from={from}&to={to}', lookback: 2d}"
)

func TestATokenIsAskedForOnceByAllProcesses(t *testing.T) {
	b := newBench(t)
	b.url = platform(t, func(*demosource.Config) {})
	b.source(fmt.Sprintf(oauth, b.url, ""), byDays, ofACME)
	for round := range 2 {
		var slices [8]pipeline.Envelope
		for i := range slices {
			slices[i] = b.slice(`{"source":"ads"}`)
		}
		var all sync.WaitGroup
		for _, slice := range slices {
			all.Go(func() {
				if _, err := b.another().Handle(t.Context(), pipeline.Batch{{Envelope: slice}}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		log := requests(t, b.url)
		if log["/oauth/token"].Count != round+1 || log["/ads/report"].Statuses["200"] != 8*(round+1) {
			t.Errorf("round %d: requests: %+v", round, log)
		}
		b.exec(`UPDATE tokens SET ends_at = now()`)
	}
	access := b.text(`SELECT access FROM tokens`)
	for _, table := range []string{"answers", "ledger", "jobs"} {
		if strings.Contains(b.text(`SELECT t::text FROM `+table+` AS t`), access) {
			t.Errorf("the token is in %s", table)
		}
	}
}

func TestATokenThatWasTakenBackIsReplaced(t *testing.T) {
	b := newBench(t)
	b.url = platform(t, func(*demosource.Config) {})
	b.source(fmt.Sprintf(oauth, b.url, ""), byDays, ofACME)
	b.must(b.slice(`{"source":"ads"}`))
	b.exec(`UPDATE tokens SET access = 'taken-back'`)
	slice, stage := b.slice(`{"source":"ads"}`), b.another()
	_, err := stage.Handle(t.Context(), pipeline.Batch{{Envelope: slice}})
	if verdict(err) != "again" || !strings.Contains(err.Error(), "401") {
		t.Fatalf("got %v", err)
	}
	if _, err := stage.Handle(t.Context(), pipeline.Batch{{Envelope: slice}}); err != nil {
		t.Error(err)
	}
	if n := requests(t, b.url)["/oauth/token"].Count; n != 2 {
		t.Errorf("%d tokens were asked for", n)
	}
}

// The platform's refresh tokens are good for one time: whoever uses an old one is out.
func TestARefreshTokenThatComesWithATokenIsTheNext(t *testing.T) {
	b := newBench(t)
	b.url = platform(t, func(c *demosource.Config) { c.TokenLifetime = time.Minute }) // used up at once
	b.source(fmt.Sprintf(oauth, b.url, `, refresh_token: "${ADS_SECRET}"`), byDays, ofACME)
	for range 3 {
		if _, err := b.another().Handle(t.Context(), pipeline.Batch{{Envelope: b.slice(`{"source":"ads"}`)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := requests(t, b.url)["/oauth/token"].Statuses["200"]; n != 3 {
		t.Errorf("%d tokens were given", n)
	}
}

func TestAnotherHostIsNotSentTheClientsSecret(t *testing.T) {
	b := newBench(t)
	t.Setenv("ADS_SECRET", "the-client's-secret")
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}
	b.source(fmt.Sprintf(oauth, b.url, ""), byDays, ofACME)
	if _, err := b.do(b.slice(`{"source":"ads"}`)); err == nil || asked || strings.Contains(err.Error(), "the-client's") {
		t.Errorf("the other host was asked: %t, %v", asked, err)
	}
}

func TestAClientThatIsRefusedIsADeadLetterWithoutItsSecret(t *testing.T) {
	b := newBench(t)
	b.url = platform(t, func(c *demosource.Config) { c.Client = "leat:another" })
	b.source(fmt.Sprintf(oauth, b.url, ""), byDays, ofACME)
	_, err := b.do(b.slice(`{"source":"ads"}`))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "invalid_client") || strings.Contains(err.Error(), "the-client's") {
		t.Errorf("got %v", err)
	}
	b.url = "http://127.0.0.1:1"
	b.source(fmt.Sprintf(oauth, b.url, ""), byDays, ofACME)
	if _, err := b.do(b.slice(`{"source":"ads"}`)); verdict(err) != "later" {
		t.Errorf("while it is away: %v", err)
	}
}
