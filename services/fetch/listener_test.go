package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/source"
)

// hears returns what a listener takes out of a text: each record with the position after it.
func hears(stream source.Stream, text string) (heard []string, l *listener) {
	l = newListener(&stream)
	go l.read(context.Background(), strings.NewReader(text))
	for r := range l.records {
		heard = append(heard, fmt.Sprintf("%s@%s", r.text, r.position))
	}
	return heard, l
}

func TestAListenerTakesRecordsOutOfWhatComes(t *testing.T) {
	sse, lines := source.Stream{Format: "sse"}, source.Stream{Format: "ndjson", Cursor: "meta.id"}
	only, within := sse, sse
	only.Events, within.Cursor = []string{"message", "edit"}, "id"
	for what, test := range map[string]struct {
		stream source.Stream
		text   string
		want   string
	}{
		"an event":                        {sse, "id: 1\ndata: {}\n\n", "{}@1"},
		"ends of lines of all kinds":      {sse, "id: 1\r\ndata: a\r\n\r\nid: 2\rdata: b\r\rdata: c\n\n", "a@1 b@2 c@2"},
		"a byte order mark":               {sse, "\ufeffdata: a\n\n", "a@"},
		"comments, and unknown fields":    {sse, ": still there\n\n:\nnews: x\ndata: a\n\n: and on\n", "a@"},
		"data in several lines":           {sse, "data: {\ndata:\"a\":1\ndata\ndata: }\n\n", `{ "a":1  }@`},
		"one space is not of the value":   {sse, "data:  a\ndata:b\n\n", " a b@"},
		"an id alone is one for the next": {sse, "id: 7\n\ndata: a\n\n", "a@7"},
		"an id is taken back":             {sse, "id: 7\ndata: a\n\nid\ndata: b\n\n", "a@7 b@"},
		"an id with NUL is none":          {sse, "id: 7\ndata: a\n\nid: \x00\ndata: b\n\n", "a@7 b@7"},
		"what is not whole is left out":   {sse, "id: 1\ndata: a\n\nid: 2\ndata: b\n", "a@1"},
		"some events":                     {only, "event: ping\ndata: p\n\ndata: m\n\nevent: edit\ndata: e\n\n", "m@ e@"},
		"the cursor of a record":          {within, "id: 1\ndata: {\"id\": 12345678901234567890}\n\nid: 2\ndata: {}\n\n", `{"id": 12345678901234567890}@12345678901234567890 {}@`},
		"lines":                           {lines, "{\"meta\":{\"id\":\"x\"}}\r\n\n \n{\"meta\":3}\n{\"meta\":{\"id\":true}}\nno json\n{\"cut", `{"meta":{"id":"x"}}@x {"meta":3}@ {"meta":{"id":true}}@ no json@`},
	} {
		heard, l := hears(test.stream, test.text)
		if got := strings.Join(heard, " "); got != test.want || !errors.Is(l.err, io.EOF) {
			t.Errorf("%s: got %q, want %q (%v)", what, got, test.want, l.err)
		}
	}
	if _, l := hears(sse, "retry: 2500\nretry: soon\n\n"); l.retry != 2500*time.Millisecond {
		t.Errorf("retry: %s", l.retry)
	}
}

// Of what is longer than a record may be as much is kept as makes it a reject.
func TestARecordThatIsTooLongCostsLittle(t *testing.T) {
	long := strings.Repeat("x", 3*longRecord)
	for _, text := range []string{"data: " + long + "\n\n", "data: x\ndata: " + long + "\ndata: " + long + "\n\n"} {
		heard, _ := hears(source.Stream{Format: "sse"}, text)
		if len(heard) != 1 || len(heard[0]) <= longRecord || len(heard[0]) > longRecord+100 {
			t.Errorf("%d records, the first of %d bytes", len(heard), len(heard[0]))
		}
	}
}

func FuzzListener(f *testing.F) {
	f.Add("id: 1\r\ndata: {\"id\": 1}\r\r: x\nretry: 1\n\n", true)
	f.Add("{\"id\":1}\n\n{\"id\":{}}\n", false)
	f.Fuzz(func(t *testing.T, text string, sse bool) {
		stream := source.Stream{Format: "ndjson", Cursor: "id"}
		if sse {
			stream = source.Stream{Format: "sse"}
		}
		l := newListener(&stream)
		go l.read(t.Context(), strings.NewReader(text))
		for r := range l.records {
			if bytes.ContainsAny(r.text, "\n") || len(r.text) == 0 && !sse {
				t.Errorf("%q became %q", text, r.text)
			}
		}
	})
}
