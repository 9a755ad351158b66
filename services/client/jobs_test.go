package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	runningJob = "0198aaaa-0000-7000-8000-000000000001"
	doneJob    = "0198aabb-0000-7000-8000-000000000002"
)

// withJobs is an installation with a job that runs, with a dead letter, rejects
// and something to write, and one that is done.
func withJobs(t *testing.T) *installation {
	t.Helper()
	i := install(t)
	i.migrate()
	i.exec(`
		INSERT INTO leat.jobs (id, source, mode, params, via, state, counts, sender_id, started_at, finished_at, created_at) VALUES
			($1, 'shop', 'refresh', '{"source": "shop"}', 'queue', 'running', '{}', 'nightly', now(), NULL, now()),
			($2, 'ads', 'backfill', '{"source": "ads"}', 'queue', 'done', '{"stats": {"new": 7}, "slices": {"planned": 2}}', NULL, now(), now(), now() - interval '1 day')`,
		runningJob, doneJob)
	i.exec(`
		INSERT INTO leat.ledger (stage, message_id, job_id, state, counts, names, error, error_class) VALUES
			('fetch', $1::text, $1::uuid, 'done', '{"slices.planned": 1}', '{s1}', NULL, NULL),
			('fetch', 's1', $1::uuid, 'done', '{"parts.fetched": 3, "stats.rejected": 3}', '{p1,p2,p3}', NULL, NULL),
			('delta', 'p1', $1::uuid, 'done', '{"stats.new": 5, "objects.new": 1}', '{c1}', NULL, NULL),
			('delta', 'p2', $1::uuid, 'dead', '{}', '{}', 'no such type', 'permanent'),
			('annotate', 'c1', $1::uuid, 'done', '{"tags.changed": 1}', '{r1}', NULL, NULL),
			('rollup', 'write/9', $1::uuid, 'done', '{"documents.written": 2}', '{}', NULL, NULL)`, runningJob)
	i.exec(`INSERT INTO leat.dirty (object_id, root_id, half, job_id, due) VALUES (1, 1, '2026H1', $1, now()), (1, 1, '2026H2', $1, now())`, runningJob)
	i.exec(`
		INSERT INTO leat.rejects (job_id, n, position, source, reason, record) VALUES
			($1, 0, 'line 9', 'shop', 'clicks: "x" is no number', 'a'),
			($1, 0, 'line 12', 'shop', 'clicks: "y\"z" is no number', 'b'),
			($1, 0, 'line 13', 'shop', 'the key is empty', 'c')`, runningJob)
	return i
}

func TestJobSaysWhatBecameOfIt(t *testing.T) {
	i := withJobs(t)
	j, err := i.Job(t.Context(), runningJob)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Messages{Known: 7, Done: 4, Dead: 1}); j.Progress.Messages != want {
		t.Errorf("messages %+v, want %+v", j.Progress.Messages, want)
	}
	if want := (Parts{Fetched: 3, Done: 1}); j.Progress.Parts != want {
		t.Errorf("parts %+v, want %+v", j.Progress.Parts, want)
	}
	if want := (Documents{Written: 2, Waiting: 1}); j.Progress.Documents != want {
		t.Errorf("documents %+v, want %+v", j.Progress.Documents, want)
	}
	if len(j.DeadLetters) != 1 || j.DeadLetters[0].Error != "no such type" || j.DeadLetters[0].Stage != "delta" {
		t.Errorf("dead letters %+v, want one of delta", j.DeadLetters)
	}
	if j.Rejects.Count != 3 || len(j.Rejects.Reasons) != 2 || j.Rejects.Reasons[0].Count != 2 || j.Rejects.Reasons[0].Shape != `clicks: "…" is no number` {
		t.Errorf("rejects %+v, want two reasons, the first twice", j.Rejects)
	}
	if p := j.Phases["fetch"]; p.First == nil || p.Last == nil || p.Messages != 2 {
		t.Errorf("phase fetch %+v, want two messages with their times", p)
	}
}

func TestJobCountsAreAlwaysThere(t *testing.T) {
	i := withJobs(t)
	want := map[string]Counts{
		runningJob: {
			"objects": {"new": 1, "changed": 0, "unchanged": 0}, "stats": {"new": 5, "changed": 0, "unchanged": 0, "rejected": 3},
			"tags": {"changed": 1, "unchanged": 0}, "documents": {"written": 2}, "slices": {"planned": 1}, "parts": {"fetched": 3},
		},
		doneJob: {
			"objects": {"new": 0, "changed": 0, "unchanged": 0}, "stats": {"new": 7, "changed": 0, "unchanged": 0, "rejected": 0},
			"tags": {"changed": 0, "unchanged": 0}, "documents": {"written": 0}, "slices": {"planned": 2},
		},
	}
	for id, counts := range want {
		j, err := i.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(j.Counts, counts, maps.Equal[map[string]int64, map[string]int64]) {
			t.Errorf("job %s: counts %v, want %v", id, j.Counts, counts)
		}
	}
}

