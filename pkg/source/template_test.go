package source

import (
	"slices"
	"testing"
)

func TestTemplates(t *testing.T) {
	for _, test := range []struct {
		text    string
		fields  []string
		account bool
		wrong   string
	}{
		{text: "id", fields: []string{"id"}},
		{text: "Country/Region", fields: []string{"Country/Region"}},
		{text: "account", fields: []string{"account"}},
		{text: "{Country/Region}/{Province/State}", fields: []string{"Country/Region", "Province/State"}},
		{text: "{account}/{name|slug}-{name}", fields: []string{"name"}, account: true},
		{text: "x{at | date}y", fields: []string{"at"}},
		{text: "{account}", account: true},
		{text: "", wrong: `it is empty; a field's name or a template such as "{country}/{city}" is expected`},
		{text: "{a", wrong: `"{a": a { without its }`},
		{text: "{a{b}}", wrong: `"{a{b}}": a { without its }`},
		{text: "a}{b}", wrong: `"a}{b}": a } without its {`},
		{text: "{b}}", wrong: `"{b}}": a } without its {`},
		{text: "{}", wrong: `"{}": {} names no field`},
		{text: "{a|upper}", wrong: `"{a|upper}": "upper" is not a filter; allowed: date, slug`},
		{text: "{a|}", wrong: `"{a|}": "" is not a filter; allowed: date, slug`},
	} {
		got, err := parseTemplate(test.text)
		if err != nil || test.wrong != "" {
			if err == nil || err.Error() != test.wrong {
				t.Errorf("%s: %v", test.text, err)
			}
			continue
		}
		if !slices.Equal(got.fields(), test.fields) || got.usesAccount() != test.account {
			t.Errorf("%s: fields %q, account %v", test.text, got.fields(), got.usesAccount())
		}
	}
}

func TestSlug(t *testing.T) {
	for text, want := range map[string]string{
		"Mötley Crüe!":      "motley-crue",
		"  AC/DC -- Live  ": "ac-dc-live",
		"東京 2026":           "東京-2026",
		"!!":                "",
	} {
		if got := slug(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
