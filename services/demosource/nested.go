package demosource

import "time"

// nested writes campaigns > adgroups > ads > stats as one JSON document.
type nested struct {
	*report
	last ad   // zero before the first
	many bool // stats of the last ad
}

func (n *nested) begin() {
	n.out.field(`{"account":`, n.name)
	n.out.field(`,"generated_at":`, n.asOf.Format(time.RFC3339))
	n.out.text(`,"campaigns":[`)
}

func (n *nested) ad(one ad) {
	n.leave(one)
	if one.campaign != n.last.campaign {
		n.campaign(one.campaign)
	}
	if one.group != n.last.group {
		n.group(one.group)
	}
	n.open(one)
	n.last = one
	n.many = false
}

// leave closes what the ad before stands in and the next does not.
func (n *nested) leave(next ad) {
	switch {
	case n.last.number == 0:
	case next.campaign != n.last.campaign:
		n.out.text("]}]}]},\n")
	case next.group != n.last.group:
		n.out.text("]}]},\n")
	default:
		n.out.text("]},\n")
	}
}

func (n *nested) campaign(number int) {
	n.out.field(`{"id":`, n.campaignID(number))
	n.out.field(`,"name":`, n.campaignName(number))
	n.out.field(`,"status":`, n.campaignStatus(number))
	n.out.text(`,"budget":`, n.campaignBudget(number), `,"adgroups":[`)
}

func (n *nested) group(number int) {
	n.out.field(`{"id":`, n.groupID(number))
	n.out.field(`,"name":`, n.groupName(number))
	n.out.text(`,"ads":[`)
}

func (n *nested) open(one ad) {
	n.out.field(`{"id":`, n.adID(one.number))
	n.about(one)
	n.out.text(`,"stats":[`)
}

// about writes what there is to say of an ad.
func (n *nested) about(one ad) {
	n.out.field(`,"name":`, n.adName(one))
	n.out.field(`,"headline":`, n.headline(one, n.today))
	n.out.field(`,"url":`, n.url(one))
}

func (n *nested) stat(d day, system string, v *values) {
	if n.many {
		n.out.text(",")
	}
	n.many = true
	n.out.text("\n", `{"date":"`, d.text, `","os":"`, system, `"`)
	n.out.jsonMetrics(v)
	n.out.text("}")
}

func (n *nested) end() {
	if n.last.number > 0 {
		n.out.text("]}]}]}")
	}
	n.out.text("]}\n")
}
