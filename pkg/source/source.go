// Package source reads the YAML that describes one outside feed, says what is
// wrong with it, and makes records out of the source's answers.
//
// In: config/sources/NAME.yaml and the bytes of an answer. Out: parts for delta,
// and rejects for what could not be read.
package source

import (
	"time"

	"github.com/leatflow/leat/pkg/certs"
)

// A Source is one outside feed: the file config/sources/NAME.yaml, validated.
type Source struct {
	Name     string             `yaml:"source"`
	Timezone string             `yaml:"timezone"` // IANA name; default UTC
	Accounts Accounts           `yaml:"accounts"` // a job without an account becomes one for each; none: the source has no accounts
	HTTP     HTTP               `yaml:"http"`
	Fetch    Fetch              `yaml:"fetch"`
	Records  []*Rule            `yaml:"records"`
	Feeds    Feeds              `yaml:"feeds"` // in place of fetch and records: several feeds of the same objects
	Numbers  Numbers            `yaml:"numbers"`
	Dates    []string           `yaml:"dates"` // forms of days and moments, "DD.MM.YYYY HH:mm"; none: a day as 2006-01-02 or a moment as RFC 3339 has it
	Stats    Stats              `yaml:"stats"`
	Tags     map[string]string  `yaml:"annotate"` // tag: expr-lang expression
	Lookups  map[string]*Lookup `yaml:"lookups"`  // hosts that annotators ask by http(), and how; others are asked by the defaults
	Rollup   Rollup             `yaml:"rollup"`
	Schedule []Schedule         `yaml:"schedule"` // jobs that are due by themselves; leat-scheduler publishes them

	Text   []byte            `yaml:"-"` // the file, as read
	Tables map[string][]byte `yaml:"-"` // the CSV files beside it that lookup() names, by name without .csv
	Hash   string            `yaml:"-"` // of Text and Tables: the version that a job runs under; 32 hex digits

	*compiled            // what Parse derives from the above
	forms     []dateForm // of days and moments; none: the usual two
	feed      string     // that this is a view of
	ownHTTP   bool       // of the feed
}

// An Account is one customer's part of a source.
type Account struct {
	Name     string
	Timezone string // IANA name; the source's where the file says nothing
}

// Accounts is written as a list of names or as a map of name to settings.
type Accounts []Account

// HTTP says how the source is reached.
type HTTP struct {
	BaseURL string        `yaml:"base_url"` // ${NAME} is taken from the environment when a request is made
	Timeout time.Duration `yaml:"timeout"`  // of connect, of the header, and of each silence within the body; default 30s
	TLS     certs.Files   `yaml:"tls"`      // of a source with an authority of its own, or one that wants to see a certificate
	Hosts   []string      `yaml:"hosts"`    // besides base_url's: they may be asked with the same credentials
	Auth    *Auth         `yaml:"auth"`
	Rate    *Rate         `yaml:"rate"` // absent: as fast as it goes
}

// Fetch says what is asked of the source.
type Fetch struct {
	Changes *Changes     `yaml:"changes"` // a refresh asks for what changed, and for no more; absent: for the days since the last
	Report  Report       `yaml:"report"`
	Pages   *Pages       `yaml:"pages"`  // absent: an answer is all there is
	Stream  *Stream      `yaml:"stream"` // a refresh listens, and goes on listening
	Poll    *Poll        `yaml:"poll"`   // a refresh asks for the report again and again
	Errors  []*ErrorRule `yaml:"errors"` // how an answer says that it is an error; the first that fits
	Keep    Keep         `yaml:"keep"`   // 90d, or forever: how long the archive keeps answers for; default 30d
}

