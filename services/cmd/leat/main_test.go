package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatflow/leat/services/client"
)

// call runs leat on servers that are not there.
func call(t *testing.T, in string, args ...string) (status int, out, errs string) {
	t.Helper()
	t.Setenv("LEAT_RABBITMQ_URL", "amqp://leat:secret@127.0.0.1:1/")
	t.Setenv("LEAT_RABBITMQ_MANAGEMENT_URL", "http://leat:secret@127.0.0.1:1")
	t.Setenv("LEAT_POSTGRES_URL", "postgres://leat:secret@127.0.0.1:1/leat")
	t.Setenv("LEAT_MONGODB_URL", "mongodb://leat:secret@127.0.0.1:1/?serverSelectionTimeoutMS=100&connectTimeoutMS=100")
	if os.Getenv("LEAT_SOURCES") == "" {
		t.Setenv("LEAT_SOURCES", "../../../config/sources")
	}
	var stdout, stderr bytes.Buffer
	status = run(args, strings.NewReader(in), &stdout, &stderr)
	if strings.Contains(stdout.String()+stderr.String(), "secret") {
		t.Errorf("leat %s prints a password:\n%s%s", strings.Join(args, " "), &stdout, &stderr)
	}
	return status, stdout.String(), stderr.String()
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string // in the one line on stderr
	}{
		{[]string{"jbos"}, `unknown command "jbos"; did you mean jobs`},
		{[]string{"source", "lnt"}, `unknown command "lnt"; did you mean list or lint?`},
		{[]string{"jobs", "--lmit", "3"}, "unknown flag: --lmit; `leat jobs --help`"},
		{[]string{"jobs", "--limit", "x"}, `invalid argument "x" for "--limit"`},
		{[]string{"jobs", "--limit", "0"}, "--limit: found 0"},
		{[]string{"jobs", "--state", "open"}, `--state: found "open"; allowed are queued`},
		{[]string{"jobs", "ads"}, "takes no argument"},
		{[]string{"job"}, "takes the id of a job"},
		{[]string{"rejects", "a", "b"}, "takes the id of a job"},
		{[]string{"answers"}, "takes the id of a job, and with --raw the number of an answer"},
		{[]string{"answers", "a", "1"}, "takes the id of a job, and with --raw the number of an answer"},
		{[]string{"answers", "a", "x", "--raw"}, `found "x"; the number of an answer is 0 or more`},
		{[]string{"submit", `{"source":"ads","url":"archive://x"}`}, "archive://HASH, of 64 hex digits, or archive://JOB/N"},
		{[]string{"submit"}, "no job is given"},
		{[]string{"source", "try"}, "takes the name of a source, or a file"},
		{[]string{"source", "try", "ads", "--limit", "0"}, "--limit: found 0; from 1 to 10000 are allowed"},
		{[]string{"submit", "{}"}, "source is missing"},
		{[]string{"submit", "{}", "{}"}, "single quotes"},
		{[]string{"submit", "{}", "--source", "ads"}, "not both"},
		{[]string{"submit", "--source", "ads", "--mode", "nightly"}, "allowed are refresh"},
		{[]string{"submit", "--source", "sda"}, `found "sda"; in`},
		{[]string{"submit", "--source", "ads", "--account", "nobody"}, "source ads has acme, globex"},
		{[]string{"submit", "--source", "ads", "--timeout", "3s"}, "--timeout is for --wait"},
		{[]string{"check", "--since", "yesterday"}, `--since: found "yesterday"; allowed are`},
		{[]string{"check", "--since", "2999-01-01"}, `--since: found "2999-01-01"; allowed are`},
		{[]string{"check", "--sample", "0"}, `--sample: found "0"; allowed are`},
		{[]string{"check", "--sample", "101%"}, `--sample: found "101%"; allowed are`},
		{[]string{"source", "explain"}, "takes the name of a source"},
		{[]string{"source", "new", "shop"}, "takes a name and an answer"},
		{[]string{"dead", "lst"}, `unknown command "lst"; did you mean list`},
		{[]string{"dead", "list", "x"}, `found "x"; an id is a number`},
		{[]string{"dead", "list", "--since", "never"}, `--since: found "never"; allowed are`},
		{[]string{"dead", "show"}, "takes the id of a dead letter"},
		{[]string{"dead", "pause", "one"}, `found "one"; an id is a number`},
		{[]string{"dead", "edit"}, "takes the id of a dead letter"},
		{[]string{"audit", "--limit", "0"}, "--limit: found 0"},
		{[]string{"cursor", "st"}, `unknown command "st"; did you mean`},
		{[]string{"cursor", "set", "ads"}, "takes the name of a source and a value: 1 given"},
		{[]string{"--config", "/nowhere.yaml", "status"}, "/nowhere.yaml"},
	} {
		status, out, errs := call(t, "", test.args...)
		if status != exitUsage || out != "" {
			t.Errorf("leat %v: status %d, stdout %q; want 2 and nothing", test.args, status, out)
		}
		if !strings.HasPrefix(errs, "leat: ") || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("leat %v: stderr %q, want one line with %q", test.args, errs, test.want)
		}
	}
}

