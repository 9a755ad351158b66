package demosource

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The list has names that a CSV must quote, and one that is no text; of each of
// the others the website is known, or that there is none, and its grade.
func TestCompanies(t *testing.T) {
	p := newPlatform(t)
	list := p.want(http.StatusOK, "GET", "/companies/list?count=200").Body.String()
	if n := strings.Count(list, "\n"); n != 201 || strings.Count(list, "\x00") != 1 || !strings.Contains(list, `"Crêpe ""Royale"" Logistics 5"`) {
		t.Errorf("the list has %d lines:\n%q", n, list)
	}
	known := 0
	for i := range 200 {
		if i == weird {
			p.want(http.StatusBadRequest, "GET", "/companies/website?name="+url.QueryEscape(companyName(i)))
			continue
		}
		w := p.do("GET", "/companies/website?name="+url.QueryEscape(companyName(i)))
		if w.Code == http.StatusNotFound {
			continue
		}
		known++
		site := strings.TrimSuffix(strings.TrimPrefix(w.Body.String(), `{"website":"`), "\"}\n")
		p.want(http.StatusOK, "GET", "/companies/grade?site="+url.QueryEscape(site))
	}
	if known < 150 || known > 198 {
		t.Errorf("%d websites of 199 are known", known)
	}
	p.want(http.StatusNotFound, "GET", "/companies/website?name=Nobody")
	p.want(http.StatusBadRequest, "GET", "/companies/grade?site=nowhere")
}
