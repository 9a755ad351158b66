package demosource

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// An order is a report that was asked for, and is made in its own time.
type order struct {
	asked url.Values
	polls int // answered so far
	fails bool
}

// orders are the reports that were asked for and not deleted.
type orders struct {
	mu   sync.Mutex
	last int
	all  map[string]*order
}

// mostOrders is how many reports may be there at a time.
const mostOrders = 10_000

func (o *orders) add(asked url.Values, fails bool) (id string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.all) == mostOrders {
		return "", problem{http.StatusConflict, fmt.Sprintf("there are %d reports; delete some", mostOrders)}
	}
	if o.all == nil {
		o.all = map[string]*order{}
	}
	o.last++
	id = "r" + strconv.Itoa(o.last)
	o.all[id] = &order{asked: asked, fails: fails}
	return id, nil
}

// look returns a report as it is, after one more poll if it is asked how it is.
func (o *orders) look(id string, poll int) (order, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.all[id]
	if one == nil {
		return order{}, problem{http.StatusNotFound, "there is no report " + strconv.Quote(id)}
	}
	one.polls += poll
	return *one, nil
}

func (o *orders) drop(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, id)
}

func (s *server) orderRoutes(mux *http.ServeMux) {
	for pattern, answer := range map[string]http.HandlerFunc{
		"POST /ads/reports":          s.order,
		"GET /ads/reports/{id}":      s.orderStatus,
		"GET /ads/reports/{id}/file": s.orderFile,
		"DELETE /ads/reports/{id}":   s.orderDelete,
	} {
		mux.Handle(pattern, s.misbehave(s.authorize(answer)))
	}
}

// order answers POST /ads/reports: it begins a report as /ads/report has it, of
// what the body (JSON) or the address asks for.
func (s *server) order(w http.ResponseWriter, r *http.Request) {
	asked, err := s.ordered(r)
	if err == nil {
		_, err = s.report(query{asked}, s.snapshot()) // whether it can be made at all
	}
	var id string
	if err == nil {
		f, _ := s.faultsOf(r) // misbehave has read it
		id, err = s.orders.add(asked, s.chance(f.FailReport))
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusAccepted, map[string]any{"report": map[string]any{"id": id, "status": "queued"}})
}

func (s *server) ordered(r *http.Request) (url.Values, error) {
	asked := r.URL.Query()
	var body map[string]string
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&body); err != nil && r.ContentLength != 0 {
		return nil, bad("the body is not a JSON object of texts: %v", err)
	}
	for name, value := range body {
		asked.Set(name, value)
	}
	return asked, nil
}

// chance is the same for each request with the same number and seed.
func (s *server) chance(share float64) bool {
	return float64(mix(s.cfg.Seed^mix(s.numbers.Load()^1<<40))>>11)/(1<<53) < share
}

// orderStatus answers GET /ads/reports/ID: running for as many times as the fault
// slow-report says, then ready or failed.
func (s *server) orderStatus(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	one, err := s.orders.look(id, 1)
	f, _ := s.faultsOf(r) // misbehave has read it
	report := map[string]any{"id": id, "status": "running"}
	switch {
	case err != nil:
		writeError(w, err)
		return
	case one.polls <= f.SlowReport:
	case one.fails:
		report["status"], report["reason"] = "failed", "the report server ran out of patience"
	default:
		report["status"], report["url"] = "ready", "/ads/reports/"+id+"/file"
	}
	writeJSON(w, http.StatusOK, map[string]any{"report": report})
}

// orderFile answers GET /ads/reports/ID/file with the report.
func (s *server) orderFile(w http.ResponseWriter, r *http.Request) {
	one, err := s.orders.look(r.PathValue("id"), 0)
	if err != nil {
		writeError(w, err)
		return
	}
	s.feed(func(_ query, m moment) (*answer, error) { return s.report(query{one.asked}, m) }).ServeHTTP(w, r)
}

// orderDelete answers DELETE /ads/reports/ID.
func (s *server) orderDelete(w http.ResponseWriter, r *http.Request) {
	s.orders.drop(r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}
