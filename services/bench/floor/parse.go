package floor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/metric"
	"github.com/leatflow/leat/pkg/source"
)

// An object is a campaign, an adgroup or an ad, as the report has it.
type object struct {
	typ, key, name string
	attrs          []attr
	parent         *object
	depth          int
	fields         uint64 // a digest of all of the above
	rows           []row  // of an ad
	days           []day  // what it and all below it come to

	id    int64
	isNew bool           // not in the database yet
	seen  *source.Object // as annotators see it
}

type attr struct {
	name, text string
	number     bool
}

// A row is the metrics of an ad for a day and an operating system.
type row struct {
	day     metric.Day
	os      string
	values  []int64 // in millionths, by the parser's metrics
	digest  uint64
	changed bool // it is not what the database has
}

// A parser reads the elements of one account's report.
type parser struct {
	metrics []string // in the order in which they were first seen
	texts   []string // of days and operating systems: few, so each is kept once
	days    []metric.Day
	arena   []int64
	scratch []int64

	b       []byte
	i       int
	objects []*object // of the element, parents before their children
}

// lists are the arrays that hold objects, with the type of those.
var lists = map[string]string{"adgroups": "adgroup", "ads": "ad"}

// element reads a campaign with all that is below it.
func (p *parser) element(b []byte) (objects []*object, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("at byte %d of %.60q…: %v", p.i, b, r)
		}
	}()
	p.b, p.i, p.objects, p.arena = b, 0, p.objects[:0], p.arena[:0]
	p.object("campaign", nil)
	return p.objects, nil
}

func (p *parser) object(typ string, parent *object) {
	o := &object{typ: typ, parent: parent}
	if parent != nil {
		o.depth = parent.depth + 1
	}
	p.objects = append(p.objects, o)
	p.fields(func(name []byte) {
		switch {
		case string(name) == "id":
			o.key = string(p.text())
		case string(name) == "name":
			o.name = string(p.text())
		case string(name) == "stats":
			p.list(func() { p.row(o) })
		case lists[string(name)] != "":
			p.list(func() { p.object(lists[string(name)], o) })
		default:
			o.attrs = append(o.attrs, p.attr(string(name)))
		}
	})
	o.fields = o.digest()
}

func (o *object) digest() uint64 {
	h := sha256.New()
	fmt.Fprint(h, o.typ, "\x00", o.key, "\x00", o.name)
	if o.parent != nil {
		fmt.Fprint(h, "\x00", o.parent.key)
	}
	for _, a := range o.attrs {
		fmt.Fprint(h, "\x00", a.name, "\x00", a.text)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

func (p *parser) row(o *object) {
	p.space()
	start := p.i
	r := row{}
	p.scratch = p.scratch[:0]
	next := 0
	p.fields(func(name []byte) {
		switch string(name) {
		case "date":
			r.day = p.day()
		case "os":
			r.os = p.known(p.text())
		default:
			next = p.place(name, next)
			p.scratch[next] = p.number()
			next++
		}
	})
	sum := sha256.Sum256(p.b[start:p.i])
	r.digest = binary.BigEndian.Uint64(sum[:8])
	if slices.ContainsFunc(p.scratch, func(v int64) bool { return v != 0 }) {
		r.values = p.keep(p.scratch)
		o.rows = append(o.rows, r)
	}
}

// place returns where a metric's value belongs. It is where it was in the row
// before, but for a report that changes its order.
func (p *parser) place(name []byte, guess int) int {
	if guess >= len(p.metrics) || p.metrics[guess] != string(name) {
		guess = slices.Index(p.metrics, string(name))
		if guess < 0 {
			guess = len(p.metrics)
			p.metrics = append(p.metrics, string(name))
		}
	}
	for guess >= len(p.scratch) {
		p.scratch = append(p.scratch, 0)
	}
	return guess
}

// keep returns a copy that is good until the next element.
func (p *parser) keep(values []int64) []int64 {
	if len(p.arena)+len(values) > cap(p.arena) {
		p.arena = make([]int64, 0, max(2*cap(p.arena), 64<<10))
	}
	start := len(p.arena)
	p.arena = append(p.arena, values...)
	return p.arena[start:len(p.arena):len(p.arena)]
}

// known returns text as a string that is made once.
func (p *parser) known(text []byte) string {
	for _, s := range p.texts {
		if s == string(text) {
			return s
		}
	}
	p.texts = append(p.texts, string(text))
	return string(text)
}

func (p *parser) day() metric.Day {
	text := p.known(p.text())
	i := slices.Index(p.texts, text)
	for i >= len(p.days) {
		p.days = append(p.days, 0)
	}
	if p.days[i] == 0 {
		day, err := metric.ParseDay(text)
		if err != nil {
			panic(err)
		}
		p.days[i] = day
	}
	return p.days[i]
}

func (p *parser) attr(name string) attr {
	if p.space(); p.b[p.i] == '"' {
		return attr{name, string(p.text()), false}
	}
	return attr{name, metric.Value(p.number()).String(), true}
}

// fields calls f with the name of each member of an object, for f to read the value.
func (p *parser) fields(f func(name []byte)) {
	p.expect('{')
	if p.space(); p.b[p.i] == '}' {
		p.i++
		return
	}
	for {
		name := p.text()
		p.expect(':')
		f(name)
		if p.end('}') {
			return
		}
	}
}

// list calls f for each element of an array, for f to read it.
func (p *parser) list(f func()) {
	p.expect('[')
	if p.space(); p.b[p.i] == ']' {
		p.i++
		return
	}
	for {
		f()
		if p.end(']') {
			return
		}
	}
}

// end reads a comma, or what ends the list.
func (p *parser) end(last byte) bool {
	p.space()
	if p.b[p.i] == ',' {
		p.i++
		return false
	}
	p.expect(last)
	return true
}

func (p *parser) space() {
	for p.b[p.i] <= ' ' {
		p.i++
	}
}

func (p *parser) expect(c byte) {
	if p.space(); p.b[p.i] != c {
		panic(fmt.Sprintf("%q where %q is due", p.b[p.i], c))
	}
	p.i++
}

// text reads a string. It is good until the next element.
func (p *parser) text() []byte {
	p.expect('"')
	start := p.i
	p.i += bytes.IndexByte(p.b[start:], '"')
	for escaped(p.b[start:p.i]) {
		p.i += 1 + bytes.IndexByte(p.b[p.i+1:], '"')
	}
	raw := p.b[start:p.i]
	p.i++
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var text string
	if err := json.Unmarshal(p.b[start-1:p.i], &text); err != nil {
		panic(err)
	}
	return []byte(text)
}

// number reads a number, in millionths.
func (p *parser) number() int64 {
	p.space()
	start, whole := p.i, int64(0)
	for ; p.b[p.i]-'0' <= 9; p.i++ {
		whole = whole*10 + int64(p.b[p.i]-'0')
	}
	if digits := p.i - start; digits > 0 && digits <= 12 && !strings.ContainsRune(".eE", rune(p.b[p.i])) {
		return whole * 1_000_000
	}
	for strings.IndexByte("+-.eE0123456789", p.b[p.i]) >= 0 {
		p.i++
	}
	value, err := metric.Parse(p.b[start:p.i])
	if err != nil {
		panic(err)
	}
	return int64(value)
}
