package source

import (
	"strconv"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/metric"
)

// A dateForm is one way to write a day or a moment.
type dateForm struct {
	layout string        // as package time has it; empty: a count since 1970
	unit   time.Duration // of the count
	moment bool
}

// What a form is made of, longer ones first, and what package time calls it.
var dateTokens = []struct{ token, layout string }{
	{"YYYY", "2006"}, {"YY", "06"}, {"MMM", "Jan"}, {"MM", "01"}, {"M", "1"}, {"DD", "02"}, {"D", "2"},
	{"HH", "15"}, {"hh", "03"}, {"mm", "04"}, {"ss", "05"}, {"AM", "PM"}, {"ZZ", "-07:00"},
}

// dateForms by name.
var dateForms = map[string]dateForm{
	"iso":     {layout: time.RFC3339, moment: true},
	"unix":    {unit: time.Second, moment: true},
	"unix_ms": {unit: time.Millisecond, moment: true},
}

const dateFormsAllowed = `a form of YYYY, YY, MMM, MM, M, DD, D, HH, hh, AM, mm, ss and ZZ with signs between them, such as "DD.MM.YYYY" or "MM/DD/YYYY hh:mm AM", or iso, unix, unix_ms`

// parseDateForm reads a form as source files have it.
func parseDateForm(text string) (f dateForm, ok bool) {
	if f, ok = dateForms[text]; ok {
		return f, true
	}
	f.moment = strings.Contains(text, "HH") || strings.Contains(text, "hh")
	for rest := text; rest != ""; {
		token, layout := nextDateToken(rest)
		if token == "" {
			return f, false
		}
		f.layout += layout
		rest = rest[len(token):]
	}
	day := strings.Contains(text, "YY") && strings.Contains(text, "M") && strings.Contains(text, "D")
	return f, day && strings.Contains(text, "hh") == strings.Contains(text, "AM")
}

// nextDateToken returns what a form begins with; letters and digits that are none have none.
func nextDateToken(rest string) (token, layout string) {
	for _, t := range dateTokens {
		if strings.HasPrefix(rest, t.token) {
			return t.token, t.layout
		}
	}
	if c := rest[0]; c == 'T' || c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
		return rest[:1], rest[:1]
	}
	return "", ""
}

// read returns the day, and the moment where there is one. One that names no
// zone is on the clock of zone.
func (f dateForm) read(text string, zone *time.Location) (metric.Day, time.Time, bool) {
	var moment time.Time
	if f.layout == "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if most := 1e15 / f.unit.Milliseconds(); err != nil || n > most || n < -most {
			return 0, moment, false
		}
		moment = time.UnixMilli(n * f.unit.Milliseconds())
	} else {
		var err error
		if moment, err = time.ParseInLocation(f.layout, text, zone); err != nil {
			return 0, time.Time{}, false
		}
	}
	moment = moment.In(zone)
	day := metric.DayOf(moment)
	if !f.moment {
		moment = time.Time{}
	}
	return day, moment, true
}

// dates checks the forms of days and moments.
func (v *validator) dates() {
	for i, text := range v.Dates {
		f, ok := parseDateForm(text)
		if !ok {
			v.failf(index("dates", i), "found %s; it must be %s", found(text), dateFormsAllowed)
		}
		v.forms = append(v.forms, f)
	}
}
