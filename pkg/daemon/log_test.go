package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"amqp://leat:s3cret@host:5672/v":                           "amqp://leat:xxxxx@host:5672/v",
		"postgres://u:p%40ss@h/db?sslmode=disable":                 "postgres://u:xxxxx@h/db?sslmode=disable",
		"mongodb://u:p@ss/wo:rd@h1:1,h2:2/db":                      "mongodb://u:xxxxx@h1:1,h2:2/db",
		"amqp://:p@h":                                              "amqp://:xxxxx@h",
		`parse "amqp://u:p w@h": invalid userinfo`:                 `parse "amqp://u:xxxxx@h": invalid userinfo`,
		`{"url":"amqp://u:a\"b@h/","by":"x@y.z"}`:                  `{"url":"amqp://u:xxxxx@h/","by":"x@y.z"}`,
		"dial amqp://a:b@one: refused\nmongodb://c:d@two: timeout": "dial amqp://a:xxxxx@one: refused\nmongodb://c:xxxxx@two: timeout",
		"host=h user=u password=s3cret dbname=d":                   "host=h user=u password=xxxxx dbname=d",
		"https://x.example/?token=abc&day=1":                       "https://x.example/?token=xxxxx&day=1",
		"http://127.0.0.1:9180/readyz":                             "http://127.0.0.1:9180/readyz",
		"mail a@b.example about https://x.example/y":               "mail a@b.example about https://x.example/y",
		"": "",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q)\n  = %q\nwant %q", in, got, want)
		}
	}
}

func TestALogLineIsJSONThatSaysWhoWroteItAndHoldsNoPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	log := newLogger("leat-test", LogConfig{Level: "info"}, out)
	log.Debug("not at this level")
	log.Info("connecting",
		zap.String("to", "amqp://u:s3cret@h/"),
		zap.Error(errors.New(`parse "mongodb://u:s3cret@h": no`)),
		zap.String("mail", "x@y.example"))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, field := range []string{"time", "level", "msg", "service", "version", "pid", "host"} {
		if line[field] == nil {
			t.Errorf("the line has no %s: %s", field, text)
		}
	}
	if strings.Contains(string(text), "s3cret") || line["to"] != "amqp://u:xxxxx@h/" || line["mail"] != "x@y.example" {
		t.Errorf("the line is %s, want it without the passwords and with all else", text)
	}
}
