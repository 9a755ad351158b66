package demosource

// writer is one form of a report.
type writer interface {
	begin()
	ad(one ad)
	stat(d day, system string, v *values)
	end()
}

// report is what one request asks for, at one moment.
type report struct {
	*account
	moment
	window []day
	only   map[string]bool // ids of the ads that were asked for; nil: all
	today  uint64          // its number
	out    *output
}

func newReport(a *account, m moment, window []day, out *output) *report {
	return &report{account: a, moment: m, window: window, today: m.day(m.today()).number, out: out}
}

// report answers /ads/report: an account's ads (all, or those of ids) with their
// stats of the days from..to, nested (json) or a row for each stat (ndjson, csv).
func (s *server) report(q query, m moment) (*answer, error) {
	a, err := s.account(q)
	if err != nil {
		return nil, err
	}
	from, to, err := q.period(m)
	if err != nil {
		return nil, err
	}
	format, err := q.oneOf("format", "json", "ndjson", "csv")
	if err != nil {
		return nil, err
	}
	only, err := q.ids()
	if err != nil {
		return nil, err
	}
	return &answer{contentType: contentTypes[format], write: func(out *output) {
		r := newReport(a, m, m.days(from, to), out)
		r.only = only
		r.write(r.writer(format), 0, a.ads)
	}}, nil
}

var contentTypes = map[string]string{
	"json":   "application/json",
	"ndjson": "application/x-ndjson",
	"csv":    "text/csv; charset=utf-8",
	"html":   "text/html; charset=utf-8",
}

func (r *report) writer(format string) writer {
	switch format {
	case "ndjson":
		return &rowsJSON{report: r}
	case "csv":
		return &rowsCSV{report: r}
	default:
		return &nested{report: r}
	}
}

// write sends the ads after the first `after` of the account, at most `limit`.
func (r *report) write(w writer, after, limit int) {
	w.begin()
	for one := range r.all() {
		if one.number > after+limit || !r.out.ok() {
			break
		}
		if one.number <= after || r.only != nil && !r.only[r.adID(one.number)] {
			continue
		}
		w.ad(one)
		r.stats(w, one)
	}
	w.end()
}

func (r *report) stats(w writer, one ad) {
	var v values
	for _, d := range r.window {
		pair := one.pair(d)
		if !active(pair) {
			continue
		}
		state := r.change(pair, d)
		for _, system := range one.systems() {
			state.fill(&v, pair, system)
			w.stat(d, system, &v)
		}
	}
}

// metricKeys are `,"impressions":` and so on.
var metricKeys = func() (keys [len(metrics)]string) {
	for i, m := range metrics {
		keys[i] = `,"` + m.name + `":`
	}
	return keys
}()

func (o *output) jsonMetrics(v *values) {
	for i := range v {
		o.buf = append(o.buf, metricKeys[i]...)
		o.value(&metrics[i], v[i])
	}
}
