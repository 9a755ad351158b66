package demosource_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leatflow/leat/services/demosource"
)

// A report that is ordered is what the same request is answered at once, after as
// many polls as are said; the log tells what was created, asked after and deleted.
func TestAReportIsMadeInItsTime(t *testing.T) {
	cfg := demosource.DefaultConfig()
	cfg.Faults.SlowReport = 2
	platform := httptest.NewServer(demosource.New(cfg))
	t.Cleanup(platform.Close)
	do := func(method, path, body string) (status int, text string) {
		t.Helper()
		request, err := http.NewRequest(method, platform.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := platform.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		said, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(bytes.TrimSpace(said))
	}
	want := func(what string, wanted int, status int, text string, parts ...string) {
		t.Helper()
		for _, part := range append(parts, "") {
			if status != wanted || !strings.Contains(text, part) {
				t.Errorf("%s: %d %.200s, want %d and %q", what, status, text, wanted, part)
			}
		}
	}
	const asked = `{"account":"acme","from":"2026-03-01","to":"2026-03-02"}`
	status, text := do("POST", "/ads/reports", asked)
	want("order", 202, status, text, `"id":"r1"`, `"status":"queued"`)
	for range 2 {
		status, text = do("GET", "/ads/reports/r1", "")
		want("poll", 200, status, text, `"status":"running"`)
	}
	status, text = do("GET", "/ads/reports/r1", "")
	want("last poll", 200, status, text, `"status":"ready"`, `"url":"/ads/reports/r1/file"`)
	_, file := do("GET", "/ads/reports/r1/file", "")
	if _, atOnce := do("GET", "/ads/report?account=acme&from=2026-03-01&to=2026-03-02", ""); file != atOnce {
		t.Errorf("the file is another than the report: %.200s", file)
	}
	status, _ = do("DELETE", "/ads/reports/r1", "")
	want("delete", 204, status, "")
	status, text = do("GET", "/ads/reports/r1/file", "")
	want("what was deleted", 404, status, text, "there is no report")
	status, text = do("POST", "/ads/reports", `{"account":"nobody"}`)
	want("an account that is none", 404, status, text, "there is no account")
	do("POST", "/admin/faults?fail-report=1", "")
	do("POST", "/ads/reports", asked)
	status, text = do("GET", "/ads/reports/r2", "")
	want("one that fails", 200, status, text, `"status":"failed"`, "out of patience")

	_, text = do("GET", "/admin/requests", "")
	var log struct {
		Endpoints map[string]struct{ Count int }
	}
	if err := json.Unmarshal([]byte(text), &log); err != nil {
		t.Fatal(err)
	}
	for endpoint, n := range map[string]int{"/ads/reports": 3, "/ads/reports/{id}": 4, "/ads/reports/{id}/file": 2, "DELETE /ads/reports/{id}": 1} {
		if log.Endpoints[endpoint].Count != n {
			t.Errorf("%s: %d requests, want %d", endpoint, log.Endpoints[endpoint].Count, n)
		}
	}
}
