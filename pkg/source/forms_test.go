package source

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// odd is a source that writes all otherwise.
const odd = `
timezone: Europe/Berlin
fetch:
  report: {path: /x, format: csv, encoding: latin-1, table: {separator: ";", skip: 2, header: [Tag, Ort, Umsatz, Besuche, Anteil]}}
http: {base_url: "https://x.example.com"}
numbers: {decimal: ",", group: ".", none: ["k. A.", "-"]}
dates: [DD.MM.YYYY, "DD.MM.YYYY HH:mm", unix]
records:
  - object: {type: ort, key: Ort}
    stat: {day: Tag, metrics: [Umsatz, Besuche, Anteil]}
`

func TestATableThatIsWrittenOtherwise(t *testing.T) {
	text, err := charmap.Windows1252.NewEncoder().String("Bericht\n\n" +
		"19.11.2026;Köln;1.234,50;17;k. A.\n" +
		"19.11.2026 23:30;Zürich;-1.234.567,5;-;0,5\n" +
		"1795129200;Bonn;1,0;2;3\n" +
		"2026-11-19;Bonn;1,0;2;3\n" +
		"19.11.2026;Bonn;1.23,0;2;3\n" +
		"19.11.2026;Bonn;12.5;2;3\n" +
		"31.02.2026;Bonn;1;2;3\n")
	if err != nil {
		t.Fatal(err)
	}
	want := `ort Köln "Köln"
ort Zürich "Zürich"
ort Bonn "Bonn"
Köln 2026-11-19 {"Besuche":17,"Umsatz":1234.5}
Zürich 2026-11-19 {"Anteil":0.5,"Umsatz":-1234567.5}
Bonn 2026-11-20 {"Anteil":3,"Besuche":2,"Umsatz":1}
! line 6: Tag is "2026-11-19"; what dates in the source file has is allowed
! line 7: Umsatz is "1.23,0"; a number with at most 12 digits before the point is allowed
! line 8: Umsatz is "12.5"; a number with at most 12 digits before the point is allowed
! line 9: Tag is "31.02.2026"; what dates in the source file has is allowed`
	if got := cutBytes(t, sourceOf(t, odd), formatCSV, []byte(text)).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNumbersInTheTextsOfJSON(t *testing.T) {
	s := sourceOf(t, `
numbers: {group: ",", none: [N/A]}
records:
  - each: ads
    object: {type: ad, key: id}
    stat: {day: day, metrics: [clicks, spend, views]}
`)
	got := cutBytes(t, s, formatJSON, []byte(`{"ads": [{"id": 1, "day": "2026-11-19", "clicks": "1,234", "spend": "1,234.50", "views": 1.5},
		{"id": 2, "day": "2026-11-19", "clicks": "N/A", "spend": "", "views": "NaN"}]}`)).String()
	if want := `ad 1 "1"
ad 2 "2"
1 2026-11-19 {"clicks":1234,"spend":1234.5,"views":1.5}
! ads[1]: views is "NaN"; a number with at most 12 digits before the point is allowed`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestUTF16IsNoticedByItsMark(t *testing.T) {
	const body = `{"ads": [{"stats": [{"date": "2026-11-19", "n": 3}], "id": "Köln"}]}`
	for name, order := range map[string]unicode.Endianness{"little": unicode.LittleEndian, "big": unicode.BigEndian} {
		text, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().Bytes([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		for form, answer := range map[string][]byte{"plain": text, "gzip": packed.Bytes()} {
			if got := cutBytes(t, sourceOf(t, statRules), formatJSON, answer).String(); got != `ad Köln "Köln"`+"\n"+`Köln 2026-11-19 os= {"n":3}` {
				t.Errorf("%s-endian, %s: got\n%s", name, form, got)
			}
		}
	}
	marked := "\xef\xbb\xbf" + body
	if got := cutBytes(t, sourceOf(t, statRules), formatJSON, []byte(marked)); got.err != nil || len(got.parts) != 1 {
		t.Errorf("the mark of UTF-8: %v", got)
	}
}

func TestDateForms(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ form, text, want string }{
		{"MM/DD/YYYY hh:mm AM", "11/19/2026 11:30 PM", "2026-11-19 23:30"},
		{"D.M.YY", "9.1.26", "2026-01-09"},
		{"DD-MMM-YYYY", "19-Nov-2026", "2026-11-19"},
		{"YYYYMMDD", "20261119", "2026-11-19"},
		{"YYYY-MM-DD HH:mm:ss ZZ", "2026-11-20 04:30:00 +01:00", "2026-11-19 22:30"},
		{"iso", "2026-11-20T04:30:00Z", "2026-11-19 23:30"},
		{"unix_ms", "1795129200000", "2026-11-19 18:00"},
		{"unix", "17951292000000000000", ""},
		{"unix", "x", ""},
		{"DD.MM.YYYY", "2026-11-19", ""},
	} {
		f, ok := parseDateForm(row.form)
		if !ok {
			t.Errorf("%s is no form", row.form)
			continue
		}
		day, moment, ok := f.read(row.text, zone)
		got := day.String()
		if !moment.IsZero() {
			got = moment.Format("2006-01-02 15:04")
		}
		if ok != (row.want != "") || ok && got != row.want {
			t.Errorf("%s as %s: got %s, %v, want %s", row.text, row.form, got, ok, row.want)
		}
	}
}

func TestMistakesOfForm(t *testing.T) {
	for given, want := range map[string]string{
		"dates: [dd.mm.yyyy]":                         `dates[0]: found "dd.mm.yyyy"; it must be a form of YYYY`,
		"dates: [MM.YYYY]":                            `dates[0]: found "MM.YYYY"`,
		`dates: ["DD.MM.YYYY hh:mm"]`:                 `dates[0]: found "DD.MM.YYYY hh:mm"`,
		"numbers: {decimal: ';'}":                     `numbers.decimal: found ";"; allowed: ., ,`,
		"numbers: {decimal: ',', group: ','}":         `numbers.group: found ",", which is the decimal point already`,
		"numbers: {group: 'x'}":                       `numbers.group: found "x"; allowed: one of`,
		"fetch: {report: {encoding: utf8}}":           `fetch.report.encoding: found "utf8"; did you mean utf-8?`,
		"fetch: {report: {table: {separator: ';;'}}}": `fetch.report.table.separator: found ";;"; it must be one ASCII character`,
		"fetch: {report: {table: {skip: -1}}}":        `fetch.report.table.skip: found "-1"; it must be a whole number`,
		"fetch: {report: {table: {header: [a, a]}}}":  `fetch.report.table.header[1]: "a" stands twice`,
		"http: {base_url: 'http://x'}\nfetch: {report: {path: /x, table: {skip: 1}}}": `fetch.report.table: has no use: the format is json`,
	} {
		_, err := Parse([]byte("source: test\n"+given+"\nrecords: [{object: {type: a, key: id}}]\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", given, err, want)
		}
	}
}

func TestExplainSaysHowAnAnswerIsWritten(t *testing.T) {
	var b strings.Builder
	if err := sourceOf(t, odd).Explain(&b); err != nil {
		t.Fatal(err)
	}
	const want = `how it is written: in latin-1; columns end with ";"; the first 2 lines skipped; the columns are Tag, Ort, Umsatz, Besuche, Anteil; ` +
		`numbers as 1.234,5; no number is k. A., -; dates as DD.MM.YYYY, DD.MM.YYYY HH:mm, unix`
	if !strings.Contains(b.String(), want) {
		t.Errorf("got\n%s", b.String())
	}
}
