package settings_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every YAML file that is shipped is YAML. (The sources and leat.yaml are loaded
// by the code that reads them, in tests of their own.)
func TestShippedYAML(t *testing.T) {
	files := []string{"../../docker-compose.yml"}
	err := filepath.WalkDir("../../config", func(path string, _ fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); ext == ".yaml" || ext == ".yml" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var content map[string]any
		if err := yaml.Unmarshal(text, &content); err != nil || len(content) == 0 {
			t.Errorf("%s: %v, %d keys", path, err, len(content))
		}
	}
}

var stages = []string{"fetch", "delta", "annotate", "rollup"}

// Compose runs a service for each stage, beside the three servers.
func TestComposeRunsEveryStage(t *testing.T) {
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Healthcheck any
			Deploy      struct{ Replicas string }
		}
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rabbitmq", "postgres", "mongo"} {
		if compose.Services[name].Healthcheck == nil {
			t.Errorf("%s has no health check", name)
		}
	}
	for _, name := range []string{"console", "scheduler"} {
		if compose.Services[name].Healthcheck == nil {
			t.Errorf("%s has no health check", name)
		}
	}
	for _, stage := range stages {
		s := compose.Services[stage]
		if s.Healthcheck == nil || !strings.Contains(s.Deploy.Replicas, "REPLICAS") {
			t.Errorf("%s: health check %v, replicas %q", stage, s.Healthcheck, s.Deploy.Replicas)
		}
	}
}

// leat.target starts one worker of each stage and a console, whose units are shipped.
func TestTargetWantsEveryStage(t *testing.T) {
	target, err := os.ReadFile("../../config/systemd/leat.target")
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range append(stages, "console", "scheduler") {
		unit, err := os.ReadFile("../../config/systemd/leat-" + stage + "@.service")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(strings.Fields(strings.ReplaceAll(string(target), "Wants=", "")), "leat-"+stage+"@1.service") {
			t.Errorf("leat.target does not want leat-%s@1.service", stage)
		}
		if !strings.Contains(string(unit), "ExecStart=/usr/bin/leat-"+stage+" ") {
			t.Errorf("leat-%s@.service does not start leat-%s", stage, stage)
		}
	}
}

// The check is a command that ends: it is started by its timer, every day, and
// not again because it has ended.
func TestTheTimerChecks(t *testing.T) {
	for name, wants := range map[string][]string{
		"leat-check.service":                {"Type=oneshot", "ExecStart=/usr/bin/leat --config /etc/leat/leat.yaml check --notify", "User=leat"},
		"leat-check.timer":                  {"OnCalendar=daily", "Persistent=true", "WantedBy=timers.target"},
		"leat-check.service.d/20-once.conf": {"Restart=no"}, // leat-.service.d says always, which systemd refuses here
	} {
		unit, err := os.ReadFile("../../config/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !slices.Contains(strings.Split(string(unit), "\n"), want) {
				t.Errorf("%s does not say %s", name, want)
			}
		}
	}
}
