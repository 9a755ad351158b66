package demosource

// rowsJSON writes one JSON object a line for each stat, with its ad, adgroup
// and campaign.
type rowsJSON struct {
	*report
	prefix []byte // what all rows of the ad begin with
}

func (r *rowsJSON) begin() {}
func (r *rowsJSON) end()   {}

func (r *rowsJSON) ad(one ad) {
	o := output{buf: r.prefix[:0]}
	o.field(`{"account":`, r.name)
	o.field(`,"campaign_id":`, r.campaignID(one.campaign))
	o.field(`,"campaign_name":`, r.campaignName(one.campaign))
	o.field(`,"campaign_status":`, r.campaignStatus(one.campaign))
	o.text(`,"campaign_budget":`, r.campaignBudget(one.campaign))
	o.field(`,"adgroup_id":`, r.groupID(one.group))
	o.field(`,"adgroup_name":`, r.groupName(one.group))
	o.field(`,"ad_id":`, r.adID(one.number))
	o.field(`,"ad_name":`, r.adName(one))
	o.field(`,"headline":`, r.headline(one, r.today))
	o.field(`,"url":`, r.url(one))
	r.prefix = o.buf
}

func (r *rowsJSON) stat(d day, system string, v *values) {
	r.out.buf = append(r.out.buf, r.prefix...)
	r.out.text(`,"date":"`, d.text, `","os":"`, system, `"`)
	r.out.jsonMetrics(v)
	r.out.text("}\n")
}

// rowsCSV writes the same rows as CSV with a heading.
type rowsCSV struct {
	*report
	prefix []byte
}

const heading = "account,campaign_id,campaign_name,campaign_status,campaign_budget,adgroup_id,adgroup_name,ad_id,ad_name,headline,url,date,os"

func (r *rowsCSV) begin() {
	r.out.text(heading)
	for _, m := range metrics {
		r.out.text(",", m.name)
	}
	r.out.text("\n")
}

func (r *rowsCSV) end() {}

func (r *rowsCSV) ad(one ad) {
	o := output{buf: r.prefix[:0]}
	for _, field := range []string{
		r.name,
		r.campaignID(one.campaign), r.campaignName(one.campaign), r.campaignStatus(one.campaign), r.campaignBudget(one.campaign),
		r.groupID(one.group), r.groupName(one.group),
		r.adID(one.number), r.adName(one), r.headline(one, r.today), r.url(one),
	} {
		o.csv(field)
		o.text(",")
	}
	r.prefix = o.buf
}

func (r *rowsCSV) stat(d day, system string, v *values) {
	r.out.buf = append(r.out.buf, r.prefix...)
	r.out.text(d.text, ",", system)
	for i := range v {
		r.out.text(",")
		r.out.value(&metrics[i], v[i])
	}
	r.out.text("\n")
}
