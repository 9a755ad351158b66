package source

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// A template makes text of a record's fields: a plain field name (id,
// Country/Region), or text with braces, in which a field may have a filter:
// "{account}/{name|slug}", "{starts_at|date}".
type template struct{ parts []piece }

// A piece is fixed text, or the value of a field.
type piece struct {
	text    string // where it is neither a field nor the account
	field   string
	account bool // {account}: the answer's, not a field
	filter  string
}

// The filters of a template.
const (
	filterSlug = "slug" // Mötley Crüe! -> motley-crue
	filterDate = "date" // the day of a day or moment, on the account's clock
)

// parseTemplate reads a field's name or a template. A text without braces is a
// field's name, whatever else is in it.
func parseTemplate(text string) (*template, error) {
	if text == "" {
		return nil, fmt.Errorf("it is empty; a field's name or a template such as %q is expected", "{country}/{city}")
	}
	if !strings.ContainsAny(text, "{}") {
		return &template{parts: []piece{{field: text}}}, nil
	}
	t := &template{}
	for rest := text; rest != ""; {
		before, after, braced := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("%s: a } without its {", found(text))
		}
		if before != "" {
			t.parts = append(t.parts, piece{text: before})
		}
		if !braced {
			break
		}
		inside, after, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(inside, "{") {
			return nil, fmt.Errorf("%s: a { without its }", found(text))
		}
		p, err := parsePiece(inside)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", found(text), err)
		}
		t.parts, rest = append(t.parts, p), after
	}
	if len(t.fields()) == 0 && !t.usesAccount() {
		return nil, fmt.Errorf("%s names no field", found(text))
	}
	return t, nil
}

// parsePiece reads what stands between braces.
func parsePiece(inside string) (piece, error) {
	field, filter, filtered := strings.Cut(inside, "|")
	field, filter = strings.TrimSpace(field), strings.TrimSpace(filter)
	if field == "" {
		return piece{}, fmt.Errorf("{%s} names no field", inside)
	}
	if filtered && filter != filterSlug && filter != filterDate {
		return piece{}, fmt.Errorf("%s is not a filter; allowed: %s, %s", found(filter), filterDate, filterSlug)
	}
	if field == "account" {
		return piece{account: true, filter: filter}, nil
	}
	return piece{field: field, filter: filter}, nil
}

// fields returns the names of the record's fields that t reads, each once, in
// the order in which they appear.
func (t *template) fields() []string {
	var names []string
	for _, p := range t.parts {
		if p.field != "" && !slices.Contains(names, p.field) {
			names = append(names, p.field)
		}
	}
	return names
}

// usesAccount reports whether {account} is a part of t.
func (t *template) usesAccount() bool {
	return slices.ContainsFunc(t.parts, func(p piece) bool { return p.account })
}

// slug puts text into lower case without accents, with one hyphen for each run
// of what is neither a letter nor a digit, and none at the ends.
func slug(s string) string {
	var b strings.Builder
	hyphen := false
	for _, r := range norm.NFKD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if hyphen && b.Len() > 0 {
				b.WriteByte('-')
			}
			hyphen = false
			b.WriteRune(unicode.ToLower(r))
		default:
			hyphen = true
		}
	}
	return norm.NFC.String(b.String())
}

// escapeKey percent-encodes what would be taken for the end of a part of a key.
func escapeKey(s string) string {
	if !strings.ContainsAny(s, "%/") {
		return s
	}
	return keyEscaper.Replace(s)
}

var keyEscaper = strings.NewReplacer("%", "%25", "/", "%2F")

// dimensionEscaper percent-encodes what would be taken for the end of a value.
var dimensionEscaper = strings.NewReplacer("%", "%25", ",", "%2C", "=", "%3D")
