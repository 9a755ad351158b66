package demosource

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// noon is when most tests take place: the 20th is half over.
var noon = time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC)

// platform is a handler with a clock and a number of requests that a test can change.
type platform struct {
	http.Handler
	t   *testing.T
	now time.Time
}

func newPlatform(t *testing.T, adapt ...func(*Config)) *platform {
	p := &platform{t: t, now: noon}
	cfg := DefaultConfig()
	cfg.Now = func() time.Time { return p.now }
	for _, change := range adapt {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	p.Handler = New(cfg)
	return p
}

func (p *platform) do(method, url string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// get returns the body of a 200.
func (p *platform) get(url string) string {
	p.t.Helper()
	return p.want(http.StatusOK, "GET", url).Body.String()
}

func (p *platform) want(status int, method, url string) *httptest.ResponseRecorder {
	p.t.Helper()
	w := p.do(method, url)
	if w.Code != status {
		p.t.Fatalf("%s %s: status %d, want %d: %.200s", method, url, w.Code, status, w.Body)
	}
	return w
}

func (p *platform) post(url string) {
	p.t.Helper()
	p.want(http.StatusOK, "POST", url)
}

// decode reads the JSON body of a 200.
func decode[T any](p *platform, url string) T {
	p.t.Helper()
	var v T
	if err := json.Unmarshal([]byte(p.get(url)), &v); err != nil {
		p.t.Fatalf("%s: %v", url, err)
	}
	return v
}

var everything = []string{
	"/ads/report?account=acme",
	"/ads/report?account=acme&format=csv",
	"/ads/report?account=globex&format=ndjson",
	"/ads/changes?account=acme",
	"/ads/changes?account=acme&since=498600.0",
	"/ads/pages?account=acme&limit=3",
	"/events?count=100",
	"/hours",
}

func TestTheSameSeedAndHourGiveTheSameBytes(t *testing.T) {
	one, other := newPlatform(t), newPlatform(t)
	other.now = noon.Add(59 * time.Minute)
	for _, url := range everything {
		if one.get(url) != other.get(url) {
			t.Errorf("%s differs within an hour", url)
		}
	}
}

func TestAnotherSeedIsAnotherPlatform(t *testing.T) {
	one, other := newPlatform(t), newPlatform(t, func(c *Config) { c.Seed = 2 })
	if one.get(everything[0]) == other.get(everything[0]) {
		t.Error("seeds 1 and 2 give the same report")
	}
}

func TestAnETagSavesTheBodyUntilTheHourOrTheRevisionChanges(t *testing.T) {
	for _, url := range everything {
		p := newPlatform(t)
		tag := p.do("GET", url).Header().Get("ETag")
		status := func() int { return p.do("GET", url, "If-None-Match", tag).Code }
		if got := status(); got != http.StatusNotModified {
			t.Errorf("%s: status %d at once, want 304", url, got)
		}
		p.post("/admin/revise?share=0.5")
		if got := status(); got != http.StatusOK {
			t.Errorf("%s: status %d after a revision, want 200", url, got)
		}
		tag = p.do("GET", url).Header().Get("ETag")
		p.now = noon.Add(time.Hour)
		if got := status(); got != http.StatusOK {
			t.Errorf("%s: status %d an hour later, want 200", url, got)
		}
	}
}

func TestErrorsAreJSONAndSayWhatIsAllowed(t *testing.T) {
	p := newPlatform(t)
	for url, want := range map[string]struct {
		status  int
		message string
	}{
		"/ads/report":                                            {400, "account is missing; it is one of acme, globex"},
		"/ads/report?account=nobody":                             {404, `there is no account "nobody"; there are acme, globex`},
		"/ads/report?account=acme&from=14.11.26":                 {400, `from is "14.11.26"; it must be a day such as 2026-11-14`},
		"/ads/report?account=acme&from=2026-02-30":               {400, `from is "2026-02-30"; it must be a day such as 2026-11-14`},
		"/ads/report?account=acme&to=2026-10-01&from=2026-10-02": {400, "from 2026-10-02 is after to 2026-10-01"},
		"/ads/report?account=acme&from=2020-01-01":               {400, "from and to are 2516 days; at most 400 at once"},
		"/ads/report?account=acme&format=xml":                    {400, `format is "xml"; it must be one of json, ndjson, csv`},
		"/ads/changes?account=acme&since=yesterday":              {400, `since is "yesterday"; it must be empty or a cursor given as next`},
		"/ads/pages?account=acme&limit=0":                        {400, `limit is "0"; it must be a number from 1 to 1000`},
		"/events?count=-1":                                       {400, `count is "-1"; it must be a number from 0 to 10000000`},
		"/hours?day=today":                                       {400, `day is "today"; it must be a day such as 2026-11-14`},
		"/hours?fault=fire":                                      {400, `fault: there is no fault "fire"; there are latency, fail-429, fail-503, cut, garbage, hang, next, retry-after, slow-report, fail-report`},
	} {
		var body struct{ Error struct{ Message string } }
		w := p.do("GET", url)
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if w.Code != want.status || body.Error.Message != want.message {
			t.Errorf("%s: %d %q, want %d %q", url, w.Code, body.Error.Message, want.status, want.message)
		}
	}
}

func TestATokenIsAskedForIfThereIsOne(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Token = "secret" })
	p.want(http.StatusUnauthorized, "GET", "/hours")
	if w := p.do("GET", "/hours", "Authorization", "Bearer secret"); w.Code != http.StatusOK {
		t.Errorf("with the token: %d, want 200", w.Code)
	}
	p.get("/healthz")
}

