package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/leatflow/leat/services/demosource"
)

// companiesFrom writes the shipped source companies with another address, a list
// of so many, and little patience.
func (s *system) companiesFrom(address string, count int) {
	s.t.Helper()
	text, err := os.ReadFile("../../config/sources/companies.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.source("companies.yaml", strings.NewReplacer(
		"127.0.0.1:8090", strings.TrimPrefix(address, "http://"),
		"path: /companies/list", fmt.Sprintf(`path: "/companies/list?fault=none&count=%d"`, count),
		"timeout: 5s", "timeout: 2s").Replace(string(text)))
	s.cfg.Annotate.AllowNetworks = []string{"127.0.0.1"}
}

// Names become websites, and websites grades, by a service that is slow and flaky:
// in the end all are graded, each was asked about once and for its faults again,
// and a name that is no text is one reject.
func TestCompanies(t *testing.T) {
	t.Parallel()
	const count = 200
	cfg := demosource.DefaultConfig()
	cfg.Faults.Fail503, cfg.Faults.Cut, cfg.Faults.Garbage, cfg.Faults.Hang = 0.03, 0.02, 0.02, 0.005
	platform := httptest.NewServer(demosource.New(cfg))
	t.Cleanup(platform.Close)
	s := newSystem(t)
	s.companiesFrom(platform.URL, count)
	s.start(1)

	job := s.submit(`{"source":"companies"}`)
	state, counts := s.await(job, 2*patience)
	s.want("state", state, "done")
	s.want("companies", s.query(`SELECT count(*) FROM objects`), fmt.Sprintf("[%d]", count-1))
	s.want("rejects", s.query(`SELECT position FROM rejects WHERE reason LIKE '%holds a NUL%'`), `["line 15"]`)
	s.want("failed", s.query(`SELECT count(*) FROM tags WHERE failed IS NOT NULL OR retry`), "[0]")
	s.want("tags.failed", counts["tags"]["failed"], 0)

	log := asked(t, platform)
	for path, found := range map[string]string{"/companies/website": "website", "/companies/grade": "grade"} {
		sound := log[path].Sound
		s.want(path+" answered 200 without a fault", fmt.Sprint([]int{sound["200"]}), fmt.Sprint(s.query(`SELECT count(*) FROM tags WHERE tags ? $1`, found)))
		asks := count - 1
		if found == "grade" {
			asks = sound["200"]
		}
		s.want(path+" asked without a fault", sound["200"]+sound["404"], asks)
	}
	s.want("websites and grades", s.query(`SELECT count(*) FROM tags WHERE (tags ? 'website') <> (tags ? 'grade')`), "[0]")
	s.want("documents", len(s.documents("companies")), count-1)
	s.want("differences", s.checked(), []string{})

	before := log["/companies/website"].Count + log["/companies/grade"].Count
	state, counts = s.await(s.submit(`{"source":"companies","mode":"full"}`), patience)
	log = asked(t, platform)
	s.want("state of the same again", state, "done")
	s.want("asked for the same again", log["/companies/website"].Count+log["/companies/grade"].Count-before, 0)
	s.want("written for the same again", counts["tags"]["changed"]+counts["documents"]["written"], 0)
}

// Whatever the API never says, the job ends with the rest of its tags.
func TestCompaniesOfAnAPIThatRefuses(t *testing.T) {
	platform := demosource.New(demosource.DefaultConfig())
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/companies/grade" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		platform.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s := newSystem(t)
	s.companiesFrom(front.URL, 10)
	s.start(1)
	state, counts := s.await(s.submit(`{"source":"companies"}`), patience)
	s.want("state", state, "done")
	s.want("failed", fmt.Sprint([]int{counts["tags"]["failed"]}), fmt.Sprint(s.query(`SELECT count(*) FROM tags WHERE tags ? 'website' AND failed->>'grade' LIKE '%answered 403%'`)))
	s.want("documents", len(s.documents("companies")), 10)
}
