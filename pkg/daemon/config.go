package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// FindFile says which file Load is to read: the one named, else the one that
// LEAT_CONFIG names, else config/leat.yaml below the working directory, else
// /etc/leat/leat.yaml; empty if there is none.
func FindFile(named string) string {
	if named != "" {
		return named
	}
	if env := os.Getenv("LEAT_CONFIG"); env != "" {
		return env
	}
	for _, file := range []string{"config/leat.yaml", "/etc/leat/leat.yaml"} {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// Load fills cfg, a pointer to a struct that holds the defaults, from the YAML
// file, if one is named, and then from the environment.
//
// A field's key is its mapstructure tag, and its variable is the path of keys in
// capitals after LEAT_: LEAT_RABBITMQ_MANAGEMENT_URL sets rabbitmq.management_url.
// A variable that is empty or that matches no key is ignored; a list is written
// with commas. A key in the file that cfg has no field for, or a value of another
// type, is an error that says where. So is what cfg's own Validate() error
// returns, if it has one.
func Load(file string, cfg any) error {
	keys := keysOf("", reflect.ValueOf(cfg).Elem())
	v := viper.New()
	if file != "" {
		settings, err := readFile(file, keys)
		if err != nil {
			return err
		}
		if err := v.MergeConfigMap(settings); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if err := fill(v, keys); err != nil {
		return err
	}
	if c, ok := cfg.(interface{ Validate() error }); ok {
		return c.Validate()
	}
	return nil
}

// A key is one name in the configuration: a value, or a group of keys.
type key struct {
	name  string
	path  string // with the groups it lies in: rabbitmq.management_url
	value reflect.Value
	group []key // nil for a value
}

func (k key) env() string {
	return "LEAT_" + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// keysOf lists the keys of a struct in the order of its fields.
func keysOf(prefix string, v reflect.Value) []key {
	var keys []key
	for field, value := range v.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case strings.Contains(options, "squash"): // may be an embedded type that is not exported
			keys = append(keys, keysOf(prefix, value)...)
			continue
		case !field.IsExported() || name == "-":
			continue
		case name == "":
			name = strings.ToLower(field.Name)
		}
		k := key{name: name, path: prefix + name, value: value}
		if value.Kind() == reflect.Struct {
			k.group = keysOf(k.path+".", value)
		}
		keys = append(keys, k)
	}
	return keys
}

// fill sets every value that the file or the environment has. The file has been
// checked, so a value that does not fit is the environment's.
func fill(v *viper.Viper, keys []key) error {
	var problems []error
	for _, k := range keys {
		if k.group != nil {
			problems = append(problems, fill(v, k.group))
			continue
		}
		if err := v.BindEnv(k.path, k.env()); err != nil {
			return err
		}
		if !v.IsSet(k.path) {
			continue
		}
		if err := v.UnmarshalKey(k.path, k.value.Addr().Interface()); err != nil {
			problems = append(problems, fmt.Errorf("%s in the environment (%s) must be %s", k.env(), k.path, kindOf(k.value.Type())))
		}
	}
	return errors.Join(problems...)
}

// readFile returns what the file says, if cfg has a key for all of it.
func readFile(file string, keys []key) (map[string]any, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(f)

	var doc yaml.Node
	switch err := yaml.NewDecoder(f).Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil // nothing but comments
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := errors.Join(checkGroup(file, "", keys, doc.Content[0])...); err != nil {
		return nil, err
	}
	settings := map[string]any{}
	if err := doc.Decode(&settings); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return settings, nil
}

var durationType = reflect.TypeFor[time.Duration]()

// kindOf says in words what a value of the type looks like.
func kindOf(t reflect.Type) string {
	if t == durationType {
		return "a duration such as 20ms or 10s"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "a map"
	default:
		return "text"
	}
}