// A Report is an answer that holds everything about an account and some days.
type Report struct {
	Path     string `yaml:"path"`     // {account}, {from} and {to} are filled in, query-escaped; absent: the source takes jobs with a url only
	Format   string `yaml:"format"`   // json, ndjson, csv or tsv; default json. gzip and zstd are noticed by their first bytes
	Lookback Days   `yaml:"lookback"` // 30d: how far back the source restates; what backfill asks for; default 30d
	Slice    Days   `yaml:"slice"`    // 7d: at most so many days a request; default: all in one
	Since    string `yaml:"since"`    // the first day that mode full asks for; default: the lookback
	Encoding string `yaml:"encoding"` // utf-8, utf-16 or latin-1; default utf-8. A byte order mark goes over it
	Table    Table  `yaml:"table"`
	Async    *Async `yaml:"async"` // the source makes a report first; absent: it is there at once
}

// A Table says how CSV or TSV is written, where that is not as usual.
type Table struct {
	Separator string   `yaml:"separator"` // one ASCII character; default a comma, for tsv a tab
	Skip      int      `yaml:"skip"`      // lines before the header
	Header    []string `yaml:"header"`    // names of the columns, where the answer has no header
}

// Numbers says how numbers are written in text. JSON's own numbers are as JSON
// has them.
type Numbers struct {
	Decimal string   `yaml:"decimal"` // the point: "." or ","; default "."
	Group   string   `yaml:"group"`   // between thousands: one of , . ' _ and the space; default: there is none
	None    []string `yaml:"none"`    // texts that stand for no number: N/A, -
}

// Days is a number of days, written 30d.
type Days int

// Keep is Days, or the word forever.
type Keep int

// Forever is longer than any Days.
const Forever Keep = maxDays + 1

// A Rule says what the elements of one array (or the rows of an answer) are.
type Rule struct {
	Each     string      `yaml:"each"`   // path of the array below the element around it, dots between names; absent: that element itself; at the top: the rows of the answer
	Object   *ObjectRule `yaml:"object"` // absent: the elements are stats of the object above
	Stat     *StatRule   `yaml:"stat"`
	Children []*Rule     `yaml:"children"`
}

// An ObjectRule makes an object of an element.
type ObjectRule struct {
	Type       string      `yaml:"type"`
	Key        string      `yaml:"key"`  // a field's name, or a template: "{Country/Region}/{Province/State}", "{account}/{name|slug}", "{starts_at|date}"
	Name       string      `yaml:"name"` // field or template; without it the key is the name
	Attributes []string    `yaml:"attributes"`
	Parent     *ParentRule `yaml:"parent"` // flat answers name the parent in each row; nested ones have it above
}

// A ParentRule names the parent of a flat row's object.
type ParentRule struct {
	Type string `yaml:"type"`
	Key  string `yaml:"key"`
}

// A StatRule makes a stat of an element.
type StatRule struct {
	Rule       string   `yaml:"rule"` // names the rule where a type has several
	Day        string   `yaml:"day"`  // field that holds a day (2006-01-02) or a moment (RFC 3339), which is put on the clock of the source or account
	Hour       string   `yaml:"hour"` // kind hour: field that holds 0 to 24; absent: the hour of the moment
	Dimensions []string `yaml:"dimensions"`
	Metrics    Metrics  `yaml:"metrics"`
	ID         string   `yaml:"id"` // kind count: field or template that names the event; absent: the answer's hash and the record's position

	feed string // "" where the source has none
}

// Metrics is "*" (every field that holds a number and is not otherwise used) or
// a list of names. All is true for "*"; else Names are sorted.
type Metrics struct {
	All   bool
	Names []string
}

// The kinds of stats: a total as known now, the value of an hour, or events to add.
const (
	KindTotal = "total"
	KindHour  = "hour"
	KindCount = "count"
)

// What it means that a stat is absent from an answer that holds others of its
// object and day.
const (
	AbsentKeep = "keep"
	AbsentZero = "zero"
)

// Stats says what the source's stats mean.
type Stats struct {
	Kind   string `yaml:"kind"`   // default total
	Absent string `yaml:"absent"` // default keep
}

// Rollup says what the documents hold.
type Rollup struct {
	Hours      bool     `yaml:"hours"`
	Dimensions []string `yaml:"dimensions"` // by which the days are broken down
	NotSummed  []string `yaml:"not_summed"` // metrics kept in stats and in the object's own days, and not added up in parents
}
