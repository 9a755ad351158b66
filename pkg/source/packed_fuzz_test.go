package source

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"

	"github.com/leatflow/leat/pkg/metric"
)

const mostUnpacked = 1 << 20

// FuzzPacked opens anything that begins like gzip, zstd or UTF-16, in each
// encoding: the answer is read, or what is wrong with its form is said.
func FuzzPacked(f *testing.F) {
	s := sourceOf(f, eventRules)
	plain := []byte(`[{"page":"a/b","at":"2026-11-20T23:30:00Z","views":1,"event":"1"},7]`)
	f.Add(gzipped(f, plain), byte(0))
	f.Add(zstandard(plain), byte(1))
	f.Add(append([]byte{0xff, 0xfe}, utf16Bytes(string(plain), binary.LittleEndian)...), byte(2))
	f.Add([]byte{0x1f, 0x8b, 8, 0}, byte(0))
	f.Fuzz(func(t *testing.T, body []byte, how byte) {
		s.Fetch.Report.Encoding = []string{encodingUTF8, encodingUTF16, encodingLatin1}[how%3]
		for _, format := range []string{formatJSON, formatNDJSON, formatCSV} {
			c := cutAnswer(t, s, Answer{Format: format, File: bytes.NewReader(body), Size: int64(len(body)), MaxSize: mostUnpacked, Temp: t.TempDir()})
			if broken, ok := errors.AsType[*FormError](c.err); c.err != nil && (!ok || broken.Found == "" || broken.Expected == "") {
				t.Errorf("%s, %s: %v", format, s.Fetch.Report.Encoding, c.err)
			}
			for _, p := range c.parts {
				checkTexts(t, p)
			}
		}
	})
}

// FuzzEncodings reads the same text plain, compressed, and in each encoding that
// can write it: it gives the same.
func FuzzEncodings(f *testing.F) {
	s := sourceOf(f, rowRules)
	f.Add("country,label,city,mayor,day,people\nDE,\"a\n\"\"b\",Köln,z,2026-11-01,1\n")
	f.Add("country,city,day\n\"")
	f.Add("country,label,city,mayor,day,people\nJP,日本,東京,𠮷,2026-11-01,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || hasMagic(text) {
			return
		}
		s.Fetch.Report.Encoding = encodingUTF8
		want := cutBytes(t, s, formatCSV, []byte(text))
		same := func(how, encoding string, body []byte) {
			t.Helper()
			s.Fetch.Report.Encoding = encoding
			if got := cutBytes(t, s, formatCSV, body); got.String() != want.String() || (got.err == nil) != (want.err == nil) {
				t.Errorf("%q by %s is\n%s (%v)\nplain it is\n%s (%v)", text, how, got, got.err, want, want.err)
			}
		}
		same("gzip", encodingUTF8, gzipped(t, []byte(text)))
		same("zstd", encodingUTF8, zstandard([]byte(text)))
		same("UTF-8 with a mark", encodingLatin1, append(slices.Clone(markUTF8), text...))
		same("UTF-16 with a mark", encodingUTF8, append([]byte{0xfe, 0xff}, utf16Bytes(text, binary.BigEndian)...))
		if !strings.HasPrefix(text, "\ufeff") && !strings.HasPrefix(text, "\ufffe") {
			same("UTF-16 without", encodingUTF16, utf16Bytes(text, binary.LittleEndian))
		}
		if latin, err := charmap.Windows1252.NewEncoder().String(text); err == nil && !hasMagic(latin) {
			same("Latin-1", encodingLatin1, []byte(latin))
		}
	})
}

// hasMagic reports whether a text begins with what tells a compression or an
// encoding from plain text.
func hasMagic(text string) bool {
	for _, magic := range []string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "\xff\xfe", "\xfe\xff", "\ufeff"} {
		if strings.HasPrefix(text, magic) {
			return true
		}
	}
	return false
}

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var packer, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))

func zstandard(plain []byte) []byte { return packer.EncodeAll(plain, nil) }

func utf16Bytes(text string, order binary.AppendByteOrder) (b []byte) {
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return b
}

// FuzzRows compares the fields of CSV with those that encoding/csv finds, where
// it takes all of it. (It makes \n of \r\n within quotes, which is not done here.)
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "\"a\"\"b\",\"c\nd\"\n\n,\n", "\"\"", "a,\"b\"", ",,,\n", "x\n\"y\n\nz\",1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsRune(text, '\r') {
			return
		}
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		if err != nil {
			return
		}
		got, err := sheetOf(text)
		if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%q is %q (%v), by encoding/csv %q", text, got, err, want)
		}
	})
}

// sheetOf reads all rows of CSV.
func sheetOf(text string) (rows [][]string, err error) {
	file := strings.NewReader(text)
	t := &sheet{lines: newLineReader(&input{stream: file, file: file, size: int64(len(text))}), comma: ','}
	for {
		switch err := t.read(); {
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return rows, err
		}
		var row []string
		for _, field := range t.fields {
			row = append(row, string(field))
		}
		rows = append(rows, row)
	}
}

// FuzzNumbers writes a metric in the forms that source files may declare, and
// reads it again; and what is read of any text is what was meant, or nothing.
func FuzzNumbers(f *testing.F) {
	f.Add(int64(1234567890123), "1.234,50", byte(0))
	f.Add(int64(-1), "N/A", byte(4))
	f.Add(int64(999999), "1,23,5", byte(9))
	f.Fuzz(func(t *testing.T, millionths int64, text string, how byte) {
		form := numberForm{decimal: ".,"[how%2], group: groups[int(how/2)%len(groups)], none: []string{"N/A"}}
		if form.group == form.decimal {
			return
		}
		v := metric.Value(millionths)
		if again, err := metric.Parse(v.String()); err == nil { // not above what a metric may be
			written := grouped(again.String(), form)
			if plain, ok := form.plain([]byte(written)); !ok || string(plain) != again.String() {
				t.Errorf("%s is written %s, which is read %s", again, written, plain)
			}
		}
		plain, ok := form.plain([]byte(text))
		if ok && strings.Count(string(plain), ".") > 1 {
			t.Errorf("%q is read %q", text, plain)
		}
	})
}

// grouped writes a number in a form.
func grouped(plain string, form numberForm) string {
	whole, fraction, broken := strings.Cut(plain, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + string(form.group) + whole[at:]
	}
	if broken {
		whole += string(form.decimal) + fraction
	}
	return sign + whole
}
