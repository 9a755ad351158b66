package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// config has every form of key that the real one has.
type config struct {
	Shell  `mapstructure:",squash"`
	Rabbit struct {
		URL           string `mapstructure:"url"`
		ManagementURL string `mapstructure:"management_url"`
	} `mapstructure:"rabbitmq"`
	Sources string `mapstructure:"sources"`
	Delta   delta  `mapstructure:"delta"`
	Derived string `mapstructure:"-"`
}

type delta struct {
	batch  `mapstructure:",squash"`
	Linger time.Duration `mapstructure:"linger"`
	Files  []string      `mapstructure:"files"`
	Exact  bool          `mapstructure:"exact"`
}

type batch struct {
	BatchSize int `mapstructure:"batch_size"`
}

func defaults() config {
	c := config{Shell: DefaultShell(), Sources: "default"}
	c.Rabbit.URL = "default"
	c.Delta.BatchSize = 8
	c.Delta.Linger = time.Second
	c.Delta.Files = []string{"default1", "default2"}
	return c
}

func load(t *testing.T, text string) (config, error) {
	t.Helper()
	cfg := defaults()
	err := Load(write(t, text), &cfg)
	return cfg, err
}

func write(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "leat.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEnvironmentOverFileOverDefaults(t *testing.T) {
	t.Setenv("LEAT_RABBITMQ_URL", "env")
	cfg, err := load(t, "rabbitmq: {url: file, management_url: file}\ndelta: {linger: 50ms}\n")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Rabbit.URL != "env" {
		t.Errorf("rabbitmq.url = %q, want the environment's", cfg.Rabbit.URL)
	}
	if cfg.Rabbit.ManagementURL != "file" || cfg.Delta.Linger != 50*time.Millisecond {
		t.Errorf("cfg = %+v, want the file's values where the environment has none", cfg)
	}
	if cfg.Sources != "default" || cfg.Delta.BatchSize != 8 || cfg.HTTP.Listen != DefaultShell().HTTP.Listen {
		t.Errorf("cfg = %+v, want the defaults where nobody says anything", cfg)
	}
}

func TestEnvironmentReachesEveryFormOfKey(t *testing.T) {
	t.Setenv("LEAT_RABBITMQ_MANAGEMENT_URL", "http://m")
	t.Setenv("LEAT_SOURCES", "s")
	t.Setenv("LEAT_DELTA_BATCH_SIZE", "200")
	t.Setenv("LEAT_DELTA_LINGER", "3s")
	t.Setenv("LEAT_DELTA_FILES", "/a,/b,/c")
	t.Setenv("LEAT_DELTA_EXACT", "true")
	t.Setenv("LEAT_STOP_TIMEOUT", "1m")
	t.Setenv("LEAT_HTTP_LISTEN", "off")
	t.Setenv("LEAT_LOG_LEVEL", "") // empty: as if it were not there
	t.Setenv("LEAT_NO_SUCH_KEY", "x")
	cfg := defaults()
	if err := Load("", &cfg); err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Rabbit.ManagementURL = "http://m"
	want.Sources = "s"
	want.Delta.BatchSize = 200
	want.Delta.Linger = 3 * time.Second
	want.Delta.Files = []string{"/a", "/b", "/c"}
	want.Delta.Exact = true
	want.StopTimeout = time.Minute
	want.HTTP.Listen = "off"
	if !slices.Equal(cfg.Delta.Files, want.Delta.Files) {
		t.Errorf("delta.files = %q, want %q", cfg.Delta.Files, want.Delta.Files)
	}
	cfg.Delta.Files, want.Delta.Files = nil, nil
	if cfg.Shell != want.Shell || cfg.Rabbit != want.Rabbit || cfg.Sources != want.Sources ||
		cfg.Delta.BatchSize != want.Delta.BatchSize || cfg.Delta.Linger != want.Delta.Linger || !cfg.Delta.Exact {
		t.Errorf("cfg = %+v\nwant  %+v", cfg, want)
	}
}

func TestAListInTheFileReplacesTheDefault(t *testing.T) {
	cfg, err := load(t, "delta: {files: [one]}\n")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cfg.Delta.Files, []string{"one"}) {
		t.Errorf("delta.files = %q, want one alone", cfg.Delta.Files)
	}
}

func TestNothingSaidLeavesTheDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"an empty file":                        "",
		"a file of comments":                   "# delta:\n#   linger: 1s\n",
		"a group whose keys are commented out": "delta:\n  # linger: 1s\nlog:\n",
		"a key without a value":                "sources:\n",
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, text)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Delta.Linger != time.Second || cfg.Sources != "default" || cfg.Log.Level != "info" {
				t.Errorf("cfg = %+v, want the defaults", cfg)
			}
		})
	}
}

