package demosource

import (
	"strconv"
	"time"
)

const (
	concerts  = 200        // pages that events and hours are about
	mostCount = 10_000_000 // events a day
)

// events answers /events: page views of one day, a JSON object a line, in no
// order; about one of 64 is sent twice. There are count different ones by the
// end of the day; a larger count has those of a smaller one, and more.
func (s *server) events(q query, m moment) (*answer, error) {
	date, err := q.date("day", m.today())
	if err != nil {
		return nil, err
	}
	count, err := q.number("count", 1000, 0, mostCount)
	if err != nil {
		return nil, err
	}
	return &answer{contentType: contentTypes["ndjson"], write: func(out *output) {
		d := m.day(date)
		e := eventWriter{out: out, until: m.asOf.Unix(), start: d.start.Unix(), seconds: d.endHour*3600 - d.start.Unix()}
		e.seed = mixString(s.cfg.Seed, "events") ^ mix(d.number)
		e.write(count)
	}}, nil
}

type eventWriter struct {
	out            *output
	seed           uint64
	until          int64 // no event is later
	start, seconds int64 // of the day
}

func (e *eventWriter) write(count int) {
	for i := 0; i < count && e.out.ok(); i++ {
		e.event(i)
		if again := mix(e.seed ^ uint64(i)); again%64 == 0 {
			e.event(i - int(again>>32%uint64(min(i+1, 500))))
		}
	}
}

// event writes the i'th event of the day if it has happened.
func (e *eventWriter) event(i int) {
	id := mix(e.seed + uint64(i))
	h := mix(id)
	at := e.start + below(h, e.seconds)
	if at > e.until {
		return
	}
	e.out.text(`{"id":"e-`, strconv.FormatUint(id, 16), `","page":"`, concert(h), `","at":"`)
	e.out.buf = time.Unix(at, 0).UTC().AppendFormat(e.out.buf, time.RFC3339)
	e.out.text(`","plays":`)
	plays := min(1, int64(h>>8&3))
	e.out.int(plays)
	e.out.text(`,"seconds":`)
	e.out.int(plays * (1 + below(mix(h), 300)))
	e.out.text("}\n")
}

// concert is a page; those with small numbers are visited most.
func concert(h uint64) string {
	most := 1 + below(h<<11, concerts)
	return "/concerts/" + strconv.FormatInt(1+below(h<<19, most), 10)
}

// hours answers /hours: views and visitors of each page in each hour of a day
// that has begun. The present hour is half over, so that it is restated once.
// Of an hour that comes twice, as clocks are put back, the second is hour 24.
func (s *server) hours(q query, m moment) (*answer, error) {
	date, err := q.date("day", m.today())
	if err != nil {
		return nil, err
	}
	pages, err := q.number("pages", 50, 1, 100_000)
	if err != nil {
		return nil, err
	}
	return &answer{contentType: contentTypes["json"], write: func(out *output) {
		h := hourWriter{out: out, day: m.day(date), asOf: m.asOf, seed: mixString(s.cfg.Seed, "hours")}
		h.write(pages)
	}}, nil
}

type hourWriter struct {
	out  *output
	day  day
	asOf time.Time
	seed uint64
	many bool
}

func (h *hourWriter) write(pages int) {
	h.out.text("[")
	end := time.Unix(h.day.endHour*3600, 0)
	last := -1
	for t := h.day.start; t.Before(end) && !t.After(h.asOf); t = t.Add(time.Hour) {
		hour := t.Hour()
		if hour == last {
			hour = 24
		}
		last = t.Hour()
		for page := 1; page <= pages && h.out.ok(); page++ {
			h.row(page, hour, t.Equal(h.asOf))
		}
	}
	h.out.text("]\n")
}

// row writes a page's hour, if anyone came.
func (h *hourWriter) row(page, hour int, present bool) {
	seed := mix(h.seed ^ mix(h.day.number)<<1 ^ uint64(page)<<8 ^ uint64(hour))
	views := below(seed, int64(20+400/page))
	if present {
		views /= 2
	}
	if views == 0 || seed%4 == 0 {
		return
	}
	if h.many {
		h.out.text(",")
	}
	h.many = true
	h.out.text("\n", `{"page":"/concerts/`, strconv.Itoa(page), `","date":"`, h.day.text, `","hour":`)
	h.out.int(int64(hour))
	h.out.text(`,"views":`)
	h.out.int(views)
	h.out.text(`,"visitors":`)
	h.out.int(1 + views*(20+below(mix(seed), 60))/100)
	h.out.text("}")
}
