package source

import (
	"fmt"
	"strings"
)

// Pages says how the page after an answer is found, in one of these ways.
type Pages struct {
	Next   string `yaml:"next"`   // path of the field with the next page's cursor, which goes into Param; absent, null or empty after the last
	URL    string `yaml:"url"`    // path of the field with its address
	Link   bool   `yaml:"link"`   // the header Link has its address
	Number string `yaml:"number"` // parameter that counts pages, from First on; a page without records is the last
	Offset string `yaml:"offset"` // parameter that counts records, Size a page; a page without records is the last
	Param  string `yaml:"param"`  // default cursor
	First  int    `yaml:"first"`  // default 1
	Size   int    `yaml:"size"`
}

// InBody reports whether the answer itself says what is next, and at which path.
func (p *Pages) InBody() (path string, ok bool) {
	path = p.Next + p.URL
	return path, path != ""
}

// pages checks that there is one way, with what it needs and nothing else.
func (v *validator) pages() {
	p := v.Fetch.Pages
	if p == nil {
		return
	}
	const at = "fetch.pages"
	var ways []string
	for _, way := range []string{"next", "url", "link", "number", "offset"} {
		if v.has(join(at, way)) {
			ways = append(ways, way)
		}
	}
	if len(ways) != 1 {
		v.failf(at, "found %d ways (%s); it must be one of next, url, link, number, offset", len(ways), orElse(strings.Join(ways, ", "), "none"))
		return
	}
	if v.Fetch.Report.Path == "" {
		v.failf(at, "has no use without fetch.report.path: a job's url is one document")
	}
	v.pageParts(p, ways[0])
	for setting, way := range map[string]string{"param": "next", "first": "number", "size": "offset"} {
		if v.has(join(at, setting)) && ways[0] != way {
			v.failf(join(at, setting), "has no use: it goes with %s", way)
		}
	}
}

func (v *validator) pageParts(p *Pages, way string) {
	const at = "fetch.pages"
	if _, body := p.InBody(); (body || way == "next" || way == "url") && v.Fetch.Report.Format != formatJSON {
		v.failf(join(at, way), "is of json; the report's format is %s", v.Fetch.Report.Format)
	}
	switch way {
	case "next":
		v.fieldPath(join(at, way), p.Next)
		if !v.has(join(at, "param")) {
			p.Param = "cursor"
		}
		v.parameter(join(at, "param"), p.Param)
	case "url":
		v.fieldPath(join(at, way), p.URL)
	case "link":
		if !p.Link {
			v.failf(join(at, way), "found false; allowed: true")
		}
	case "number":
		v.parameter(join(at, way), p.Number)
		if !v.has(join(at, "first")) {
			p.First = 1
		}
	case "offset":
		v.parameter(join(at, way), p.Offset)
		if p.Size < 1 {
			v.failf(join(at, "size"), "found %d; it must be how many records a page has, 1 or more", p.Size)
		}
	}
}

func (v *validator) parameter(path, name string) {
	if !parameterName.MatchString(name) {
		v.failf(path, "found %s; it must be a name of letters, digits, - and _", found(name))
	}
}

// fieldPath checks names with a dot between them.
func (v *validator) fieldPath(path, names string) {
	for name := range strings.SplitSeq(names, ".") {
		if name == "" {
			v.failf(path, "found %s; it must be names with a dot between them, such as paging.next", found(names))
			return
		}
	}
}

func (p *Pages) explain() string {
	switch {
	case p.Next != "":
		return fmt.Sprintf("asked with the parameter %s, which is at %s", p.Param, p.Next)
	case p.URL != "":
		return "at the address that is at " + p.URL
	case p.Link:
		return "at the address in the header Link"
	case p.Number != "":
		return fmt.Sprintf("asked with the parameter %s, from %d on, until one has no records", p.Number, p.First)
	default:
		return fmt.Sprintf("asked with the parameter %s, %s a page, until one has none", p.Offset, count(p.Size, "record"))
	}
}
