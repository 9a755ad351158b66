package client

import (
	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/fetch"
)

// firstRecords is how many records, and rejects, a trial shows.
const firstRecords = 10

// A sampler takes the first records of an answer.
type sampler struct {
	src   *source.Source
	limit int // of records
	parts []event.Part
	*Trial
	seen  map[string]int // place in First.Objects
	first fixture
}

// take takes what was cut of an answer, until there are as many records as wanted.
func (s *sampler) take(p event.Part, rejects []source.Reject) error {
	if s.Records >= s.limit {
		s.More = true
		return fetch.ErrEnough
	}
	whole := recordsOf(p)
	p = head(p, s.limit-s.Records)
	s.More = recordsOf(p) < whole
	s.Records, s.Rejected = s.Records+recordsOf(p), s.Rejected+len(rejects)
	s.show(p, rejects)
	if len(p.Objects) > 0 {
		s.parts = append(s.parts, p)
	}
	if s.More {
		return fetch.ErrEnough
	}
	return nil
}

// show keeps what is shown of a part.
func (s *sampler) show(p event.Part, rejects []source.Reject) {
	missing := firstRecords - len(s.first.Objects) - len(s.first.Stats)
	if missing > 0 {
		p = head(p, missing)
	} else {
		p = event.Part{}
	}
	s.first.add(s.src, nil, p, rejects[:min(len(rejects), firstRecords-len(s.first.Rejects))], s.seen)
	s.first.Objects = s.first.Objects[:min(len(s.first.Objects), firstRecords)]
	s.first.Stats = s.first.Stats[:min(len(s.first.Stats), firstRecords)]
}

// recordsOf counts the records of a part: what it describes, and stats.
func recordsOf(p event.Part) int {
	n := len(p.Stats)
	for _, o := range p.Objects {
		if o.Described {
			n++
		}
	}
	return n
}

// head is the beginning of a part, with at least n records: whole objects with
// those above them, since what is absent of an object's stats may say something.
func head(p event.Part, n int) event.Part {
	if recordsOf(p) <= n {
		return p
	}
	kept := make([]bool, len(p.Objects))
	records := make([]int, len(p.Objects))
	for i, o := range p.Objects {
		if o.Described {
			records[i]++
		}
	}
	for _, s := range p.Stats {
		records[s.Object]++
	}
	keep := func(i int) {
		if n <= 0 {
			return
		}
		for at := i + 1; at > 0 && !kept[at-1]; at = p.Objects[at-1].Parent {
			kept[at-1] = true
			n -= records[at-1]
		}
	}
	for _, s := range p.Stats {
		keep(s.Object)
	}
	for i := range p.Objects {
		keep(i)
	}
	return only(p, kept)
}

// only is a part with some of its objects, and their stats.
func only(p event.Part, kept []bool) event.Part {
	place := make([]int, len(p.Objects)) // from 1, as Parent counts; 0: left out
	objects, stats := p.Objects, p.Stats
	p.Objects, p.Stats = nil, nil
	for i, o := range objects {
		if !kept[i] {
			continue
		}
		if o.Parent > 0 {
			o.Parent = place[o.Parent-1]
		}
		p.Objects = append(p.Objects, o)
		place[i] = len(p.Objects)
	}
	for _, s := range stats {
		if kept[s.Object] {
			s.Object = place[s.Object] - 1
			p.Stats = append(p.Stats, s)
		}
	}
	return p
}
