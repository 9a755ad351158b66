package expect

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func produce(lines ...Line) Producer {
	return func(emit func(Line) error) error {
		for _, l := range lines {
			if err := emit(l); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestCompare(t *testing.T) {
	want := produce(Line{"a", "1"}, Line{"b", "2"})
	for _, row := range []struct {
		found Producer
		says  string
	}{
		{produce(Line{"b", "2"}, Line{"a", "1"}), ""},
		{produce(Line{"a", "1"}), "b is missing"},
		{produce(Line{"a", "1"}, Line{"b", "3"}), "b differs:\n got 3\nwant 2"},
		{produce(Line{"a", "1"}, Line{"b", "2"}, Line{"c", "3"}), "c should not be: 3"},
		{produce(Line{"a", "1"}, Line{"a", "1"}), "a is there twice"},
	} {
		s, err := New(want)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a state may be compared again
			err = s.Compare(row.found, want)
			if (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want %q", err, row.says)
			}
		}
	}
}

func TestLongLinesAreShownWhereTheyPart(t *testing.T) {
	a, b := strings.Repeat("x", 1000)+"1"+strings.Repeat("y", 1000), strings.Repeat("x", 1000)+"2"
	at := parting(a, b)
	if got, want := around(a, at), "…"+strings.Repeat("x", 200)+"1"+strings.Repeat("y", 199)+"…"; at != 1000 || got != want {
		t.Errorf("at %d: %s", at, got)
	}
	if got := around(b, at); !strings.HasSuffix(got, "x2") {
		t.Errorf("got %s", got)
	}
}

const small = `{"account":"x","campaigns":[{"id":"c","name":"Autumn Sale","status":"paused","budget":5000.00,"adgroups":[
{"id":"g","name":"One","ads":[{"id":"a","name":"Acme Video 1","headline":"Tickets from 19 €","url":"https://shop.example.com/x/1","stats":[
{"date":"2026-06-30","os":"ios","clicks":1,"spend":0.10,"reach":0},
{"date":"2026-07-01","os":"ios","clicks":0,"spend":0,"reach":0},
{"date":"2026-07-01","os":"web","clicks":2,"spend":0.20,"reach":0},
{"date":"2026-07-01","os":"android","clicks":3,"spend":1.80,"reach":0}]}]}]}]}`

func lines(t *testing.T, of func(Report, func(Line) error) error) map[string]string {
	t.Helper()
	r := Report{
		Source: "ads", Markets: map[string]string{"Autumn Sale": "DACH"},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(small)), nil },
	}
	found := map[string]string{}
	if err := of(r, func(l Line) error { found[l.Key] = l.Text; return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRows(t *testing.T) {
	got := lines(t, Report.Rows)
	for key, want := range map[string]string{
		"object campaign/c":                `parent= depth=0 name=Autumn Sale attrs={"budget": 5000, "status": "paused"} tags={"brand": false}`,
		"object adgroup/g":                 `parent=campaign/c depth=1 name=One attrs={} tags={"size": "5000+", "brand": false, "theme": "Autumn", "market": "DACH", "paused": true}`,
		"stat ad/a 2026-06-30  os=ios":     `{"spend": 0.1, "clicks": 1} hours=`,
		"stat ad/a 2026-07-01  os=web":     `{"spend": 0.2, "clicks": 2} hours=`,
		"stat ad/a 2026-07-01  os=android": `{"spend": 1.8, "clicks": 3} hours=`,
	} {
		if got[key] != want {
			t.Errorf("%s:\n got %s\nwant %s", key, got[key], want)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d rows, want 6", len(got))
	}
}

func TestDocuments(t *testing.T) {
	got := lines(t, Report.Documents)
	if len(got) != 6 {
		t.Errorf("%d documents, want 6", len(got))
	}
	want := `"days":{"2026-07-01":{"by":[{"d":{"os":"android" } "m":{"clicks":3 "spend":1.8d } } {"d":{"os":"web" } "m":{"clicks":2 "spend":0.2d } } ] "m":{"clicks":5 "spend":2 } } }`
	for _, id := range []string{"campaign/c", "adgroup/g", "ad/a"} {
		if text := got["document "+id+"/2026H2"]; !strings.Contains(text, want) {
			t.Errorf("%s:\n got %s\nwant %s", id, text, want)
		}
	}
	if text := got["document ad/a/2026H1"]; !strings.Contains(text, `"path":["campaign/c" "adgroup/g" ]`) || !strings.Contains(text, `"price":"19"`) {
		t.Errorf("ad/a/2026H1: %s", text)
	}
}

// An emitter that fails ends it all.
func TestFirstErrorEnds(t *testing.T) {
	broken := errors.New("enough")
	r := Report{Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(small)), nil }}
	if err := r.Rows(func(Line) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for given, want := range map[string]string{"0": "0", "12": "12", "12.50": "12.5", "0.000001": "0.000001", "100": "100", "-3.10": "-3.1"} {
		if got := text(millionths(json.Number(given))); got != want {
			t.Errorf("%s: got %s, want %s", given, got, want)
		}
	}
	if v := value(millionths("12.50")); v != 12.5 {
		t.Errorf("got %v (%T)", v, v)
	}
	if v := value(millionths("12.00")); v != int64(12) {
		t.Errorf("got %v (%T)", v, v)
	}
}

// Where the order of names does not matter, equal values have equal spellings.
func TestSpell(t *testing.T) {
	got := string(spell(nil, map[string]any{"b": []any{true, int64(1), 1.0}, "a": `x"y`}))
	if want := `{"a":"x\"y" "b":[true 1 1d ] }`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !slices.Equal([]byte(jsonb(map[string]string{"bb": "1", "c": "2"})), []byte(`{"c": 2, "bb": 1}`)) {
		t.Error("shorter names come first in jsonb")
	}
}