func TestServersAway(t *testing.T) {
	for _, test := range []struct {
		args   []string
		in     string
		status int
		want   string
	}{
		{[]string{"jobs"}, "", exitFailed, "PostgreSQL"},
		{[]string{"job", "0198aaaa"}, "", exitFailed, "PostgreSQL"},
		{[]string{"check"}, "", exitUsage, "PostgreSQL"},
		{[]string{"dead", "list"}, "", exitFailed, "PostgreSQL"},
		{[]string{"dead", "replay", "--all", "--yes"}, "", exitFailed, "PostgreSQL"},
		{[]string{"audit"}, "", exitFailed, "PostgreSQL"},
		{[]string{"migrate", "--wait", "1ms"}, "", exitFailed, "PostgreSQL"},
		{[]string{"submit", "-"}, `{"source":"ads"}`, exitFailed, "rabbitmq"},
	} {
		status, _, errs := call(t, test.in, test.args...)
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		last := lines[len(lines)-1]
		if status != test.status || !strings.HasPrefix(last, "leat: ") || !strings.Contains(last, test.want) {
			t.Errorf("leat %v: status %d, stderr %q; want %d and a line about %s", test.args, status, errs, test.status, test.want)
		}
	}
}

func TestStatusWithAllServersAway(t *testing.T) {
	status, out, _ := call(t, "", "status", "--json")
	var s client.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Servers) != 3 || status != exitFailed {
		t.Errorf("status %d, %v:\n%s", status, err, out)
	}
	var text strings.Builder
	if showStatus(&text, s); strings.Count(text.String(), "away: ") != 3 {
		t.Errorf("want three servers away:\n%s", &text)
	}
}

func TestWhatNeedsNoServer(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("source: bad\nrecords: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		status int
		want   string // on stdout
	}{
		{nil, exitOK, "leat migrate"},
		{[]string{"--version"}, exitOK, "leat "},
		{[]string{"help", "check"}, exitOK, "The exit status is 0 when all agrees"},
		{[]string{"source"}, exitOK, "leat source explain ads"},
		{[]string{"source", "list"}, exitOK, "covid"},
		{[]string{"source", "list", "--json"}, exitOK, `"name": "covid"`},
		{[]string{"source", "lint"}, exitOK, "are fine"},
		{[]string{"source", "lint", bad}, exitFailed, bad + ":2:"},
		{[]string{"source", "explain", "ads"}, exitOK, "Source ads"},
	} {
		status, out, errs := call(t, "", test.args...)
		if status != test.status || !strings.Contains(out, test.want) {
			t.Errorf("leat %v: status %d, want %d; stdout %q, want %q in it; stderr %q", test.args, status, test.status, out, test.want, errs)
		}
	}
}

func TestOutputHasNoPasswords(t *testing.T) {
	dir := t.TempDir()
	text := "source: shop\nhttp: {base_url: 'http://me:${SHOP}@h'}\nfetch: {report: {path: /r}}\nrecords: [{each: shops, object: {type: shop, key: id}}]\n"
	if err := os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEAT_SOURCES", dir)
	for _, args := range [][]string{{"source", "list"}, {"source", "list", "--json"}, {"source", "explain", "shop"}} {
		if status, out, errs := call(t, "", args...); status != exitOK || !strings.Contains(out, "me:xxxxx@h/r") { // call looks for the password
			t.Errorf("leat %v: status %d, %s%s", args, status, out, errs)
		}
	}
}

// What check writes as JSON is JSON, however many differences there are and
// however it ends.
func TestDifferencesAreWrittenAsTheyCome(t *testing.T) {
	away := errors.New("MongoDB is away")
	for _, test := range []struct {
		differences int
		err         error
		want        string // its length and the first text; "" for nothing at all
	}{{0, nil, "0 "}, {1, nil, "1 shop/a: \"it\" differs"}, {3, nil, "3 shop/a: \"it\" differs"}, {2, away, "2 shop/a: \"it\" differs"}, {0, away, ""}} {
		var out bytes.Buffer
		p := &printer{app: &app{out: &out, json: true}}
		for range test.differences {
			p.difference(client.Difference{Text: `shop/a: "it" differs`})
		}
		p.end(client.Checked{Objects: 7}, test.err)
		if test.want == "" {
			if out.Len() > 0 {
				t.Errorf("wrote %s", &out)
			}
			continue
		}
		var report client.Report
		err := json.Unmarshal(out.Bytes(), &report)
		got := fmt.Sprint(len(report.List), " ")
		if len(report.List) > 0 {
			got += report.List[0].Text
		}
		if err != nil || got != test.want || report.Objects != 7 {
			t.Errorf("%d differences, %v: %v in %s", test.differences, test.err, err, &out)
		}
	}
}
