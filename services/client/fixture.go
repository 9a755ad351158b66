package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// A fixture is the file ANSWER.want.yaml: under which circumstances an answer is
// cut, and what must come of it.
type fixture struct {
	Account    string          `yaml:"account,omitempty"`
	ObservedAt time.Time       `yaml:"observed_at"`
	Objects    []fixtureObject `yaml:"objects"`
	Stats      []fixtureStat   `yaml:"stats"`
	Rejects    []fixtureReject `yaml:"rejects,omitempty"`
	Broken     string          `yaml:"broken,omitempty"` // why the rest could not be read
}

type fixtureObject struct {
	Object     string         `yaml:"object" json:"object"` // type/key
	Parent     string         `yaml:"parent,omitempty" json:"parent,omitempty"`
	Name       string         `yaml:"name,omitempty" json:"name,omitempty"` // absent: it is only named as a parent
	Attributes map[string]any `yaml:"attributes,flow,omitempty" json:"attributes,omitempty"`
	Tags       map[string]any `yaml:"tags,flow,omitempty" json:"tags,omitempty"`
	Failed     []string       `yaml:"failed,omitempty" json:"failed,omitempty"` // tags whose expression failed, with the reason
}

type fixtureStat struct {
	Object  string             `yaml:"object" json:"object"`
	Day     string             `yaml:"day" json:"day"`
	Hour    *int               `yaml:"hour,omitempty" json:"hour,omitempty"`
	Rule    string             `yaml:"rule,omitempty" json:"rule,omitempty"`
	Dims    string             `yaml:"dims,omitempty" json:"dims,omitempty"`
	ID      string             `yaml:"id,omitempty" json:"id,omitempty"`
	Metrics map[string]decimal `yaml:"metrics,flow" json:"metrics"`
}

// A decimal is a number as it is written: metrics are exact.
type decimal string

// MarshalYAML implements yaml.Marshaler.
func (d decimal) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: string(d)}, nil
}

// MarshalJSON implements json.Marshaler.
func (d decimal) MarshalJSON() ([]byte, error) { return []byte(d), nil }

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *decimal) UnmarshalYAML(n *yaml.Node) error {
	*d = decimal(n.Value)
	return nil
}

type fixtureReject struct {
	Position string `yaml:"position" json:"position"`
	Reason   string `yaml:"reason" json:"reason"`
}

// readFixture reads a file strictly. Of one that is not there it returns an
// empty fixture of this hour with the error.
func readFixture(file string) (f fixture, err error) {
	f.ObservedAt = time.Now().UTC().Truncate(time.Hour)
	text, err := os.ReadFile(file) //nolint:gosec // it lies beside an answer that the caller names
	if err != nil {
		return f, fmt.Errorf("%w: --update writes it", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return f, fmt.Errorf("%s: %w", file, err)
	}
	return f, nil
}

// text is the fixture as the file has it: equal fixtures have equal texts.
func (f fixture) text() (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(f)
	return b.String(), err
}

// numbered decodes attributes as annotators see them.
func numbered(attrs []byte) map[string]any {
	var m map[string]any
	if len(attrs) > 0 {
		d := json.NewDecoder(bytes.NewReader(attrs))
		d.UseNumber()
		_ = d.Decode(&m) // it was written by source.Cut
	}
	return m
}

// documented makes numbers of a decoded JSON value what documents hold.
func documented(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case map[string]any:
		for k, e := range v {
			v[k] = documented(e)
		}
	case []any:
		for i, e := range v {
			v[i] = documented(e)
		}
	}
	return v
}
