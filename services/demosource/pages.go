package demosource

import (
	"fmt"
	"maps"
	"net/url"
	"strconv"
)

// pages answers /ads/pages: the account's ads with their stats of from..to, a
// page at a time; those of ids, which are few, on one. The next page's cursor is
// at paging.next, its address in the Link header; the last page has neither.
func (s *server) pages(q query, m moment) (*answer, error) {
	a, err := s.account(q)
	if err != nil {
		return nil, err
	}
	from, to, err := q.period(m)
	if err != nil {
		return nil, err
	}
	after, err := q.number("cursor", 0, 0, a.ads)
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", 100, 1, 1000)
	if err != nil {
		return nil, err
	}
	only, err := q.ids()
	if err != nil {
		return nil, err
	}
	next := after + limit
	last := next >= a.ads
	if q.Get("loop") != "" {
		next, last = after, false
	}
	if only != nil {
		after, limit, last = 0, a.ads, true
	}
	return &answer{contentType: contentTypes["json"], link: pageLink(q, next, last), write: func(out *output) {
		p := page{nested: nested{report: newReport(a, m, m.days(from, to), out)}}
		p.only = only
		if !last {
			p.next = strconv.Itoa(next)
		}
		p.write(&p, after, limit)
	}}, nil
}

func pageLink(q query, next int, last bool) string {
	if last {
		return ""
	}
	asked := url.Values{}
	maps.Copy(asked, q.Values)
	asked.Set("cursor", strconv.Itoa(next))
	return fmt.Sprintf(`</ads/pages?%s>; rel="next"`, asked.Encode())
}

// page writes ads without their campaigns around them.
type page struct {
	nested
	next string
}

func (p *page) begin() {
	p.out.field(`{"account":`, p.name)
	p.out.text(`,"ads":[`)
}

func (p *page) ad(one ad) {
	if p.last.number > 0 {
		p.out.text("]},\n")
	}
	p.out.field(`{"id":`, p.adID(one.number))
	p.about(one)
	p.out.field(`,"campaign_id":`, p.campaignID(one.campaign))
	p.out.field(`,"campaign_name":`, p.campaignName(one.campaign))
	p.out.field(`,"adgroup_id":`, p.groupID(one.group))
	p.out.field(`,"adgroup_name":`, p.groupName(one.group))
	p.out.text(`,"stats":[`)
	p.last = one
	p.many = false
}

func (p *page) end() {
	if p.last.number > 0 {
		p.out.text("]}")
	}
	p.out.text(`],"paging":{`)
	if p.next != "" {
		p.out.field(`"next":`, p.next)
	}
	p.out.text("}}\n")
}