func TestJobInJSON(t *testing.T) {
	i := withJobs(t)
	j, err := i.Job(t.Context(), doneJob)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "source", "mode", "state", "params", "created_at", "started_at", "finished_at", "error", "counts", "progress", "phases", "rejects", "dead_letters"} {
		if fields[name] == nil {
			t.Errorf("no field %s in %s", name, text)
		}
	}
	if string(fields["dead_letters"]) != "[]" {
		t.Errorf("dead_letters is %s, want an empty list", fields["dead_letters"])
	}
	var phases map[string]Phase
	if err := json.Unmarshal(fields["phases"], &phases); err != nil || !slices.Equal(slices.Sorted(maps.Keys(phases)), slices.Sorted(slices.Values(Stages))) {
		t.Errorf("phases are %s, want all of %v", fields["phases"], Stages)
	}
}

func TestFindJob(t *testing.T) {
	i := withJobs(t)
	for id, want := range map[string]string{
		runningJob: runningJob, strings.ToUpper(doneJob): doneJob, "0198aaaa": runningJob, "0198AABB-0": doneJob, "nightly": runningJob,
	} {
		if j, err := i.FindJob(t.Context(), id); err != nil || j.ID != want {
			t.Errorf("%s: found %s, %v; want %s", id, j.ID, err, want)
		}
	}
	for id, want := range map[string]string{"0198aa": "not one job", "0198ffff": "no job", "nightl": "no job", "019": "no job", "%": "no job"} {
		if j, err := i.FindJob(t.Context(), id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %q, %v; want an error with %q", id, j.ID, err, want)
		}
	}
}

func TestListJobs(t *testing.T) {
	i := withJobs(t)
	for name, test := range map[string]struct {
		filter JobFilter
		want   []string
	}{
		"all, the newest first": {JobFilter{Limit: 9}, []string{runningJob, doneJob}},
		"at most":               {JobFilter{Limit: 1}, []string{runningJob}},
		"of a source":           {JobFilter{Limit: 9, Source: "ads"}, []string{doneJob}},
		"in a state":            {JobFilter{Limit: 9, State: "running"}, []string{runningJob}},
		"none":                  {JobFilter{Limit: 9, State: "failed"}, nil},
	} {
		jobs, err := i.Jobs(t.Context(), test.filter)
		var ids []string
		for _, j := range jobs {
			ids = append(ids, j.ID)
		}
		if err != nil || !slices.Equal(ids, test.want) {
			t.Errorf("%s: %v, %v; want %v", name, ids, err, test.want)
		}
	}
}

func TestListRejects(t *testing.T) {
	i := withJobs(t)
	rejects, err := i.Rejects(t.Context(), "nightly", 2)
	if err != nil || len(rejects) != 2 || rejects[0].Position != "line 9" || rejects[0].Record != "a" {
		t.Errorf("rejects %+v, %v; want the first two", rejects, err)
	}
	if rejects, err := i.Rejects(t.Context(), doneJob, 2); err != nil || rejects == nil || len(rejects) > 0 {
		t.Errorf("rejects %+v, %v; want an empty list", rejects, err)
	}
}

func TestWithoutTablesItSaysMigrate(t *testing.T) {
	i := install(t)
	if _, err := i.Jobs(t.Context(), JobFilter{Limit: 1}); !errors.Is(err, errNotMigrated) {
		t.Errorf("jobs: %v, want %v", err, errNotMigrated)
	}
	if _, err := i.Check(t.Context(), Checking{}, nil); !errors.Is(err, errNotMigrated) {
		t.Errorf("check: %v, want %v", err, errNotMigrated)
	}
}

func TestAJobSaysOfWhatClassItsTroubleIs(t *testing.T) {
	i := withJobs(t)
	i.exec(`DELETE FROM leat.ledger WHERE state <> 'done'`)
	i.exec(`
		INSERT INTO leat.ledger (stage, message_id, job_id, state, error_class, error, attempts, starts) VALUES
			('delta', 'a', $1, 'dead', 'permanent', 'bad', 1, 0), ('delta', 'b', $1, 'dead', 'failed', 'odd', 5, 0), ('delta', 'c', $1, 'dead', 'crashed', 'gone', 5, 0),
			('fetch', 'd', $1, 'started', 'unavailable', 'away', 0, 0), ('fetch', 'e', $1, 'started', 'rate-limited', '429', 0, 1),
			('fetch', 'f', $1, 'started', 'failed', 'odd', 2, 1), ('fetch', 'g', $1, 'started', NULL, NULL, 0, 3), ('fetch', 'h', $1, 'started', NULL, NULL, 0, 1)`, runningJob)
	j, err := i.Job(t.Context(), runningJob)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range j.DeadLetters {
		got[d.MessageID] = fmt.Sprint("dead ", d.Class, " ", d.Attempts)
	}
	for _, m := range j.Waiting {
		got[m.MessageID] = fmt.Sprint("waiting ", m.Class, " ", m.Attempts)
	}
	want := map[string]string{
		"a": "dead permanent 1", "b": "dead failed 5", "c": "dead crashed 5",
		"d": "waiting unavailable 0", "e": "waiting rate-limited 0", "f": "waiting failed 2", "g": "waiting crashed 3", // h is in the hands of its first worker
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
