package demosource

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	companies     = 5000 // unless the list is asked for another count
	mostCompanies = 1_000_000
	weird         = 13 // the company whose name is no text
)

var (
	companyNames = []string{"Acme", "Müller & Söhne", "Globex", "Initech", "O'Neill", "Crêpe \"Royale\"", "Ōtsuka", "Stark, Ltd", "Hooli", "100% Pure"}
	companyKinds = []string{"Logistics", "Foods", "Software", "Bakery", "Energy", "Optics", "Travel"}
	countries    = []string{"DE", "FR", "JP", "US", "BR"}
	grades       = []string{"A", "B", "C", "D", "E"}
)

// companyName is the name of the i'th company.
func companyName(i int) string {
	name := companyNames[i%len(companyNames)] + " " + companyKinds[i/len(companyNames)%len(companyKinds)] + " " + strconv.Itoa(i)
	if i == weird {
		name += " \x00\xff"
	}
	return name
}

// companyList answers /companies/list: count companies as CSV, one of them with a
// NUL and a byte that is not UTF-8 in its name.
func (s *server) companyList(q query, _ moment) (*answer, error) {
	count, err := q.number("count", companies, 1, mostCompanies)
	if err != nil {
		return nil, err
	}
	return &answer{contentType: contentTypes["csv"], write: func(out *output) {
		out.text("id,name,country\n")
		for i := 0; i < count && out.ok(); i++ {
			out.text("co-", strconv.Itoa(i), ",")
			out.csv(companyName(i))
			out.text(",", countries[i%len(countries)], "\n")
		}
	}}, nil
}

// website answers /companies/website: the site of the company of a name. Of one
// in twenty it knows none.
func (s *server) website(q query, _ moment) (*answer, error) {
	name := q.Get("name")
	if name == "" || !utf8.ValidString(name) {
		return nil, bad("name is %q; it must be a company's", name)
	}
	number := name[strings.LastIndexByte(name, ' ')+1:]
	i, err := strconv.Atoi(number)
	if err != nil || companyName(i) != name || mixString(s.cfg.Seed, name)%20 == 0 {
		return nil, problem{404, "there is no website of " + strconv.Quote(name)}
	}
	return oneField(`{"website":`, "https://www.company-"+number+".example"), nil
}

// grade answers /companies/grade: what a site is worth, in the opinion of a slow
// and flaky service.
func (s *server) grade(q query, _ moment) (*answer, error) {
	site := q.Get("site")
	if u, err := url.Parse(site); err != nil || u.Host == "" {
		return nil, bad("site is %q; it must be the address of a website", site)
	}
	return oneField(`{"grade":`, grades[mixString(s.cfg.Seed, site)%uint64(len(grades))]), nil
}

// oneField is an answer of one field.
func oneField(field, value string) *answer {
	return &answer{contentType: contentTypes["json"], write: func(out *output) {
		out.field(field, value)
		out.text("}\n")
	}}
}
