package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/deadletter"
	"github.com/leatflow/leat/services/schema"
)

// withDead returns a call of leat on a database with three dead letters of jobs.
func withDead(t *testing.T) func(in string, args ...string) (status int, out, errs string) {
	t.Helper()
	url := pipetest.Postgres(t)
	t.Setenv("LEAT_POSTGRES_URL", url)
	t.Setenv("LEAT_SOURCES", "../../../config/sources")
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db, schema.FS); err != nil {
		t.Fatal(err)
	}
	var letters []pipeline.Envelope
	for i := range 3 {
		letters = append(letters, pipeline.Envelope{
			ID: fmt.Sprint("m", i), Kind: event.KindJob, Queue: rabbit.Dead, At: time.Now(), Body: fmt.Appendf(nil, `{"source":"adz%d"}`, i),
			Headers: map[string]string{
				"error": fmt.Sprintf("source: found \"adz%d\"", i), "error_class": "permanent", "stage": "fetch", "origin_queue": rabbit.Fetch,
				"died_at": fmt.Sprintf("2026-11-2%dT10:00:00Z", i),
			},
		})
	}
	if _, err := deadletter.File(t.Context(), db, letters); err != nil {
		t.Fatal(err)
	}
	return func(in string, args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		status := run(args, strings.NewReader(in), &out, &errs)
		return status, out.String(), errs.String()
	}
}

func TestDeadLetterCommands(t *testing.T) {
	leat := withDead(t)
	file := filepath.Join(t.TempDir(), "job.json")
	if err := os.WriteFile(file, []byte(`{"source":"ads"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EDITOR", "sed -i s/adz1/plays/")
	for _, test := range []struct {
		in     string
		args   string
		status int
		says   string
	}{
		{"", "dead groups", exitOK, `source: found "…"`},
		{"", "dead list --limit 2", exitOK, "there may be more: --before 2"},
		{"", "dead list --before 2 --limit 2", exitOK, "adz0"},
		{"", "dead list --since 2026-11-23", exitOK, "no dead letters"},
		{"", "dead list --state gone", exitUsage, `state: found "gone"`},
		{"", "dead show 1", exitOK, `"source": "adz0"`},
		{"", "dead show 9", exitUsage, "no dead letter has the id 9"},
		{"", "dead edit 1 --file " + file, exitOK, "it goes back as message"},
		{"", "dead edit 2", exitOK, "it goes back as message"}, // in the editor
		{"", "dead show 2", exitOK, `"source": "plays"`},
		{`{"source":"adz"}`, "dead edit 3 --file -", exitUsage, `found "adz"; in`},
		{"", "dead drop 3", exitUsage, "--why is missing"},
		{"", "dead drop 3 --why odd --yes", exitOK, "1 dropped"},
		{"", "dead drop 3 --why odd --yes", exitFailed, "no dead letter is meant by that"},
		{"", "dead replay", exitUsage, "say which"},
		{"", "dead replay --all --rate fast", exitUsage, "--rate: found"},
		{"no\n", "dead replay --all --detach", exitFailed, "nothing was done"},
		{"", "dead replay --all --detach", exitFailed, "dead letters to be sent back to their stages: 2. Go on?"},
		{"y\n", "dead replay --all --detach --rate 5/s --why right", exitOK, "replay 1 of 2 letters"},
		{"", "dead replay --state dropped --yes --detach", exitOK, "replay 2 of 1 letters"},
		{"", "dead list", exitOK, "no dead letters"},
		{"", "dead replays", exitOK, "5/s"},
		{"", "dead pause 1 --why wait", exitOK, "replay 1: paused, 0 of 2 sent"},
		{"", "dead follow 1", exitFailed, "paused"},
		{"", "dead resume 1", exitOK, "running"},
		{"", "dead cancel 1", exitOK, "cancelled"},
		{"", "dead resume 1", exitUsage, "replay 1 is cancelled"},
		{"", "audit --action pause", exitOK, "wait"},
	} {
		status, out, errs := leat(test.in, strings.Fields(test.args)...)
		if status != test.status || !strings.Contains(out+errs, test.says) {
			t.Errorf("leat %s: status %d, want %d and %q\n%s%s", test.args, status, test.status, test.says, out, errs)
		}
	}
}

func TestDeadLettersInJSON(t *testing.T) {
	leat := withDead(t)
	for args, field := range map[string]string{
		"dead list": "fingerprint", "dead groups": "count", "dead show 1": "body", "dead replay 1 --yes --detach": "total", "dead replays": "sent", "audit": "who",
	} {
		status, out, errs := leat("", append(strings.Fields(args), "--json")...)
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil || status != exitOK {
			t.Errorf("leat %s --json: status %d, %v\n%s%s", args, status, err, out, errs)
		}
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		if object, ok := v.(map[string]any); args != "audit" && args != "dead replays" && (!ok || object[field] == nil) {
			t.Errorf("leat %s --json has no %s:\n%s", args, field, out)
		}
	}
}
