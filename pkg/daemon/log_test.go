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
