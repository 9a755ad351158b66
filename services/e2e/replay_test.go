package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/leatflow/leat/services/fetch"
)

// A past answer is cut again under a source file that was corrected, and changes
// nothing that was seen later.
func TestAReplayHasWhatTheSourceFileSaysNow(t *testing.T) {
	s := newSystem(t)
	var said atomic.Value
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, said.Load()) }))
	defer shop.Close()
	describe := func(attribute string) {
		s.source("shop.yaml", fmt.Sprintf(`
source: shop
http: {base_url: %q}
fetch: {report: {path: /r}}
records: [{object: {type: city, key: id, attributes: [%s]}, stat: {day: day, metrics: [orders]}}]
`, shop.URL, attribute))
	}
	do := func(job string) string {
		t.Helper()
		id := s.submit(job)
		state, _ := s.await(id, patience)
		s.want("state of "+job, state, "done")
		return id
	}
	want := func(what, attrs, others string) {
		t.Helper()
		s.want(what, s.query(`SELECT o.key, o.attrs::text, t.metrics::text FROM objects o JOIN stats t ON t.object_id = o.id ORDER BY 1`),
			[]string{`"b" ` + attrs + ` "{\"orders\": 9}"`, `"o" ` + others + ` "{\"orders\": 5}"`})
	}
	s.start(1)
	describe("name")
	said.Store(`[{"id":"b","zip":"1","name":"Z","day":"2026-11-14","orders":7},{"id":"o","zip":"2","name":"Z","day":"2026-11-14","orders":5}]`)
	first := do(`{"source":"shop"}`)
	said.Store(`[{"id":"b","zip":"9","name":"Z","day":"2026-11-14","orders":9}]`)
	do(`{"source":"shop"}`)
	said.Store(`nobody asks`)
	describe("zip")
	do(fmt.Sprintf(`{"source":"shop","url":%q}`, fetch.Replay(first, 0)))
	want("the first answer again", `"{\"name\": \"Z\"}"`, `"{\"zip\": \"2\"}"`)
	describe("name")
	do(fmt.Sprintf(`{"source":"shop","url":%q}`, fetch.Replay(first, 0)))
	want("corrected back", `"{\"name\": \"Z\"}"`, `"{\"name\": \"Z\"}"`)
	s.want("differences", s.checked(), []string{})
}
