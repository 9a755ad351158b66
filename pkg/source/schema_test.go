package source

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// The schema is made of this package: keys of the structs' tags, what they mean
// of the comments beside them. `go test ./source -run Schema -update` writes it.
var update = flag.Bool("update", false, "write config/sources/schema.json")

const (
	shippedFolder = "../../config/sources"
	schemaFile    = "schema.json"
)

func TestTheSchemaForEditorsIsThatOfThisPackage(t *testing.T) {
	var made bytes.Buffer
	e := json.NewEncoder(&made)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(newSchema(t).document()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(shippedFolder, schemaFile)
	if *update {
		if err := os.WriteFile(file, made.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shipped, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(shipped, made.Bytes()) {
		t.Errorf("%s is another (%v): go test ./source -run Schema -update", file, err)
	}
}

func TestTheSchemaAgreesWithParse(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(shippedFolder, schemaFile))
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text []byte) error {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	files, err := filepath.Glob(filepath.Join(shippedFolder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	const start = "source: test\nrecords: [{object: {type: a, key: id}}]\n"
	for _, wrong := range []string{
		"tmezone: UTC", "stats: {kind: totl}", "fetch: {report: {lookback: 30}}", "fetch: {keep: ever}", "http: {timeout: soon}", "accounts: 3", "rollup: {hours: perhaps}",
		"fetch: {report: {table: {skip: many}}}", "annotate: [a]",
	} {
		_, err := Parse([]byte(start+wrong+"\n"), nil)
		if err == nil || valid([]byte(start+wrong+"\n")) == nil {
			t.Errorf("%s: Parse says %v, the schema %v", wrong, err, valid([]byte(start+wrong+"\n")))
		}
	}
	for _, missing := range []string{"source: test\n", "records: [{object: {type: a, key: id}}]\n", "source: test\nrecords: [{object: {type: a}}]\n"} {
		if valid([]byte(missing)) == nil {
			t.Errorf("the schema lacks nothing in %s", missing)
		}
	}
}

// What tags and types do not say.
var (
	choices = map[string][]string{
		"Report.format":   {formatJSON, formatNDJSON, formatCSV, formatTSV},
		"Report.encoding": {encodingUTF8, encodingUTF16, encodingLatin1},
		"Numbers.decimal": {".", ","},
		"ErrorRule.then":  {ThenRetry, ThenWait, ThenReject, ThenFail},
		"Schedule.mode":   strings.Split(modes, ", "),
		"Async.method":    {http.MethodPost, http.MethodGet},
		"Stats.kind":      {KindTotal, KindHour, KindCount},
		"Stats.absent":    {AbsentKeep, AbsentZero},
		"Stream.format":   {formatSSE, formatNDJSON},
		"Poll.seen":       {SeenHash, SeenKey},
	}
	required = map[string][]string{
		"Source": {"source"}, "Feed": {"records"}, "ErrorRule": {"path"}, "ObjectRule": {"type", "key"}, "ParentRule": {"type", "key"}, "StatRule": {"day", "metrics"},
		"Stream": {"path"}, "Poll": {"every"},
	}
)

type object = map[string]any

// A schema collects the definitions of structs by their names.
type schema struct {
	t        *testing.T
	comments map[string]string // of fields, by Struct.key
	defs     object
}

func newSchema(t *testing.T) *schema {
	return &schema{t: t, comments: fieldComments(t), defs: object{}}
}

func (s *schema) document() object {
	doc := s.structure(reflect.TypeFor[Source]())
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["title"] = "A source of Leat"
	doc["anyOf"] = []object{{"required": []string{"records"}}, {"required": []string{"feeds"}}}
	doc["$defs"] = s.defs
	return doc
}

var text = object{"type": []string{"string", "number", "boolean"}} // YAML's 5 and true are text where text is meant

// of is the schema of a type that a setting has.
func (s *schema) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[Interval]():
		return object{"type": "string", "pattern": "^([0-9.]+(ms|s|m|h))+$"}
	case reflect.TypeFor[Days]():
		return object{"type": "string", "pattern": "^[1-9][0-9]*d$"}
	case reflect.TypeFor[Keep]():
		return object{"type": "string", "pattern": "^(forever|[1-9][0-9]*d)$"}
	case reflect.TypeFor[Metrics]():
		return object{"anyOf": []object{{"const": "*"}, {"type": "array", "items": text, "minItems": 1}}}
	case reflect.TypeFor[Feeds]():
		return object{"type": "object", "minProperties": 1, "additionalProperties": s.of(reflect.TypeFor[Feed]())}
	case reflect.TypeFor[Accounts]():
		zone := object{"type": []string{"object", "null"}, "properties": object{"timezone": text}, "additionalProperties": false}
		return object{"anyOf": []object{{"type": "array", "items": text}, {"type": "object", "additionalProperties": zone}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return text
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer", "minimum": 0}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		if s.defs[t.Name()] == nil {
			s.defs[t.Name()] = object{} // it may hold itself
			s.defs[t.Name()] = s.structure(t)
		}
		return object{"$ref": "#/$defs/" + t.Name()}
	}
	s.t.Fatalf("a schema of %s is not known", t)
	return nil
}

func (s *schema) structure(t reflect.Type) object {
	properties := object{}
	for field := range t.Fields() {
		key := field.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		name := t.Name() + "." + key
		property := maps.Clone(s.of(field.Type))
		if words := choices[name]; words != nil {
			property = object{"enum": words}
		}
		if comment := s.comments[name]; comment != "" {
			property["description"] = comment
		}
		properties[key] = property
	}
	structure := object{"type": "object", "properties": properties, "additionalProperties": false}
	if r := required[t.Name()]; r != nil {
		structure["required"] = r
	}
	return structure
}

// fieldComments reads what stands beside the fields of this package's structs.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if named, ok := n.(*ast.TypeSpec); ok {
				if structure, ok := named.Type.(*ast.StructType); ok {
					addComments(comments, named.Name.Name, structure)
				}
			}
			return true
		})
	}
	return comments
}

func addComments(comments map[string]string, name string, structure *ast.StructType) {
	for _, f := range structure.Fields.List {
		if f.Tag == nil {
			continue
		}
		key := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
		comments[name+"."+key] = strings.TrimSpace(f.Comment.Text())
	}
}
