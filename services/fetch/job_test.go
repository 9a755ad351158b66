package fetch

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestParseJob(t *testing.T) {
	for _, c := range []struct{ body, mode string }{
		{`{"source":"ads"}`, ModeRefresh},
		{` {"source": "ads", "mode": "refresh"} ` + "\n", ModeRefresh},
		{`{"source":"ads","account":"acme","mode":"backfill","from":"2026-10-20","to":"2026-11-19"}`, ModeBackfill},
		{`{"source":"ads","mode":"backfill","from":"2026-10-20"}`, ModeBackfill},
		{`{"source":"ads","mode":"full","as_of":"2026-11-20T15:04:05+01:00"}`, ModeFull},
		{`{"source":"ads","url":"https://example.com/a.json.gz","callback":"https://example.com/hook"}`, ModeURL},
		{`{"source":"ads","mode":null,"id":"` + strings.Repeat("x", 200) + `"}`, ModeRefresh},
	} {
		j, err := ParseJob([]byte(c.body))
		if err != nil || j.Source != "ads" || j.mode() != c.mode {
			t.Errorf("%s: %+v, %v", c.body, j, err)
		}
	}
}

func TestAWrongJobSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, body, says string }{
		{"empty", ``, "the body is empty"},
		{"spaces", "  \n", "the body is empty"},
		{"no JSON", `ads please`, `not JSON (invalid character 'a' looking for beginning of value; the body begins with "ads please")`},
		{"cut JSON", `{"source":"ads"`, `not JSON (unexpected EOF`},
		{"binary", "\x1f\x8b\x08\x00\xff", `the body is not text`},
		{"10 MB of zeros", string(make([]byte, 10<<20)), "the body has 10485760 bytes; a job has at most 65536"},
		{"few zeros", "\x00\x00", `not JSON`},
		{"an array", `[{"source":"ads"}]`, "found a JSON array; a job is a JSON object"},
		{"a text", `"ads"`, "found a JSON string; a job is a JSON object"},
		{"two objects", `{"source":"ads"}{"source":"ads"}`, "there is more after the JSON object"},
		{"an unknown field", `{"source":"ads","days":30}`, `unknown field "days"; a job has source, account, feed, mode, from, to, url, as_of, callback, id`},
		{"no source", `{}`, "source is missing"},
		{"null", `null`, "source is missing"},
		{"a null source", `{"source":null}`, "source is missing"},
		{"a number for a text", `{"source":"ads","account":7}`, "account: found a number, a text is allowed"},
		{"an object for a text", `{"source":{"name":"ads"}}`, "source: found an object, a text is allowed"},
		{"an unknown mode", `{"source":"ads","mode":"fast"}`, `mode: found "fast"; allowed are refresh, backfill and full`},
		{"a day that is none", `{"source":"ads","mode":"backfill","from":"2026-02-30"}`, `from: "2026-02-30" is not a day (YYYY-MM-DD)`},
		{"a day in words", `{"source":"ads","mode":"backfill","to":"yesterday"}`, `to: "yesterday" is not a day`},
		{"days in the wrong order", `{"source":"ads","mode":"backfill","from":"2026-11-02","to":"2026-11-01"}`, "from 2026-11-02 is after to 2026-11-01"},
		{"days of a refresh", `{"source":"ads","from":"2026-11-02"}`, `from, to: only a job of mode "backfill" has days`},
		{"days of a document", `{"source":"ads","url":"https://a.example","mode":"full"}`, "url: a job for one document has no mode, from or to"},
		{"a moment that is none", `{"source":"ads","as_of":"2026-11-20"}`, `as_of: "2026-11-20" is not a moment`},
		{"a moment to come", `{"source":"ads","as_of":"2999-01-01T00:00:00Z"}`, "as_of: 2999-01-01T00:00:00Z is in the future"},
		{"a long id", `{"source":"ads","id":"` + strings.Repeat("x", 201) + `"}`, "id: 201 bytes; at most 200 are allowed"},
		{"NUL in the source", `{"source":"a\u0000"}`, `source: "a\x00" holds a NUL character`},
		{"NUL in the account", `{"source":"ads","account":"a\u0000"}`, `account: "a\x00" holds a NUL character`},
		{"NUL in the callback", `{"source":"ads","callback":"a\u0000"}`, `callback: "a\x00" holds a NUL character`},
		{"NUL in the id", `{"source":"ads","id":"a\u0000"}`, `id: "a\x00" holds a NUL character`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseJob([]byte(c.body))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %s", err, c.says)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("the reason has %d bytes", len(err.Error()))
			}
		})
	}
}

func FuzzParseJob(f *testing.F) {
	for _, seed := range []string{``, `{}`, `null`, `{"source":"ads","mode":"backfill","from":"2026-10-20"}`, `{"source":"a\u0000"}`, `[1]`, `{"source":"ads"} x`, `{"source":"ads","as_of":"2026-11-20T15:04:05Z"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		j, err := ParseJob(body)
		if err != nil {
			if text := err.Error(); text == "" || len(text) > 1000 {
				t.Errorf("%q is refused with a reason of %d bytes", body, len(text))
			}
			return
		}
		again, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := ParseJob(again); err != nil || same != j {
			t.Errorf("%q is %+v; written again it is %+v, %v", body, j, same, err)
		}
		if j.Source == "" || len(body) > maxJob || bytes.ContainsRune([]byte(j.Source+j.Account+j.URL+j.ID+j.Callback), 0) {
			t.Errorf("%q was taken as %+v", body, j)
		}
	})
}
