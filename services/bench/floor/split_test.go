package floor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func split(text string) (all []string, err error) {
	err = elements(iotest.OneByteReader(strings.NewReader(text)), "list", func(b []byte) error {
		all = append(all, string(b))
		return nil
	})
	return all, err
}

func TestElements(t *testing.T) {
	for text, want := range map[string][]string{
		`{"a":[1],"list":[]}`:                              nil,
		`{"list":[{"a":1}, {"b":{"c":[2]}},` + "\n[3]]}":   {`{"a":1}`, `{"b":{"c":[2]}}`, `[3]`},
		`{"list":[{"a":"]}\"}{"},{"b":"\\"},{"c":"\\\""}]`: {`{"a":"]}\"}{"}`, `{"b":"\\"}`, `{"c":"\\\""}`},
	} {
		if got, err := split(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestElementsOfHalfAnAnswer(t *testing.T) {
	for _, text := range []string{``, `{"lis`, `{"list":[`, `{"list":[{"a":1}`, `{"list":[{"a":"x`, `{"list":[{"a":"x\"`} {
		if _, err := split(text); !errors.Is(err, errCutOff) {
			t.Errorf("%q: got %v, want %v", text, err, errCutOff)
		}
	}
}