func TestAnchorsAndMergesWork(t *testing.T) {
	cfg, err := load(t, "rabbitmq: &r {url: one}\ndelta: {files: &f [x], batch_size: 2}\n")
	if err != nil || cfg.Rabbit.URL != "one" {
		t.Errorf("cfg = %+v, %v, want rabbitmq.url one", cfg, err)
	}
	if _, err := load(t, "rabbitmq: &r {url: one}\ndelta: {<<: *r}\n"); err == nil {
		t.Error("a key that delta has not was merged into it")
	}
}

func TestWhatIsWrongWithTheFileIsSaidWithItsPlace(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"A misspelt key.", "delta:\n  lingr: 1s\n",
			[]string{"leat.yaml:2: unknown key delta.lingr (did you mean linger?)", "delta may have: batch_size, linger, files, exact"}},
		{"A misspelt group.", "rabitmq: {url: x}\n",
			[]string{"leat.yaml:1: unknown key rabitmq (did you mean rabbitmq?)", "the file may have: log, http, stop_timeout, rabbitmq, sources, delta"}},
		{"A key like no other has no suggestion.", "zookeeper: x\n", []string{"unknown key zookeeper; the file may have"}},
		{"A field that is not a key.", "derived: x\n", []string{"unknown key derived;"}},
		{"Keys are in small letters.", "Sources: x\n", []string{"unknown key Sources (did you mean sources?)"}},
		{"Two mistakes are both told.", "a: 1\ndelta: {b: 2}\n", []string{"unknown key a;", "unknown key delta.b;"}},
		{"A word for a number.", "delta:\n  batch_size: eight\n", []string{"leat.yaml:2: delta.batch_size must be a whole number"}},
		{"A fraction for a whole number.", "delta: {batch_size: 2.5}\n", []string{"delta.batch_size must be a whole number"}},
		{"A duration without a unit.", "delta: {linger: 20}\n", []string{"delta.linger must be a duration such as 20ms or 10s"}},
		{"A word for a truth.", "delta: {exact: perhaps}\n", []string{"delta.exact must be true or false"}},
		{"Text for a list.", "delta: {files: one}\n", []string{"delta.files must be a list"}},
		{"A list for text.", "sources: [one]\n", []string{"sources must be text"}},
		{"A value for a group.", "delta: 5\n", []string{"leat.yaml:1: delta must be a group of keys: batch_size, linger"}},
		{"A key twice.", "sources: a\nsources: b\n", []string{"already defined"}},
		{"Not YAML.", "a: [\n", []string{"leat.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is\n%v\nwant %q in it", err, want)
				}
			}
		})
	}
}

func TestWhatIsWrongWithTheEnvironmentNamesTheVariable(t *testing.T) {
	for name, want := range map[string]string{
		"LEAT_DELTA_BATCH_SIZE": "LEAT_DELTA_BATCH_SIZE in the environment (delta.batch_size) must be a whole number",
		"LEAT_DELTA_LINGER":     "LEAT_DELTA_LINGER in the environment (delta.linger) must be a duration",
		"LEAT_DELTA_EXACT":      "(delta.exact) must be true or false",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "several")
			_, err := load(t, "")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want %q in it", err, want)
			}
		})
	}
}

func TestAFileThatIsNamedMustExist(t *testing.T) {
	cfg := defaults()
	if err := Load(filepath.Join(t.TempDir(), "none.yaml"), &cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want that the file does not exist", err)
	}
}

func TestTheShellSaysWhatIsWrongWithIt(t *testing.T) {
	cfg, err := load(t, "log: {level: loud, format: xml}\nhttp: {listen: \"9180\"}\nstop_timeout: 0s\n")
	if err == nil {
		t.Fatalf("%+v was accepted", cfg)
	}
	for _, want := range []string{"log.level", "http.listen", "stop_timeout"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is\n%v\nwant %s in it", err, want)
		}
	}
}

func TestFindFile(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("LEAT_CONFIG", "")
	if _, err := os.Stat("/etc/leat/leat.yaml"); err != nil {
		if got := FindFile(""); got != "" {
			t.Errorf("with no file anywhere: %q, want none", got)
		}
	}
	if err := os.Mkdir("config", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("config/leat.yaml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := FindFile(""); got != "config/leat.yaml" {
		t.Errorf("with a file below the working directory: %q, want it", got)
	}
	t.Setenv("LEAT_CONFIG", "/env.yaml")
	if got := FindFile(""); got != "/env.yaml" {
		t.Errorf("with LEAT_CONFIG: %q, want what it names", got)
	}
	if got := FindFile("/flag.yaml"); got != "/flag.yaml" {
		t.Errorf("with --config: %q, want what it names", got)
	}
}