func TestRequestsAreCounted(t *testing.T) {
	p := newPlatform(t)
	hours := p.get("/hours")
	p.get("/hours")
	p.want(http.StatusServiceUnavailable, "GET", "/hours?fault=503")
	p.want(http.StatusNotFound, "GET", "/wp-login.php")
	type counts struct {
		Count     int64
		Endpoints map[string]tally
	}
	got := decode[counts](p, "/admin/requests")
	tally := got.Endpoints["/hours"]
	if got.Count != 4 || tally.Statuses["200"] != 2 || tally.Statuses["503"] != 1 || tally.Faults["503"] != 1 {
		t.Errorf("counted %+v", got)
	}
	if tally.Bytes <= int64(2*len(hours)) || got.Endpoints["other"].Statuses["404"] != 1 {
		t.Errorf("counted %+v", got)
	}
	p.want(http.StatusNoContent, "DELETE", "/admin/requests")
	if got := decode[counts](p, "/admin/requests"); got.Count != 1 {
		t.Errorf("after a reset %d requests, want the reset alone", got.Count)
	}
}

func TestTheClockCanBeSetAndGoesOn(t *testing.T) {
	p := newPlatform(t)
	type clock struct {
		AsOf time.Time `json:"as_of"`
	}
	p.post("/admin/clock?at=2026-12-24T18:00:00Z")
	p.post("/admin/clock?advance=2h")
	p.now = noon.Add(time.Hour)
	want := time.Date(2026, 12, 24, 21, 0, 0, 0, time.UTC)
	if got := decode[clock](p, "/admin/state").AsOf; !got.Equal(want) {
		t.Errorf("it is %s, want %s", got, want)
	}
	p.want(http.StatusBadRequest, "POST", "/admin/clock?at=noon")
}

func TestABadConfigurationIsRefused(t *testing.T) {
	for name, adapt := range map[string]func(*Config){
		"no account":    func(c *Config) { c.Accounts = nil },
		"odd account":   func(c *Config) { c.Accounts = []string{"a/b"} },
		"above a whole": func(c *Config) { c.Changed = 1.5 },
	} {
		cfg := DefaultConfig()
		adapt(&cfg)
		if cfg.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTheMostRequestsOfASecondAreCounted(t *testing.T) {
	var y tally
	at := time.Unix(1e9, 0)
	for _, ms := range []int{0, 900, 100, 1000, 1050, 1899, 9000, 1999, 9999} { // 900 to 1899 and 100 to 1099 are seconds
		y.arrive(at.Add(time.Duration(ms) * time.Millisecond))
	}
	if y.Most != 4 {
		t.Errorf("%d in a second, want 4", y.Most)
	}
}
